/* resolve.c - see resolve.h. */
#include "record/resolve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t time_of(struct hp_process *p, uint64_t ticks)
{
    uint64_t ns = ticks <= p->start_ticks ? 0 : (uint64_t)((double)(ticks - p->start_ticks) * p->ns_per_tick);

    if (ns > p->last_ns)
        p->last_ns = ns;
    return p->last_ns;
}

static void append(struct hp_process *p, const struct hp_event *event)
{
    if (p->write_failed)
        return;
    if (hp_writer_append(p->writer, event) != 0) {
        snprintf(p->error, sizeof p->error, "%s", hp_writer_error(p->writer));
        p->write_failed = true;
        return;
    }
    p->counts.events++;
    p->counts.allocations += event->id != 0;
    p->counts.frees += event->old_id && hp_kind_frees(event->kind);
    p->counts.operations += event->kind < HP_THREAD_START;
    p->counts.threads += event->kind == HP_THREAD_START;
}

/* Blocks of the parent that live on in a forked child: its trace begins by allocating them, oldest first. */
static void append_inherited(struct hp_process *p)
{
    for (size_t i = 0; i < p->inherited_count; i++) {
        const struct hp_block *b = &p->inherited[i];
        struct hp_event event = {.kind = (uint8_t)b->kind, .id = b->id, .size = b->size};

        if (b->kind == HP_CALLOC)
            event.count = 1;
        if (b->log2_alignment)
            event.alignment = 1ull << b->log2_alignment;
        append(p, &event);
    }
    p->counts.inherited = p->inherited_count;
    free(p->inherited);
    p->inherited = NULL;
    p->inherited_count = 0;
}

bool hp_resolve_open(struct hp_process *p)
{
    struct hp_event start = {.kind = HP_THREAD_START};

    if (p->writer)
        return true;
    if (p->write_failed || !p->open_writer(p)) {
        p->write_failed = true;
        return false;
    }
    if (p->start_held || p->inherited_count)
        append(p, &start);
    p->start_held = false;
    append_inherited(p);
    return !p->write_failed;
}

static void emit(struct hp_stream *s, struct hp_event *event, uint64_t ticks)
{
    struct hp_process *p = s->process;

    event->thread = s->thread;
    if (!p->writer && !hp_resolve_open(p))
        return;
    event->time_ns = time_of(p, ticks);
    append(p, event);
}

static unsigned log2_of(uint64_t alignment)
{
    return alignment > 1 ? 63u - (unsigned)__builtin_clzll(alignment) : 0;
}

/* Allocators round an odd alignment up; so does the trace. */
static uint64_t power_of_two(uint64_t alignment)
{
    if (alignment <= 1 || alignment > 1ull << 62)
        return alignment == 1;
    return 1ull << (64 - __builtin_clzll(alignment - 1));
}

/* A block leaves the table; its site has less. */
static void forget(struct hp_process *p, struct hp_block *block)
{
    if (p->sites)
        hp_sites_freed(p->sites, block->site, block->size);
    hp_table_remove(&p->live, block);
}

static void imply_free(struct hp_stream *s, struct hp_block *block, uint64_t ticks)
{
    struct hp_event event = {.kind = HP_FREE, .old_id = block->id};

    forget(s->process, block);
    s->process->counts.implied_frees++;
    emit(s, &event, ticks);
}

/* The block a call made. False: its address is live and the caller should wait. */
static bool make_block(struct hp_stream *s, struct hp_event *event, uint64_t address, bool patient, uint64_t ticks)
{
    struct hp_process *p = s->process;
    struct hp_block *live, block;
    uint64_t bytes;

    if (!address)
        return true;
    live = hp_table_find(&p->live, address);
    if (live && patient)
        return false;
    if (live)
        imply_free(s, live, ticks);
    if ((event->kind != HP_CALLOC && event->kind != HP_REALLOCARRAY) ||
        __builtin_mul_overflow(event->size, event->count, &bytes))
        bytes = event->size;
    block = (struct hp_block){.address = address, .size = bytes, .id = p->next_id, .kind = event->kind,
                              .log2_alignment = log2_of(event->alignment), .site = s->site};
    s->site = 0;
    if (event->kind == HP_REALLOC || event->kind == HP_REALLOCARRAY)
        block.kind = HP_MALLOC;
    if (!hp_table_insert(&p->live, &block)) {
        snprintf(p->error, sizeof p->error, "out of memory for the table of %llu live blocks",
                 (unsigned long long)p->live.used);
        p->write_failed = true;
        return true;
    }
    event->id = p->next_id++;
    if (p->sites)
        hp_sites_made(p->sites, block.site, block.size);
    return true;
}

static enum hp_resolved take_allocation(struct hp_stream *s, unsigned kind, const struct hp_record *record, bool patient,
                                        uint64_t ticks)
{
    struct hp_event event = {.kind = (uint8_t)kind, .size = record->b};

    if (kind == HP_CALLOC)
        event.count = record->c;
    else
        event.alignment = power_of_two(record->c);
    if (!make_block(s, &event, record->a, patient, ticks))
        return HP_PARKED;
    emit(s, &event, ticks);
    return HP_RESOLVED;
}

/* The old block is gone from the begin on: its address may be handed out before the end is logged. */
static void begin_realloc(struct hp_stream *s, uint64_t address, uint64_t *freed)
{
    struct hp_process *p = s->process;
    struct hp_block *live = address ? hp_table_find(&p->live, address) : NULL;
    struct hp_block moving = {0};

    if (live) {
        moving = *live;
        forget(p, live);
        *freed = address;
    } else if (address) {
        p->counts.unknown_frees++;
    }
    if (s->depth == HP_NESTED_REALLOCS) {       /* the oldest was abandoned by a longjmp */
        memmove(s->moving, s->moving + 1, sizeof s->moving - sizeof s->moving[0]);
        s->depth--;
    }
    s->moving[s->depth++] = moving;
}

