/* compile_order.c - vector clocks, epochs and slots of a plan in the making; see compile_order.h. */
#include "trace/compile_order.h"

#include <stdlib.h>
#include <string.h>

enum {
    SNAPSHOTS_KEPT = 1024,      /* of a thread; older knowledge is found redundant by epochs, or costs a redundant edge */
    SNAPSHOT_ENTRIES = 1 << 24, /* of all threads together: with very many, each keeps fewer */
    SLOTS_PER_LINE = 8,         /* threads do not share cache lines of the slot table */
};

static bool make_room(void *array, size_t element, size_t needed, size_t *room)
{
    void **p = array;

    if (needed <= *room)
        return true;
    size_t wanted = *room ? *room * 2 : 64;
    while (wanted < needed)
        wanted *= 2;
    void *bigger = realloc(*p, wanted * element);
    if (!bigger)
        return false;
    *p = bigger;
    *room = wanted;
    return true;
}

void hp_order_init(struct hp_order *o, uint64_t epoch_calls)
{
    memset(o, 0, sizeof *o);
    o->slots = SLOTS_PER_LINE;      /* the first line holds slot 0 (NULL) only */
    o->epoch_calls = epoch_calls;
}

void hp_order_release(struct hp_order *o)
{
    for (uint32_t t = 0; t < HP_MAX_THREADS; t++) {
        struct hp_order_thread *th = &o->thread[t];
        for (size_t i = 0; i < th->snapshot_room; i++)
            free(th->snapshot[i].known);
        free(th->snapshot);
        free(th->op);
        free(th->known);
        free(th->free_slot);
    }
    free(o->participants);
    free(o->shared);
    memset(o, 0, sizeof *o);
}

bool hp_order_append(struct hp_order *o, uint32_t thread, struct hp_op op)
{
    struct hp_order_thread *t = &o->thread[thread];

    if (!make_room(&t->op, sizeof *t->op, t->count + 1, &t->room))
        return false;
    t->op[t->count++] = op;
    t->calls += op.code < OP_CODE_CALLS;
    o->operations++;
    return true;
}

/* Room for what one more wait taught the thread: a new place in its ring, or the oldest one. */
static struct hp_snapshot *newest_snapshot(struct hp_order *o, struct hp_order_thread *t)
{
    size_t most = SNAPSHOT_ENTRIES / ((size_t)o->threads * o->threads + 1);

    most = most < 4 ? 4 : most > SNAPSHOTS_KEPT ? SNAPSHOTS_KEPT : most;
    if (!t->snapshot) {
        t->snapshot = calloc(SNAPSHOTS_KEPT, sizeof *t->snapshot);
        if (!t->snapshot)
            return NULL;
        t->snapshot_room = SNAPSHOTS_KEPT;
    }
    while (t->snapshot_used >= most) {
        free(t->snapshot[t->snapshot_first].known);
        t->snapshot[t->snapshot_first].known = NULL;
        t->snapshot_first = (t->snapshot_first + 1) % t->snapshot_room;
        t->snapshot_used--;
    }
    return &t->snapshot[(t->snapshot_first + t->snapshot_used++) % t->snapshot_room];
}

static bool remember(struct hp_order *o, struct hp_order_thread *t)
{
    struct hp_snapshot *s = newest_snapshot(o, t);

    if (!s || !(s->known = malloc(o->threads * sizeof *s->known)))
        return false;
    s->position = (uint32_t)t->count;
    s->threads = o->threads;
    memcpy(s->known, t->known, o->threads * sizeof *s->known);
    return true;
}

/* What the thread knew when it executed the operation at position; NULL: nothing, or no longer remembered. */
static const struct hp_snapshot *recall(const struct hp_order_thread *t, uint32_t position)
{
    size_t low = 0, high = t->snapshot_used;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (t->snapshot[(t->snapshot_first + middle) % t->snapshot_room].position <= position)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? &t->snapshot[(t->snapshot_first + low - 1) % t->snapshot_room] : NULL;
}

static void learn(uint32_t *known, const struct hp_snapshot *more)
{
    for (uint32_t u = 0; more && u < more->threads; u++)
        if (known[u] < more->known[u])
            known[u] = more->known[u];
}

bool hp_order_after(struct hp_order *o, uint32_t thread, uint32_t other, uint32_t position)
{
    struct hp_order_thread *t = &o->thread[thread], *u = &o->thread[other];

    if (thread == other)
        return true;
    if (t->known[other] > position) {
        o->edges_dropped++;
        return true;
    }
    u->op[position].code |= OP_PUBLISH;
    o->edges++;
    if (!hp_order_append(o, thread, (struct hp_op){ .code = OP_WAIT, .slot = other, .size = position + 1 }))
        return false;
    t->known[other] = position + 1;
    learn(t->known, recall(u, position));
    return remember(o, t);
}

/* Where thread u stood when it had left all epochs up to e. */
static uint64_t left_at(const struct hp_order_thread *u, uint64_t e)
{
    uint64_t position = u->started && u->epoch <= e ? u->count : 0;

    for (size_t i = 0; i < sizeof u->left / sizeof *u->left; i++)
        if (u->left[i].position > position && u->left[i].epoch <= e)
            position = u->left[i].position;
    return position;
}

