/* worker_loop.c - the loops that are timed. One instance per touch policy, backend and number of streams, so that none
 * of these is looked at per operation. Called by worker_timed.c through hp_loop_run. */
#include "engine/worker_execute.h"

#include <time.h>

void hp_execute_refused(const struct hp_op *op)
{
    uint64_t at = UINT64_MAX;

    for (uint32_t t = 0; t < hp_worker.plan->threads; t++) {
        struct hp_stream s = hp_plan_stream_of(t);
        const struct hp_op *first = hp_plan_operations(&s);
        if (op >= first && op < first + s.count)
            at = s.before + (uint64_t)(op - first);
    }
    hp_worker_stop(HP_WORKER_WRONG, at, "returned NULL for a request of %llu bytes (code %u)",
                   (unsigned long long)op->size, op->code & ~OP_PUBLISH);
}

static void leave_epoch(uint64_t epoch)
{
    struct hp_worker *w = &hp_worker;

    if (atomic_fetch_sub(&w->epoch_left[epoch], 1) != 1)
        return;
    /* Whoever finds the next unfinished epoch empty moves the mark on: the order of the two reads makes sure that the
     * last to leave is seen by somebody. */
    for (uint32_t done = atomic_load(&w->epochs_done.value);
         done < w->section->epochs && atomic_load(&w->epoch_left[done]) == 0;
         done = atomic_load(&w->epochs_done.value))
        if (atomic_compare_exchange_strong(&w->epochs_done.value, &done, done + 1))
            hp_sync_wake(&w->epochs_done, done + 1);
}

static void stall(struct hp_lane *me, struct hp_mark *mark, uint64_t needed)
{
    if (atomic_load_explicit(&mark->value, memory_order_acquire) >= needed)
        return;
    uint64_t from = hp_worker_now_ns();
    hp_sync_wait(mark, (uint32_t)needed, hp_worker.spins);
    me->stall_ns += hp_worker_now_ns() - from;
}

static void pace(uint64_t at_ns)
{
    uint64_t at = hp_worker.start_ns + at_ns;
    struct timespec until = { .tv_sec = (time_t)(at / 1000000000u), .tv_nsec = (long)(at % 1000000000u) };

    if (hp_worker_now_ns() < at)
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

void hp_loop_order(struct hp_lane *me, const struct hp_op *op)
{
    struct hp_worker *w = &hp_worker;

    switch (op->code) {
    case OP_WAIT:       stall(me, &w->lane[op->slot].done, op->size); break;
    case OP_EPOCH_DONE: leave_epoch(op->size); break;
    case OP_EPOCH_WAIT: stall(me, &w->epochs_done, op->size + 1); break;
    default:            pace(op->size); break;
    }
}

HP_INLINE void run(struct hp_lane *me, const int touch, const bool null, const bool ordered)
{
    const struct hp_stream s = hp_plan_stream_of(me->index);
    const struct hp_op *first = hp_plan_operations(&s), *op = first, *end = first + s.count;
    const struct hp_calls f = hp_worker.calls;
    const uint64_t lines = hp_worker.job->touch_lines;
    void **slot = hp_worker.slot;
    char *buffer = hp_worker.null_buffer + (size_t)me->index * HP_NULL_BYTES;

    for (; op < end; op++) {
        if (ordered && (op->code & ~OP_PUBLISH) >= OP_CODE_CALLS) {
            hp_loop_order(me, op);
            continue;
        }
        if (null)
            hp_execute_null(buffer, slot, op, touch, lines);
        else
            hp_execute(&f, slot, op, touch, lines);
        if (ordered && (op->code & OP_PUBLISH))
            hp_sync_publish(&me->done, (uint32_t)(op - first + 1));
    }
}

#define LOOP(name, touch, null, ordered) \
    static __attribute__((noinline)) void name(struct hp_lane *me) { run(me, touch, null, ordered); }
#define LOOPS(name, touch) \
    LOOP(name##_plain, touch, false, false) LOOP(name##_ordered, touch, false, true) \
    LOOP(name##_null, touch, true, false) LOOP(name##_null_ordered, touch, true, true)
LOOPS(none, HP_TOUCH_NONE)
LOOPS(first, HP_TOUCH_FIRST)
LOOPS(page, HP_TOUCH_PAGE)
LOOPS(line, HP_TOUCH_LINE)
LOOPS(all, HP_TOUCH_ALL)
LOOPS(recorded, HP_TOUCH_RECORDED)

#define ROW(name) { name##_plain, name##_ordered, name##_null, name##_null_ordered }
static void (*const loop_of[HP_TOUCH_COUNT][4])(struct hp_lane *) = {
    [HP_TOUCH_NONE] = ROW(none), [HP_TOUCH_FIRST] = ROW(first), [HP_TOUCH_PAGE] = ROW(page),
    [HP_TOUCH_LINE] = ROW(line), [HP_TOUCH_ALL] = ROW(all), [HP_TOUCH_RECORDED] = ROW(recorded),
};

void hp_loop_run(struct hp_lane *me)
{
    const struct hp_worker *w = &hp_worker;
    int ordered = w->plan->threads > 1 || w->plan->paced;
    int null = w->job->backend == HP_BACKEND_NULL;

    if (w->job->mode == HP_MODE_LATENCY)
        hp_latency_run(me);
    else if (w->job->mode == HP_MODE_WATCHED)
        hp_watched_run(me);
    else
        loop_of[w->job->touch][ordered + 2 * null](me);
}

void hp_loop_drain(void)
{
    const struct hp_op *op = hp_plan_op(hp_worker.plan, hp_worker.plan->drain.first);

    if (hp_worker.job->backend == HP_BACKEND_NULL)
        return;
    for (uint64_t i = 0; i < hp_worker.plan->drain.count; i++)
        hp_worker.calls.free(hp_worker.slot[op[i].slot]);
}

void hp_loop_step(const struct hp_op *op)
{
    const struct hp_worker *w = &hp_worker;

    if (w->job->backend == HP_BACKEND_NULL)
        hp_execute_null(w->null_buffer, w->slot, op, (int)w->job->touch, w->job->touch_lines);
    else
        hp_execute(&w->calls, w->slot, op, (int)w->job->touch, w->job->touch_lines);
}
