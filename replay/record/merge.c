/* merge.c - the records of a process's rings in the order of their stamps, up to the horizon. Called by collector.c.
 *
 * A stream whose next record hands out an address that is still live is parked until some other stream frees it.
 */
#include "record/collector.h"

enum {
    LOOKAHEAD = 16,             /* slots ahead whose table entry is fetched */
    PATIENCE_MS = 2,            /* of trace time, for a free that should have come */
    MARGIN_DIVISOR = 50,        /* the horizon stays 1/50 ms behind: a reservation may sit in a store buffer */
};

struct entry {
    uint64_t stamp;
    struct hp_stream *stream;
};

/* A heap of streams, the one with the oldest head first. */
struct heap {
    size_t count;
    struct entry at[HP_RING_COUNT];
};

struct merge {
    struct hp_collector *collector;
    struct hp_process *process;
    uint64_t horizon;
    uint64_t consumed;
    bool all_seen;              /* the process is gone and its rings are empty: no horizon */
    struct heap heap;
};

static const struct hp_slot *head_slot(const struct hp_stream *s)
{
    return &s->head->slots[(s->position - s->begin) % HP_CHUNK_SLOTS];
}

static uint64_t head_stamp(const struct hp_stream *s)
{
    return atomic_load_explicit(&head_slot(s)->stamp, memory_order_relaxed) >> HP_STAMP_SHIFT;
}

/* The next record; returns its number of slots. */
static unsigned take_record(const struct hp_stream *s, struct hp_record *record)
{
    uint64_t index = (s->position - s->begin) % HP_CHUNK_SLOTS;
    const struct hp_slot *slot = &s->head->slots[index], *more;

    *record = (struct hp_record){.stamp = atomic_load_explicit(&slot->stamp, memory_order_relaxed),
                                 .a = slot->word >> HP_MORE_BITS, .b = slot->word & ((1u << HP_MORE_BITS) - 1)};
    if (!hp_shared_is_wide(slot))
        return 1;
    more = index + 1 < HP_CHUNK_SLOTS ? slot + 1 : s->head->next->slots;
    record->c = atomic_load_explicit(&more->stamp, memory_order_relaxed) >> HP_STAMP_SHIFT |
                record->b << (64 - HP_STAMP_SHIFT);
    record->b = more->word;
    return 2;
}

/* The last chunk stays: the drain may still append to it. Only called when a further slot is ready. */
static void leave_chunk(struct hp_collector *c, struct hp_stream *s)
{
    struct hp_chunk *done = s->head;

    s->head = done->next;
    hp_drain_recycle(c, done);
}

/* Moves on; a chunk is given back when the next one has begun. */
static void step(struct hp_collector *c, struct hp_stream *s)
{
    s->position++;
    if ((s->position - s->begin) % HP_CHUNK_SLOTS == 0)
        s->at_boundary = true;
    if (s->at_boundary && s->position < s->ready) {
        leave_chunk(c, s);
        s->at_boundary = false;
    }
}

static void push(struct merge *m, struct hp_stream *s)
{
    struct heap *h = &m->heap;
    uint64_t stamp;
    size_t i = h->count;

    if (s->position == s->ready || s->parked || (stamp = head_stamp(s)) > m->horizon)
        return;
    for (h->count++; i > 0 && h->at[(i - 1) / 2].stamp > stamp; i = (i - 1) / 2)
        h->at[i] = h->at[(i - 1) / 2];
    h->at[i] = (struct entry){stamp, s};
}

static struct hp_stream *pop(struct heap *h)
{
    struct hp_stream *first = h->at[0].stream;
    struct entry last = h->at[--h->count];
    size_t i = 0;

    for (size_t child = 1; child < h->count; child = 2 * i + 1) {
        if (child + 1 < h->count && h->at[child + 1].stamp < h->at[child].stamp)
            child++;
        if (last.stamp <= h->at[child].stamp)
            break;
        h->at[i] = h->at[child];
        i = child;
    }
    h->at[i] = last;
    return first;
}

static void park(struct hp_stream *s, uint64_t address)
{
    s->parked = true;
    s->parked_address = address;
    s->parked_since = head_stamp(s);
    s->process->parked++;
}

