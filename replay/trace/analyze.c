/* analyze.c - one pass over a trace; memory follows its live blocks. Called by `heaplay info`.
 * The curve keeps at most HP_CURVE_POINTS points: when it is full, every second point goes and the step doubles. */
#include "trace/analyze.h"
#include "trace/live.h"
#include "trace/threads.h"
#include "trace/validate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct state {
    struct hp_analysis *result;
    struct hp_live live;
    uint64_t *by_size;                  /* allocations of each size below HP_COMMON_BELOW */
    struct hp_threads threads;
};

unsigned hp_class_of(uint64_t v)
{
    return v ? 64u - (unsigned)__builtin_clzll(v) : 0;
}

static uint64_t round16(uint64_t v)
{
    return v > UINT64_MAX - 15 ? UINT64_MAX : (v + 15) & ~UINT64_C(15);
}

static uint64_t round_page(uint64_t v)
{
    return v > UINT64_MAX - 4095 ? UINT64_MAX : (v + 4095) & ~UINT64_C(4095);
}

static struct hp_bounds bounds_of(uint64_t size)
{
    struct hp_bounds b = { .requested = size, .rounded_16 = round16(size ? size : 1),
                           .header = round16(size > UINT64_MAX - 8 ? size : size + 8) };

    if (b.header < 32)
        b.header = 32;
    b.cells = b.rounded_16 <= 64 ? b.rounded_16 : b.header;
    if (size < 4096)
        b.below_page = b.rounded_16;
    else
        b.own_pages = round_page(size);
    return b;
}

uint64_t hp_bounds_pages(const struct hp_bounds *bounds)
{
    return round_page(bounds->below_page) + bounds->own_pages;
}

static void add_bounds(struct hp_bounds *sum, uint64_t size)
{
    struct hp_bounds b = bounds_of(size);

    sum->requested += b.requested;
    sum->rounded_16 += b.rounded_16;
    sum->header += b.header;
    sum->cells += b.cells;
    sum->below_page += b.below_page;
    sum->own_pages += b.own_pages;
}

static void subtract_bounds(struct hp_bounds *sum, uint64_t size)
{
    struct hp_bounds b = bounds_of(size);

    sum->requested -= b.requested;
    sum->rounded_16 -= b.rounded_16;
    sum->header -= b.header;
    sum->cells -= b.cells;
    sum->below_page -= b.below_page;
    sum->own_pages -= b.own_pages;
}

/* Takes the old block out; returns how many reallocs it had been through. */
static uint32_t end_block(struct state *s, const struct hp_event *e)
{
    struct hp_analysis *r = s->result;
    struct hp_live_block *block = hp_live_find(&s->live, e->old_id);
    uint32_t chain;

    if (!block)
        return 0;
    chain = block->chain;
    r->lifetime_count[hp_class_of(r->operations - block->born)]++;
    r->size_live[hp_class_of(block->size)]--;
    r->resident_of += block->size;
    r->resident += e->resident_bytes;
    r->cross_thread_frees += block->thread != e->thread;
    subtract_bounds(&r->now, block->size);
    hp_live_remove(&s->live, block);
    return chain;
}

static void count_size(struct state *s, uint64_t size)
{
    struct hp_analysis *r = s->result;
    unsigned class = hp_class_of(size);

    r->size_count[class]++;
    r->size_bytes[class] += size;
    if (++r->size_live[class] > r->size_most_live[class])
        r->size_most_live[class] = r->size_live[class];
    if (size < HP_COMMON_BELOW)
        s->by_size[size]++;
}

static void find_common(const struct state *s)
{
    struct hp_common *common = s->result->common;

    for (uint64_t size = 0; size < HP_COMMON_BELOW; size++) {
        unsigned at = HP_COMMON_SIZES;
        while (at && s->by_size[size] > common[at - 1].count)
            at--;
        if (at == HP_COMMON_SIZES)
            continue;
        memmove(common + at + 1, common + at, (HP_COMMON_SIZES - 1 - at) * sizeof *common);
        common[at] = (struct hp_common){ size, s->by_size[size] };
    }
}

