/* compile_head.c - totals, peak and curve of live bytes, see compile_head.h. */
#include "trace/compile_head.h"

/* Keeps at most HP_MAX_POINTS points: when they are full, every other one goes and the step doubles. */
static void add_point(struct hp_plan *p, uint64_t live_bytes)
{
    if (p->calls % p->curve_step != 0)
        return;
    if (p->points == HP_MAX_POINTS) {
        for (uint32_t i = 0; i < HP_MAX_POINTS / 2; i++)
            p->live_bytes[i] = p->live_bytes[2 * i + 1];
        p->points = HP_MAX_POINTS / 2;
        p->curve_step *= 2;
        if (p->calls % p->curve_step != 0)
            return;
    }
    p->live_bytes[p->points++] = live_bytes;
}

void hp_compile_head_count(struct hp_plan *p, const struct hp_event *e, uint64_t bytes, uint64_t live_blocks,
                           uint64_t live_bytes)
{
    p->calls++;
    if (e->id != 0) {
        p->requested_total += ((bytes + 15) & ~15ull) + 16 + (e->alignment > 16 ? e->alignment : 0);
        if (bytes > p->largest_bytes)
            p->largest_bytes = bytes;
    }
    if (live_blocks > p->live_max)
        p->live_max = live_blocks;
    if (live_bytes > p->peak_live_bytes) {
        p->peak_live_bytes = live_bytes;
        p->peak_call = p->calls;
    }
    add_point(p, live_bytes);
}

uint64_t hp_compile_head_epoch(const struct hp_plan *p)
{
    enum { CALLS_MOST = 4096, CALLS_LEAST = 32, PEAK_SHARE = 16 };
    uint64_t bytes_per_call = p->requested_total / (p->calls + 1) + 1;
    uint64_t calls = p->peak_live_bytes / PEAK_SHARE / bytes_per_call;
    uint64_t most = (uint64_t)CALLS_MOST * p->threads, least = (uint64_t)CALLS_LEAST * p->threads;

    return calls > most ? most : calls < least ? least : calls;
}
