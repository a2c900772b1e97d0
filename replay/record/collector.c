/* collector.c - drains the rings, merges them into one order per process, and sleeps when there is little to do.
 *
 * Order: a ring without an open reservation when it was looked at, at time T, will bring no stamp before T (shared.h,
 * invariant 3). A process's records are taken in the order of their stamps up to the earliest such T of its rings.
 */
#include "record/collector.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    BUSY_EVENTS = 2048,         /* a round with fewer is followed by a sleep */
    SLEEP_NS = 1000000,
    IDLE_NS = 10000000,
    STUCK_MS = 20,              /* an open reservation may hold others up for so long */
    WATCH_MS = 4,
    THREAD_CHECK_MS = 200,
    NOTE_MS = 2000,
};

static volatile sig_atomic_t stop_requested;

void hp_collector_stop_on_signal(int number)
{
    stop_requested = number;
}

static uint64_t monotonic_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t raw_ticks(const struct hp_shared *shared)
{
    return HP_HAVE_TSC && shared->use_tsc ? hp_shared_tsc() : monotonic_ns();
}

uint64_t hp_collector_ticks(const struct hp_collector *c)
{
    return raw_ticks(c->shared) - c->shared->epoch_ticks;
}

/* The TSC serves when the processor says that it ticks evenly, in all sleep states. */
static bool tsc_is_steady(void)
{
    char line[4096];
    FILE *f = fopen("/proc/cpuinfo", "r");
    bool constant = false, nonstop = false;

    while (f && !(constant && nonstop) && fgets(line, sizeof line, f)) {
        constant |= strstr(line, " constant_tsc") != NULL;
        nonstop |= strstr(line, " nonstop_tsc") != NULL;
    }
    if (f)
        fclose(f);
    return HP_HAVE_TSC && constant && nonstop;
}

static void calibrate(struct hp_collector *c)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    uint64_t ns, ticks;

    c->shared->use_tsc = tsc_is_steady();
    c->ns_per_tick = 1;
    ns = monotonic_ns();
    ticks = raw_ticks(c->shared);
    if (c->shared->use_tsc) {
        nanosleep(&pause, NULL);
        ns = monotonic_ns() - ns;
        c->ns_per_tick = (double)ns / (double)(raw_ticks(c->shared) - ticks);
    }
    c->ticks_per_ms = (uint64_t)(1e6 / c->ns_per_tick);
    c->shared->epoch_ticks = raw_ticks(c->shared);
}

struct hp_collector *hp_collector_open(const struct hp_record_options *options, char *error, size_t error_size)
{
    struct hp_collector *c = calloc(1, sizeof *c);
    struct stat st;

    if (!c) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    c->options = options;
    c->exit_status = -1;
    c->fd = memfd_create("heaplay", MFD_CLOEXEC);
    if (c->fd >= 0 && ftruncate(c->fd, sizeof *c->shared) == 0)
        c->shared = mmap(NULL, sizeof *c->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, c->fd, 0);
    if (!c->shared || c->shared == MAP_FAILED) {
        snprintf(error, error_size, "cannot make %zu MiB of shared memory: %s; raise the limit (ulimit -v, -f)",
                 sizeof *c->shared >> 20, strerror(errno));
        free(c);
        return NULL;
    }
    c->shared->children = options->children;
    c->shared->touch = options->touch;
    c->shared->collector_pid = (uint32_t)getpid();
    c->shared->pid_namespace = stat("/proc/self/ns/pid", &st) == 0 ? (uint64_t)st.st_ino : 0;
    calibrate(c);
    c->shared->magic = HP_SHARED_MAGIC;
    return c;
}

void hp_collector_close(struct hp_collector *c)
{
    hp_lineage_forget(c);
    munmap(c->shared, sizeof *c->shared);
    close(c->fd);
    free(c);
}

static bool committed(const struct hp_stream *s, uint64_t position)
{
    uint64_t stamp = atomic_load_explicit(&s->slots[position % HP_RING_SLOTS].stamp, memory_order_acquire);

    return (stamp & HP_STAMP_PHASE) == hp_shared_phase(position) && stamp != 0;
}

/* A reservation that nobody will commit: its thread died (no loss, the call never came to its end), or left a signal
 * handler by longjmp. */
static void skip_slot(struct hp_stream *s, uint64_t lost)
{
    struct hp_slot *slot = &s->slots[s->checked % HP_RING_SLOTS];
    uint64_t stale = atomic_load(&slot->stamp);
    uint64_t stamp = s->last << HP_STAMP_SHIFT | hp_shared_phase(s->checked) | HP_RAW_SKIPPED;

    if (!committed(s, s->checked) && atomic_compare_exchange_strong(&slot->stamp, &stale, stamp))
        slot->b = lost;
}

/* How far has the ring been committed, and until when is its past complete? */
static void look_at(struct hp_stream *s, uint64_t now, uint64_t patience)
{
    uint64_t reserved = __atomic_load_n(&s->ring->reserved, __ATOMIC_ACQUIRE);
    bool full = reserved - s->position >= HP_RING_SLOTS - HP_RING_SLACK;
    bool stuck = now > s->safe_until + patience;

    while (s->checked < reserved) {
        if (committed(s, s->checked))
            s->checked++;
        else if (s->process->gone)
            skip_slot(s, 0);
        else if (full && stuck && s->checked == s->position)
            skip_slot(s, 1);
        else
            break;
    }
    if (s->checked == reserved)
        s->safe_until = now;
    else if (stuck)
        s->safe_until = now - patience;
}

