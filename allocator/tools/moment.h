/* moment.h - the heap as it is at one moment, for explain.c: what covers an address, what lies beside it, a drawing.
 *
 * Reading changes nothing, unlike the public statistics and walk, which let what waits coalesce first. It takes no lock: the
 * process has one thread.
 */
#ifndef CELL_TOOL_MOMENT_H
#define CELL_TOOL_MOMENT_H

#include <stdio.h>
#include <stdlib.h>

#include "tcache.h"
#include "walk.h"

#define MOMENT_BLOCKS 4096
#define AROUND        3            /* neighbours drawn on each side */
#define BOX_WIDTH     17

struct moment {
    struct cell_heap_counts counts;
    uint64_t refills, flushes, populated;
    size_t resident, committed;                 /* pages, bytes */
    struct cell_block block[MOMENT_BLOCKS];
    size_t count;
};

static bool is_cell(const struct cell_block *block)
{
    return block->kind == CELL_KIND_CELL || block->kind == CELL_KIND_CELL_CACHED || block->kind == CELL_KIND_CELL_FREE;
}

static bool is_mapping(const struct cell_block *block)
{
    return block->kind == CELL_KIND_MAPPED || block->kind == CELL_KIND_MAPPED_CACHED;
}

static bool is_deferred(const void *block)
{
    const struct cell_deferred *deferred = &cell_heap_main.deferred;

    for (size_t i = 0; i < deferred->used; i++)
        if (deferred->chunk[i] != NULL && deferred->chunk[i] == cell_chunk_of_user(block))
            return true;
    return false;
}

static int remember(void *context, const struct cell_block *block)
{
    struct moment *m = context;

    if (m->count == MOMENT_BLOCKS)
        abort();                            /* explain's scene is far smaller */
    struct cell_block *kept = &m->block[m->count++];
    *kept = *block;
    if (block->kind == CELL_KIND_CELL && cell_freed_is_tagged(block->block))
        kept->kind = CELL_KIND_CELL_CACHED;
    if (block->kind == CELL_KIND_CHUNK && cell_freed_is_tagged(block->block))
        kept->kind = CELL_KIND_CHUNK_CACHED;
    return 0;
}

static void moment_take(struct moment *m)
{
    m->counts = cell_heap_main.counts;
    m->refills = cell_tcache_mine->refills;
    m->flushes = cell_tcache_mine->flushes;
    m->populated = cell_heap_main.segment.populated_pages;
    m->resident = cell_heap_main.segment.resident;
    m->committed = cell_heap_main.segment.committed;
    m->count = 0;
    cell_walk_locked(&cell_heap_main, remember, m);
}

/* Of the chunks, or of the cells, the one that holds `address`; NULL: nothing any more. */
static const struct cell_block *moment_covering(const struct moment *m, const char *address, bool cell)
{
    for (size_t i = 0; i < m->count; i++) {
        const char *start = m->block[i].start;
        if (is_cell(&m->block[i]) == cell && address >= start && address < start + m->block[i].size)
            return &m->block[i];
    }
    return NULL;
}

static size_t moment_count(const struct moment *m, enum cell_kind kind, size_t size)
{
    size_t count = 0;

    for (size_t i = 0; i < m->count; i++)
        count += m->block[i].kind == kind && m->block[i].size == size;
    return count;
}

/* ---- drawing ------------------------------------------------------------------------------------------------------- */

static void rule(size_t boxes)
{
    printf("    +");
    for (size_t i = 0; i < boxes; i++)
        printf("%.*s+", BOX_WIDTH, "------------------------------");
    printf("\n");
}

static const char *label_of(const struct cell_block *block)
{
    return block->kind == CELL_KIND_CHUNK_CACHED && is_deferred(block->block) ? "chunk_waiting" : cell_kind_name(block->kind);
}

/* Whether two blocks are drawn in one row: chunks beside chunks, cells of one page, a mapping by itself. */
static bool side_by_side(const struct cell_block *a, const struct cell_block *b)
{
    if (is_mapping(a) || is_mapping(b))
        return a == b;
    if (is_cell(a) != is_cell(b))
        return false;
    return !is_cell(a) || (uintptr_t)a->start / CELL_PAGE == (uintptr_t)b->start / CELL_PAGE;
}

/* `centre` and its neighbours. */
static void moment_draw(const struct moment *m, const struct cell_block *centre)
{
    static const struct cell_block *row[MOMENT_BLOCKS];
    size_t count = 0, at = 0;

    for (size_t i = 0; i < m->count; i++) {
        if (&m->block[i] == centre)
            at = count;
        if (side_by_side(&m->block[i], centre))
            row[count++] = &m->block[i];
    }
    size_t first = at < AROUND ? 0 : at - AROUND, end = at + AROUND + 1 < count ? at + AROUND + 1 : count;
    rule(end - first);
    printf("    |");
    for (size_t i = first; i < end; i++)
        printf(" %-*s|", BOX_WIDTH - 1, label_of(row[i]));
    printf("\n    |");
    for (size_t i = first; i < end; i++)
        printf(" %-*zu|", BOX_WIDTH - 1, row[i]->size);
    printf("\n");
    rule(end - first);
    printf("     %*s^ ", (int)((at - first) * (BOX_WIDTH + 1)), "");
    if (is_mapping(centre))
        printf("far from the heap\n");
    else
        printf("offset %zu\n", (size_t)((const char *)centre->start - cell_heap_main.segment.base));
}

#endif
