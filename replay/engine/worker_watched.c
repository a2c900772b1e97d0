/* worker_watched.c - the loop of the watched run: as the timed one, on the recorded threads, but each thread keeps account
 * of its calls, requested and usable bytes in the job page, where the outside sampler (watch.c) reads them.
 *
 * Requested sizes of live blocks are in a table beside the slots, resident before the baseline. Whoever frees a block
 * takes it off its own account: one thread's may be negative, their sum is not. */
#include "engine/worker.h"

#include <time.h>

#include "engine/worker_execute.h"

static uint64_t *requested;     /* bytes asked for, of the block in each slot */

void hp_watched_prepare(void)
{
    requested = hp_worker_map((size_t)hp_worker.plan->slots * sizeof *requested);
}

static void wait_for(uint32_t state)
{
    while (atomic_load(&hp_worker.job->watch) != state)
        nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
}

void hp_watched_begin(void)
{
    atomic_store(&hp_worker.job->watch, HP_WATCH_READY);
    wait_for(HP_WATCH_GO);
}

void hp_watched_end(void)
{
    atomic_store(&hp_worker.job->watch, HP_WATCH_DONE);
    wait_for(HP_WATCH_OVER);
}

static void add(_Atomic int64_t *sum, int64_t bytes)
{
    atomic_store_explicit(sum, atomic_load_explicit(sum, memory_order_relaxed) + bytes, memory_order_relaxed);
}

static uint64_t size_of(const struct hp_op *op)
{
    unsigned code = op->code & ~OP_PUBLISH;

    return code == OP_CALLOC || code == OP_REALLOCARRAY ? (op->size >> 32) * (op->size & UINT32_MAX) : op->size;
}

static void step(struct hp_progress *mine, const struct hp_op *op)
{
    const struct hp_worker *w = &hp_worker;
    int64_t live = 0, usable = 0;

    if (hp_op_consumes(op->code & ~OP_PUBLISH)) {
        live -= (int64_t)requested[op->slot];
        usable -= (int64_t)w->calls.usable_size(w->slot[op->slot]);
    }
    hp_loop_step(op);
    if (hp_op_makes(op->code & ~OP_PUBLISH)) {
        requested[op->slot] = size_of(op);
        live += (int64_t)requested[op->slot];
        usable += (int64_t)w->calls.usable_size(w->slot[op->slot]);
    }
    add(&mine->live_bytes, live);
    add(&mine->usable_bytes, usable);
    atomic_fetch_add_explicit(&mine->calls, 1, memory_order_relaxed);
}

void hp_watched_run(struct hp_lane *me)
{
    const struct hp_stream s = hp_plan_stream_of(me->index);
    const struct hp_op *op = hp_plan_operations(&s);

    for (uint64_t i = 0; i < s.count; i++, op++) {
        if ((op->code & ~OP_PUBLISH) >= OP_CODE_CALLS) {
            hp_loop_order(me, op);
            continue;
        }
        step(&hp_worker.job->progress[me->index], op);
        if (op->code & OP_PUBLISH)
            hp_sync_publish(&me->done, (uint32_t)(i + 1));
    }
}