static int begin_block(struct state *s, const struct hp_event *e, uint32_t chain)
{
    struct hp_analysis *r = s->result;
    struct hp_live_block block = { .id = e->id, .size = hp_event_bytes(e), .born = r->operations, .thread = e->thread,
                                   .chain = chain };

    r->allocations++;
    r->requested_bytes += block.size;
    count_size(s, block.size);
    add_bounds(&r->now, block.size);
    if (hp_live_add(&s->live, &block))
        return HP_E_IO;
    if (r->now.requested > r->peak_live_bytes) {
        r->peak_live_bytes = r->now.requested;
        r->peak_operation = r->operations;
        r->at_peak = r->now;
    }
    if (s->live.count > r->peak_live_blocks)
        r->peak_live_blocks = s->live.count;
    return 0;
}

static void add_point(struct state *s, uint64_t time_ns)
{
    struct hp_analysis *r = s->result;

    if (r->operations % r->curve_step)
        return;
    if (r->curve_points == HP_CURVE_POINTS) {
        for (uint32_t i = 0; i < HP_CURVE_POINTS / 2; i++)
            r->curve[i] = r->curve[2 * i + 1];
        r->curve_points = HP_CURVE_POINTS / 2;
        r->curve_step *= 2;
        if (r->operations % r->curve_step)
            return;
    }
    r->curve[r->curve_points++] = (struct hp_point){ r->operations, time_ns, r->now.requested, s->live.count };
}

static int take_event(struct state *s, const struct hp_event *e)
{
    struct hp_analysis *r = s->result;
    bool frees = hp_kind_frees(e->kind), allocates = hp_kind_allocates(e->kind);
    uint32_t chain = 0;
    int error = 0;

    if (!hp_threads_see(&s->threads, e->thread))
        return HP_E_INVALID;
    r->by_kind[e->kind]++;
    r->duration_ns = e->time_ns;
    if (e->kind >= HP_THREAD_START)
        return 0;
    r->operations++;
    if (hp_event_consumes(e))
        chain = end_block(s, e);
    if (frees && !allocates) {
        r->frees += e->old_id != 0;
        r->null_frees += e->old_id == 0;
    } else if (allocates && !e->id) {
        r->frees += hp_event_consumes(e);
        r->failed += !hp_event_consumes(e);
    }
    if (e->id && e->old_id) {
        r->reallocs_moved++;
        r->realloc_chains += chain == 0;
        chain++;
        if (chain > r->longest_chain)
            r->longest_chain = chain;
    }
    if (e->id)
        error = begin_block(s, e, chain);
    add_point(s, e->time_ns);
    return error;
}

int hp_analyze(hp_reader *reader, struct hp_analysis *result)
{
    struct state s = { .result = result, .by_size = calloc(HP_COMMON_BELOW, sizeof *s.by_size) };
    struct hp_event event;
    int got;

    memset(result, 0, sizeof *result);
    result->curve_step = 1;
    if (!s.by_size || hp_live_init(&s.live)) {
        free(s.by_size);
        snprintf(result->text, sizeof result->text, "out of memory for the table of live blocks");
        return HP_E_IO;
    }
    while ((got = hp_reader_next(reader, &event)) == 1) {
        got = take_event(&s, &event);
        if (got < 0)
            break;
    }
    if (got < 0)
        snprintf(result->text, sizeof result->text, "%s", *hp_reader_error(reader) ? hp_reader_error(reader)
                 : got == HP_E_IO ? "out of memory for the live blocks" : "thread number beyond any bound");
    find_common(&s);
    free(s.by_size);
    result->never_freed = s.live.count;
    result->threads = s.threads.count;
    hp_live_free(&s.live);
    hp_threads_free(&s.threads);
    return got;
}
