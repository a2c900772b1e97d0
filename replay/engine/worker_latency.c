/* worker_latency.c - the loop of the latency runs: as the timed one, but around one call in `stride` the clock is read.
 * These runs give latencies only; the throughput figures come from runs without a clock in the loop. */
#include "engine/worker_execute.h"

static struct hp_latency *room(void)
{
    return (struct hp_latency *)(void *)(hp_worker.job + 1);
}

/* The position after this one that is sampled: the same set of positions for every allocator. */
static uint64_t next_sample(uint64_t position, uint32_t thread)
{
    uint64_t x = (position + 1) * 0x9e3779b97f4a7c15u ^ hp_worker.job->latency_seed ^ (uint64_t)thread << 40;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return position + 1 + (x ^ x >> 31) % (2 * hp_worker.job->latency_stride - 1);
}

static uint32_t clip(uint64_t ns)
{
    return ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

static void keep(uint32_t thread, uint64_t position, uint64_t t0, uint64_t t1, uint64_t t2)
{
    uint32_t n = __atomic_fetch_add(&hp_worker.job->latency_taken, 1, __ATOMIC_RELAXED);

    if (n < HP_LATENCY_ROOM)
        room()[n] = (struct hp_latency){ .thread = thread, .position = position, .ns = clip(t2 - t1),
                                         .control_ns = clip(t1 - t0) };
}

/* The call alone is timed; touching the block is the program's doing. */
static void sample(const struct hp_lane *me, const struct hp_op *op, uint64_t position)
{
    const struct hp_worker *w = &hp_worker;
    uint64_t t0 = hp_worker_now_ns(), t1 = hp_worker_now_ns();
    size_t from, size;

    if (hp_execute_end(&w->calls, w->slot, op)) {
        keep(me->index, position, t0, t1, hp_worker_now_ns());
        return;
    }
    char *p = hp_execute_make(&w->calls, w->slot, op, &from, &size);
    keep(me->index, position, t0, t1, hp_worker_now_ns());
    if (!p && size)
        hp_execute_refused(op);
    hp_touched_part(op, (int)w->job->touch, &from, &size);
    hp_touch(p, from, size, (int)w->job->touch, w->job->touch_lines);
    w->slot[op->slot] = p;
}

void hp_latency_run(struct hp_lane *me)
{
    const struct hp_stream s = hp_plan_stream_of(me->index);
    const struct hp_op *op = hp_plan_operations(&s);
    uint64_t next = next_sample(s.before, me->index), end = s.before + s.count;

    for (uint64_t i = s.before; i < end; i++, op++) {
        if ((op->code & ~OP_PUBLISH) >= OP_CODE_CALLS) {
            hp_loop_order(me, op);
            next += next == i;
            continue;
        }
        if (i == next) {
            sample(me, op, i);
            next = next_sample(i, me->index);
        } else {
            hp_loop_step(op);
        }
        if (op->code & OP_PUBLISH)
            hp_sync_publish(&me->done, (uint32_t)(i + 1 - s.before));
    }
}