static void begin_stream(struct hp_stream *s, struct hp_collector *c, uint32_t index, struct hp_process *p)
{
    memset(s, 0, sizeof *s);
    s->ring = &c->shared->rings[index];
    s->slots = c->shared->slots[index];
    s->process = p;
    s->position = s->checked = atomic_load(&s->ring->consumed);
    s->thread = s->ring->thread;
    s->last = p->start_ticks;
    s->safe_until = p->start_ticks;
}

static void scan(struct hp_collector *c)
{
    uint64_t now = hp_collector_ticks(c);
    uint32_t used = atomic_load(&c->shared->rings_used);

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
        look_at(s, now, STUCK_MS * c->ticks_per_ms);
    }
}

/* A thread that ended without its destructors (a raw clone, or events after them) is known by its missing task. */
static void check_threads(struct hp_collector *c)
{
    char path[64];

    for (uint32_t i = 0; i < HP_RING_COUNT; i++) {
        struct hp_stream *s = &c->streams[i];

        if (!s->process || s->ended || s->process->gone || s->position != s->checked)
            continue;
        snprintf(path, sizeof path, "/proc/%u/task/%u", s->process->pid, s->ring->tid);
        s->ended = access(path, F_OK) != 0;
    }
}

/* Streams that are drained give their rings back; processes without streams get their trace closed. */
static void release(struct hp_collector *c)
{
    for (uint32_t i = 0; i < HP_RING_COUNT; i++) {
        struct hp_stream *s = &c->streams[i];

        if (!s->process || !s->ended || s->process->waits_for_parent || s->position != s->checked ||
            s->position != __atomic_load_n(&s->ring->reserved, __ATOMIC_ACQUIRE))
            continue;
        hp_resolve_thread_end(s);
        s->process = NULL;
        atomic_store(&s->ring->waiting, 0);
        atomic_store(&s->ring->state, HP_RING_FREE);
    }
    for (struct hp_process *p = c->processes, *next; p; p = next) {
        bool open = p->waits_for_parent;

        next = p->next;
        for (uint32_t i = 0; i < HP_RING_COUNT && p->gone && !open; i++)
            open = c->streams[i].process == p;
        if (p->gone && !open)
            hp_lineage_finish(c, p);
    }
}

/* A failed writer ends the recording; the program runs on. */
static bool writer_failed(const struct hp_collector *c)
{
    for (const struct hp_process *p = c->processes; p; p = p->next)
        if (p->write_failed)
            return true;
    return c->failed;
}

static uint64_t round_of(struct hp_collector *c, bool watch)
{
    uint64_t events = 0;

    atomic_fetch_add(&c->shared->heartbeat, 1);
    if (watch)
        hp_lineage_watch(c);
    hp_lineage_adopt(c);
    scan(c);
    for (struct hp_process *p = c->processes; p; p = p->next)
        if (hp_lineage_ready(c, p))
            events += hp_merge_process(c, p);
    release(c);
    if (writer_failed(c))
        atomic_store(&c->shared->control, HP_CONTROL_STOP);
    return events;
}

static void sleep_until_rung(struct hp_collector *c, long ns)
{
    const struct timespec timeout = {.tv_nsec = ns};
    uint32_t bell = atomic_load(&c->shared->doorbell);

    atomic_store(&c->shared->sleeping, 1);
    syscall(SYS_futex, &c->shared->doorbell, FUTEX_WAIT, bell, &timeout, NULL, 0);
    atomic_store(&c->shared->sleeping, 0);
}

static void reap(struct hp_collector *c)
{
    if (c->child && waitpid(c->child, &c->exit_status, WNOHANG) == c->child) {
        for (struct hp_process *p = c->processes; p; p = p->next)
            if (p->pid == (uint32_t)c->child && !p->gone)
                p->exit_status = c->exit_status, p->gone = true;
        c->child = 0;
    }
}

/* Children may outlive the program; an interrupt ends the wait for them and the recording. */
static bool give_up_children(struct hp_collector *c, uint64_t ended_ns, bool *noted)
{
    if (stop_requested) {
        atomic_store(&c->shared->control, HP_CONTROL_STOP);
        for (struct hp_process *p = c->processes; p; p = p->next)
            p->gone = true;
        return true;
    }
    if (!*noted && monotonic_ns() > ended_ns + NOTE_MS * 1000000ull) {
        *noted = true;
        fprintf(stderr, "heaplay: the program has ended, its child %u is still running and recorded; "
                "interrupt (Ctrl-C) to stop\n", c->processes->pid);
    }
    return false;
}

static void forward_signal(struct hp_collector *c)
{
    if (stop_requested && c->child) {
        if (stop_requested != SIGINT && stop_requested != SIGQUIT)      /* the terminal sent those to it as well */
            kill(c->child, stop_requested);
        stop_requested = 0;
    }
}

int hp_collector_run(struct hp_collector *c)
{
    uint64_t now, watched = 0, checked = 0, ended_ns = 0, events;
    bool noted = false;

    for (;;) {
        bool watch;

        now = monotonic_ns();
        watch = now > watched + WATCH_MS * 1000000ull;
        if (watch)
            watched = now;
        if (now > checked + THREAD_CHECK_MS * 1000000ull) {
            checked = now;
            check_threads(c);
        }
        forward_signal(c);
        hp_lineage_adopt(c);
        if (c->child)
            reap(c);
        if (!c->child && !ended_ns)
            ended_ns = now;
        if (!c->child && c->processes)
            give_up_children(c, ended_ns, &noted);
        events = round_of(c, watch);
        if (!c->child && !c->processes && !events)
            return 0;
        if (events < BUSY_EVENTS)
            sleep_until_rung(c, c->child == 0 || events ? SLEEP_NS : IDLE_NS);
    }
}