static bool leave_epoch(struct hp_order *o, uint32_t thread)
{
    struct hp_order_thread *t = &o->thread[thread];

    if (!hp_order_append(o, thread, (struct hp_op){ .code = OP_EPOCH_DONE, .size = t->epoch }))
        return false;
    t->left[t->epoch % 4].epoch = t->epoch;
    t->left[t->epoch % 4].position = t->count;
    return true;
}

static bool join_epoch(struct hp_order *o, uint32_t thread, uint64_t epoch)
{
    struct hp_order_thread *t = &o->thread[thread];

    if (!make_room(&o->participants, sizeof *o->participants, epoch + 1, &o->participants_room))
        return false;
    while (o->epochs <= epoch)
        o->participants[o->epochs++] = 0;
    o->participants[epoch]++;
    t->epoch = epoch;
    if (epoch < 2)
        return true;
    if (!hp_order_append(o, thread, (struct hp_op){ .code = OP_EPOCH_WAIT, .size = epoch - 2 }))
        return false;
    for (uint32_t u = 0; u < o->threads; u++) {
        uint64_t position = u == thread ? 0 : left_at(&o->thread[u], epoch - 2);
        if (t->known[u] < position)
            t->known[u] = (uint32_t)position;
    }
    return remember(o, t);
}

bool hp_order_enter(struct hp_order *o, uint32_t thread, uint64_t call)
{
    struct hp_order_thread *t = &o->thread[thread];
    uint64_t epoch = o->epoch_calls ? (call - o->section_begin) / o->epoch_calls : 0;
    bool first = !t->started;

    if (first) {
        if (!t->known && !(t->known = calloc(HP_MAX_THREADS, sizeof *t->known)))
            return false;
        t->started = true;
        if (thread >= o->threads)
            o->threads = thread + 1;
    }
    if (!o->epoch_calls || (!first && epoch == t->epoch))
        return true;
    return (first || leave_epoch(o, thread)) && join_epoch(o, thread, epoch);
}

bool hp_order_end_section(struct hp_order *o)
{
    for (uint32_t t = 0; t < o->threads; t++)
        if (o->epoch_calls && o->thread[t].started && !leave_epoch(o, t))
            return false;
    return true;
}

static void forget_section(struct hp_order_thread *t)
{
    t->before += t->count;
    free(t->op);
    t->op = NULL;
    t->count = t->room = 0;
    t->calls = t->epoch = 0;
    t->started = false;
    memset(t->left, 0, sizeof t->left);
    if (t->known)
        memset(t->known, 0, HP_MAX_THREADS * sizeof *t->known);
    for (; t->snapshot_used; t->snapshot_used--) {
        free(t->snapshot[t->snapshot_first].known);
        t->snapshot[t->snapshot_first].known = NULL;
        t->snapshot_first = (t->snapshot_first + 1) % t->snapshot_room;
    }
}

void hp_order_next_section(struct hp_order *o, uint64_t call)
{
    for (uint32_t t = 0; t < o->threads; t++)
        forget_section(&o->thread[t]);
    for (size_t i = 0; i < o->shared_used; i++)
        o->shared[(o->shared_first + i) % o->shared_room].free_from = 0;
    o->section++;
    o->section_begin = call;
    o->operations = o->epochs = 0;
}

uint32_t hp_order_take_slot(struct hp_order *o, uint32_t thread)
{
    struct hp_order_thread *t = &o->thread[thread];

    if (t->free_used)
        return t->free_slot[--t->free_used];
    /* Freed in an epoch that all have left by the time this thread is where it is. */
    if (o->shared_used && o->shared[o->shared_first].free_from <= t->epoch) {
        uint32_t slot = o->shared[o->shared_first].slot;
        o->shared_first = (o->shared_first + 1) % o->shared_room;
        o->shared_used--;
        return slot;
    }
    if (t->line_next == t->line_end) {
        if (o->slots > UINT32_MAX - SLOTS_PER_LINE)
            return 0;
        t->line_next = o->slots;
        t->line_end = o->slots += SLOTS_PER_LINE;
    }
    return t->line_next++;
}

static bool share_slot(struct hp_order *o, uint32_t slot, uint64_t epoch)
{
    if (o->shared_used == o->shared_room) {
        size_t room = o->shared_room ? o->shared_room * 2 : 256;
        struct hp_shared_slot *bigger = malloc(room * sizeof *bigger);
        if (!bigger)
            return false;
        for (size_t i = 0; i < o->shared_used; i++)
            bigger[i] = o->shared[(o->shared_first + i) % o->shared_room];
        free(o->shared);
        o->shared = bigger;
        o->shared_room = room;
        o->shared_first = 0;
    }
    size_t last = (o->shared_first + o->shared_used++) % o->shared_room;
    o->shared[last] = (struct hp_shared_slot){ .slot = slot, .free_from = epoch + 2 };
    return true;
}

bool hp_order_give_slot(struct hp_order *o, uint32_t thread, uint32_t home, uint32_t slot)
{
    struct hp_order_thread *t = &o->thread[thread];

    if (home != thread && o->epoch_calls)
        return share_slot(o, slot, t->epoch);
    if (!make_room(&t->free_slot, sizeof *t->free_slot, t->free_used + 1, &t->free_room))
        return false;
    t->free_slot[t->free_used++] = slot;
    return true;
}