static enum hp_resolved end_realloc(struct hp_stream *s, unsigned kind, const struct hp_record *record, bool patient,
                                    uint64_t ticks)
{
    struct hp_process *p = s->process;
    struct hp_event event = {.kind = (uint8_t)kind, .size = record->b};
    struct hp_block old = {0};
    bool wants_bytes = record->b != 0;

    if (kind == HP_REALLOCARRAY) {
        event.count = record->c;
        wants_bytes = record->b && record->c;
    }
    if (s->depth)
        old = s->moving[s->depth - 1];
    if (!make_block(s, &event, record->a, patient, ticks))
        return HP_PARKED;
    if (s->depth)
        s->depth--;
    event.old_id = old.id;
    if (!event.id && old.id && wants_bytes && !hp_table_find(&p->live, old.address))
        hp_table_insert(&p->live, &old);        /* it failed: the old block lives on */
    emit(s, &event, ticks);
    return HP_RESOLVED;
}

static void take_free(struct hp_stream *s, unsigned kind, const struct hp_record *record, uint64_t ticks, uint64_t *freed)
{
    struct hp_process *p = s->process;
    struct hp_event event = {.kind = (uint8_t)kind};
    struct hp_block *live = NULL;

    if (record->a) {
        live = hp_table_find(&p->live, record->a);
        if (!live) {
            p->counts.unknown_frees++;
            return;
        }
        event.old_id = live->id;
        forget(p, live);
        *freed = record->a;
    }
    event.size = record->b;
    if (kind == HP_FREE_ALIGNED_SIZED || kind == HP_DELETE_ALIGNED)
        event.alignment = power_of_two(record->c);
    else if ((p->flags & HP_HAS_RESIDENT) && event.old_id)
        event.resident_bytes = record->c;
    emit(s, &event, ticks);
}

static void take_usable_size(struct hp_stream *s, const struct hp_record *record, uint64_t ticks)
{
    struct hp_event event = {.kind = HP_USABLE_SIZE, .size = record->b};
    struct hp_block *live = record->a ? hp_table_find(&s->process->live, record->a) : NULL;

    if (record->a && !live)
        return;
    event.old_id = live ? live->id : 0;
    emit(s, &event, ticks);
}

static void take_thread_start(struct hp_stream *s, uint64_t ticks)
{
    struct hp_process *p = s->process;
    struct hp_event event = {.kind = HP_THREAD_START};

    if (s->thread == 0 && !p->writer) {
        p->start_held = true;
        return;
    }
    emit(s, &event, ticks);
}

void hp_resolve_thread_end(struct hp_stream *s)
{
    struct hp_event event = {.kind = HP_THREAD_END};

    if (s->end_written)
        return;
    s->end_written = true;
    if (!s->process->writer && s->thread == 0) {
        s->process->start_held = s->process->first;
        return;
    }
    emit(s, &event, s->last);
}

static void take_site(struct hp_stream *s, unsigned kind, const struct hp_record *record)
{
    struct hp_sites *sites = s->process->sites;

    if (!sites)
        return;
    if (kind == HP_RAW_SITE)
        s->site = (uint16_t)record->b;
    else if (kind == HP_RAW_FRAME)
        hp_sites_frame(sites, record->b, record->a);
    else if (kind == HP_RAW_MODULE)
        hp_sites_module(sites, record->a, record->b, record->c);
    else
        hp_sites_path(sites, record->b, record->c);
}

enum hp_resolved hp_resolve_record(struct hp_stream *s, const struct hp_record *record, bool patient, uint64_t *freed)
{
    uint64_t stamp = record->stamp;
    unsigned kind = stamp & HP_STAMP_KIND_MASK;
    uint64_t ticks = stamp >> HP_STAMP_SHIFT;

    if (ticks < s->last)
        ticks = s->last;
    switch (kind) {
    case HP_THREAD_START:
        take_thread_start(s, ticks);
        break;
    case HP_THREAD_END:
        s->last = ticks;
        hp_resolve_thread_end(s);
        break;
    case HP_RAW_REALLOC_BEGIN:
        begin_realloc(s, record->a, freed);
        break;
    case HP_REALLOC:
    case HP_REALLOCARRAY:
        if (end_realloc(s, kind, record, patient, ticks) == HP_PARKED)
            return HP_PARKED;
        break;
    case HP_USABLE_SIZE:
        take_usable_size(s, record, ticks);
        break;
    case HP_RAW_SITE: case HP_RAW_FRAME: case HP_RAW_MODULE: case HP_RAW_PATH:
        take_site(s, kind, record);
        break;
    case HP_RAW_SKIPPED:
        s->process->counts.lost += record->b;
        break;
    default:
        if (kind < HP_KIND_COUNT && hp_kind_allocates(kind)) {
            if (take_allocation(s, kind, record, patient, ticks) == HP_PARKED)
                return HP_PARKED;
        } else if (kind < HP_KIND_COUNT) {
            take_free(s, kind, record, ticks, freed);
        }
        break;
    }
    s->last = ticks;
    return HP_RESOLVED;
}

int hp_resolve_by_age(const void *a, const void *b)
{
    const struct hp_block *x = a, *y = b;

    return x->id < y->id ? -1 : x->id > y->id;
}
