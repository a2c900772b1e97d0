/* drain.c - the thread that empties the rings into chunks of the collector's own memory.
 *
 * It does nothing else, so that a producer seldom finds its ring full although compressing a block of events takes
 * milliseconds. When MAX_CHUNKS are waiting it leaves the rings alone, and the producers wait: nothing is lost.
 *
 * Order: a ring without an open reservation when it was looked at, at time T, will bring no stamp before T (shared.h,
 * invariant 3). A process's records are taken in the order of their stamps up to the earliest such T of its rings.
 */
#include "record/collector.h"
#include "record/pages.h"

#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    STUCK_MS = 20,              /* an open reservation may hold others up for so long */
    MAX_CHUNKS = 4096,          /* 512 MiB */
    BATCH_SLOTS = 1024,         /* copied before the producer is told */
    BUSY_SLOTS = 2048,          /* a scan that copied fewer is followed by a sleep */
    SLEEP_NS = 1000000,
};

static bool committed(const struct hp_stream *s, uint64_t position)
{
    uint64_t stamp = atomic_load_explicit(&s->slots[position % HP_RING_SLOTS].stamp, memory_order_acquire);

    return (stamp & HP_STAMP_PHASE) == hp_shared_phase(position);
}

/* A reservation that nobody will commit: its thread died (no loss, the call never came to its end), or left a signal
 * handler by longjmp. */
static void skip_slot(struct hp_stream *s, uint64_t lost)
{
    struct hp_slot *slot = &s->slots[s->checked % HP_RING_SLOTS];
    uint64_t stale = atomic_load(&slot->stamp);
    uint64_t stamp = s->last << HP_STAMP_SHIFT | hp_shared_phase(s->checked) | HP_RAW_SKIPPED;

    if (!committed(s, s->checked) && atomic_compare_exchange_strong(&slot->stamp, &stale, stamp))
        slot->word = lost;
}

static void tell_producer(struct hp_stream *s)
{
    struct hp_ring *ring = s->ring;

    atomic_store(&ring->consumed, s->checked);
    if (atomic_load(&ring->waiting)) {
        atomic_store(&ring->waiting, 0);
        atomic_fetch_add(&ring->wake, 1);
        syscall(SYS_futex, &ring->wake, FUTEX_WAKE, 1, NULL, NULL, 0);
    }
}

void hp_drain_recycle(struct hp_collector *c, struct hp_chunk *chunk)
{
    chunk->next = atomic_load(&c->spare);
    while (!atomic_compare_exchange_weak(&c->spare, &chunk->next, chunk))
        continue;
    atomic_fetch_sub(&c->chunks, 1);
}

static struct hp_chunk *carve(struct hp_collector *c)
{
    struct hp_slab *slab = c->slabs;

    if (!slab || slab->used == sizeof slab->chunks / sizeof *slab->chunks) {
        slab = hp_pages_map(sizeof *slab);
        if (!slab)
            return NULL;
        slab->next = c->slabs;
        c->slabs = slab;
    }
    return &slab->chunks[slab->used++];
}

static struct hp_chunk *new_chunk(struct hp_collector *c)
{
    struct hp_chunk *chunk = atomic_load(&c->spare);

    if (atomic_load(&c->chunks) >= MAX_CHUNKS)
        return NULL;
    while (chunk && !atomic_compare_exchange_weak(&c->spare, &chunk, chunk->next))
        continue;
    return chunk ? chunk : carve(c);
}

/* Where the next slot of the stream goes; NULL: there is no room. */
static struct hp_slot *place(struct hp_collector *c, struct hp_stream *s)
{
    uint64_t index = (s->checked - s->begin) % HP_CHUNK_SLOTS;

    if (index == 0) {
        struct hp_chunk *chunk = new_chunk(c);

        if (!chunk)
            return NULL;
        chunk->next = NULL;
        if (s->tail)
            s->tail->next = chunk;
        else
            s->head = chunk;
        s->tail = chunk;
        atomic_fetch_add(&c->chunks, 1);
    }
    return &s->tail->slots[index];
}

static void copy_slot(struct hp_stream *s, struct hp_slot *to)
{
    const struct hp_slot *from = &s->slots[s->checked++ % HP_RING_SLOTS];

    to->word = from->word;
    atomic_store_explicit(&to->stamp, atomic_load_explicit(&from->stamp, memory_order_relaxed), memory_order_relaxed);
}