static void unpark(struct merge *m, struct hp_stream *s)
{
    s->parked = false;
    m->process->parked--;
    push(m, s);
}

static void unpark_waiting_for(struct merge *m, uint64_t address)
{
    for (uint32_t i = 0; i < hp_collector_rings(m->collector); i++) {
        struct hp_stream *s = &m->collector->streams[i];

        if (s->process == m->process && s->parked && s->parked_address == address) {
            m->process->counts.inversions++;
            unpark(m, s);
        }
    }
}

/* Consumes one stream until another one is older. */
static void run_stream(struct merge *m, struct hp_stream *s, bool patient)
{
    uint64_t start = s->position;

    while (s->position < s->ready && head_stamp(s) <= m->horizon) {
        const struct hp_slot *slot = head_slot(s);
        struct hp_record record;
        unsigned slots;
        uint64_t freed = 0, index = (s->position - s->begin) % HP_CHUNK_SLOTS;

        if (m->heap.count && m->heap.at[0].stamp < head_stamp(s))
            break;
        if (s->position + LOOKAHEAD < s->ready && index + LOOKAHEAD < HP_CHUNK_SLOTS)
            hp_table_prefetch(&s->process->live, slot[LOOKAHEAD].word >> HP_MORE_BITS);
        slots = take_record(s, &record);
        if ((record.stamp & HP_STAMP_KIND_MASK) == HP_RAW_FORK)
            hp_lineage_fork(m->collector, s->process, record.a);
        if (hp_resolve_record(s, &record, patient, &freed) == HP_PARKED) {
            park(s, record.a);
            break;
        }
        patient = true;
        while (slots--)
            step(m->collector, s);
        if (freed && m->process->parked)
            unpark_waiting_for(m, freed);
    }
    m->consumed += s->position - start;
    push(m, s);
}

/* The oldest parked stream whose free did not come although everything around it has been seen. */
static struct hp_stream *overdue(const struct merge *m)
{
    uint64_t patience = PATIENCE_MS * m->collector->ticks_per_ms;
    struct hp_stream *oldest = NULL;

    for (uint32_t i = 0; i < hp_collector_rings(m->collector); i++) {
        struct hp_stream *s = &m->collector->streams[i];

        if (s->process == m->process && s->parked && (!oldest || s->parked_since < oldest->parked_since))
            oldest = s;
    }
    return oldest && (m->all_seen || m->horizon > oldest->parked_since + patience) ? oldest : NULL;
}

/* One consistent look at the streams: how far each may be merged, and up to which stamp. */
static void take_snapshot(struct merge *m)
{
    struct hp_collector *c = m->collector;
    uint64_t margin = c->ticks_per_ms / MARGIN_DIVISOR;

    m->horizon = UINT64_MAX;
    pthread_mutex_lock(&c->lock);
    for (uint32_t i = 0; i < hp_collector_rings(c); i++) {
        struct hp_stream *s = &c->streams[i];

        if (s->process != m->process)
            continue;
        s->ready = s->checked;
        if (s->at_boundary && s->position < s->ready) {
            leave_chunk(c, s);
            s->at_boundary = false;
        }
        if (!m->all_seen && s->safe_until < m->horizon)
            m->horizon = s->safe_until;
    }
    pthread_mutex_unlock(&c->lock);
    if (m->horizon != UINT64_MAX)
        m->horizon = m->horizon > margin ? m->horizon - margin : 0;
}

uint64_t hp_merge_process(struct hp_collector *c, struct hp_process *p)
{
    static struct merge merge;
    struct merge *m = &merge;
    struct hp_stream *s;

    m->collector = c;
    m->process = p;
    m->consumed = 0;
    m->heap.count = 0;
    m->all_seen = p->gone && c->scans > p->gone_at_scan + 1;
    take_snapshot(m);
    for (uint32_t i = 0; i < hp_collector_rings(c); i++)
        if (c->streams[i].process == p)
            push(m, &c->streams[i]);
    for (;;) {
        while (m->heap.count)
            run_stream(m, pop(&m->heap), true);
        if (!p->parked || !(s = overdue(m)))
            return m->consumed;
        s->parked = false;
        p->parked--;
        run_stream(m, s, false);
    }
}