/* Whole records only. False: there is no room, the record stays in the ring. */
static bool copy_record(struct hp_collector *c, struct hp_stream *s)
{
    bool wide = hp_shared_is_wide(&s->slots[s->checked % HP_RING_SLOTS]);
    struct hp_slot *to = place(c, s);

    if (!to)
        return false;
    copy_slot(s, to);
    if (!wide)
        return true;
    to = place(c, s);
    if (to)
        copy_slot(s, to);
    else
        s->checked--;
    return to != NULL;
}

/* How far has the ring been committed, and until when is its past complete? Returns the number of slots copied. */
static uint64_t look_at(struct hp_collector *c, struct hp_stream *s, uint64_t now)
{
    uint64_t reserved = __atomic_load_n(&s->ring->reserved, __ATOMIC_ACQUIRE), before = s->checked, told = before;
    uint64_t patience = STUCK_MS * c->ticks_per_ms;
    bool full = reserved - s->checked >= HP_RING_SLOTS - HP_RING_SLACK;
    bool stuck = now > s->safe_until + patience;

    while (s->checked < reserved) {
        if (committed(s, s->checked)) {
            if (!copy_record(c, s))
                break;
            if (s->checked - told >= BATCH_SLOTS) {
                tell_producer(s);
                told = s->checked;
            }
        } else if (s->process->gone) {
            skip_slot(s, 0);
        } else if (full && stuck && s->checked == before) {
            skip_slot(s, 1);
        } else {
            break;
        }
    }
    if (s->checked != before)
        tell_producer(s);
    if (s->checked == reserved)
        s->safe_until = now;
    else if (stuck && !committed(s, s->checked))
        s->safe_until = now - patience;
    return s->checked - before;
}

static void begin_stream(struct hp_stream *s, struct hp_collector *c, uint32_t index, struct hp_process *p)
{
    memset(s, 0, sizeof *s);
    s->ring = &c->shared->rings[index];
    s->slots = c->shared->slots[index];
    s->process = p;
    s->begin = s->position = s->ready = s->checked = atomic_load(&s->ring->consumed);
    s->thread = s->ring->thread;
    s->last = p->start_ticks;
    s->safe_until = p->start_ticks;
}

static uint64_t scan(struct hp_collector *c)
{
    uint64_t now = hp_collector_ticks(c);
    uint32_t used = atomic_load(&c->shared->rings_used);
    uint64_t copied = 0;

    for (uint32_t i = 0; i < used; i++) {
        struct hp_stream *s = &c->streams[i];
        uint32_t state = atomic_load(&c->shared->rings[i].state);

        if (state != HP_RING_ACTIVE && state != HP_RING_CLOSED)
            continue;
        if (!s->process) {
            struct hp_process *p = hp_lineage_find(c, c->shared->rings[i].serial);
            if (!p)
                continue;
            begin_stream(s, c, i, p);
        }
        s->ended |= state == HP_RING_CLOSED || s->process->gone;
        copied += look_at(c, s, now);
    }
    c->scans++;
    return copied;
}

static void sleep_until_rung(struct hp_collector *c)
{
    const struct timespec timeout = {.tv_nsec = SLEEP_NS};
    uint32_t bell = atomic_load(&c->shared->doorbell);

    atomic_store(&c->shared->sleeping, 1);
    syscall(SYS_futex, &c->shared->doorbell, FUTEX_WAIT, bell, &timeout, NULL, 0);
    atomic_store(&c->shared->sleeping, 0);
}

static void *drain(void *argument)
{
    struct hp_collector *c = argument;

    while (!atomic_load(&c->drain_ends)) {
        uint64_t copied;

        atomic_fetch_add(&c->shared->heartbeat, 1);
        pthread_mutex_lock(&c->lock);
        copied = scan(c);
        pthread_mutex_unlock(&c->lock);
        if (copied < BUSY_SLOTS)
            sleep_until_rung(c);
    }
    return NULL;
}

/* Signals are for the other thread. */
bool hp_drain_start(struct hp_collector *c)
{
    sigset_t all, old;
    int error;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    error = pthread_create(&c->drain, NULL, drain, c);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return error == 0;
}

void hp_drain_stop(struct hp_collector *c)
{
    atomic_store(&c->drain_ends, true);
    pthread_join(c->drain, NULL);
}
