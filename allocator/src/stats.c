/* stats.c - counts what walk.c visits, and copies the counters of every layer. */
#include "stats.h"

#include <string.h>

#include "arena.h"
#include "depot.h"
#include "footprint.h"
#include "harden.h"
#include "quarantine.h"
#include "sizeclass.h"
#include "tcache.h"
#include "walk.h"

static size_t log2_of(size_t size)
{
    return sizeof(unsigned long long) * 8 - 1 - (size_t)__builtin_clzll(size);
}

static size_t row_of_chunk(size_t size)
{
    return size < CELL_FIT_MIN ? size / CELL_ALIGN : CELL_BIN_COUNT + log2_of(size) - log2_of(CELL_FIT_MIN);
}

void cell_stats_range(size_t row, uint64_t *from, uint64_t *to)
{
    if (row < CELL_BIN_COUNT) {
        *from = *to = row * CELL_ALIGN;
        return;
    }
    uint64_t power = (uint64_t)1 << (log2_of(CELL_FIT_MIN) + row - CELL_BIN_COUNT);
    *from = power < CELL_FIT_MIN ? CELL_FIT_MIN : power;
    *to = 2 * power - 1;
}

static void count_live(struct cell_stats *stats, const struct cell_block *block)
{
    stats->live_blocks++;
    stats->live_bytes += block->usable;
    stats->overhead_bytes += block->size - block->usable;
}

static void count_free_chunk(struct cell_census *census, size_t size)
{
    size_t row = row_of_chunk(size);

    census->stats.free_chunks++;
    census->stats.free_chunk_bytes += size;
    if (size > census->stats.largest_free_bytes)
        census->stats.largest_free_bytes = size;
    census->free_chunks[row].count++;
    census->free_chunks[row].bytes += size;
}

static int count_block(void *context, const struct cell_block *block)
{
    struct cell_census *census = context;
    struct cell_stats *stats = &census->stats;
    size_t pool_class = block->usable / CELL_ALIGN;

    switch (block->kind) {
    case CELL_KIND_CELL:
        census->cells[pool_class].live++;
        stats->pool_live_bytes += block->usable;
        count_live(stats, block);
        break;
    case CELL_KIND_CELL_FREE:
        census->cells[pool_class].free++;
        stats->free_cells++;
        stats->free_cell_bytes += block->size;
        break;
    case CELL_KIND_CHUNK:
        stats->chunk_live_bytes += block->usable;
        count_live(stats, block);
        break;
    case CELL_KIND_MAPPED:
        stats->mapped_blocks++;
        stats->mapped_live_bytes += block->usable;
        count_live(stats, block);
        break;
    case CELL_KIND_CHUNK_FREE:
        count_free_chunk(census, block->size);
        break;
    case CELL_KIND_POOL:
        stats->pool_bytes += block->size;
        break;
    case CELL_KIND_TOP:
        stats->top_bytes += block->size;
        break;
    default:
        break;
    }
    return 0;
}

/* What pools hold beside their cells: the header word and the rest of the page. */
static void count_pool_overhead(struct cell_census *census)
{
    uint64_t cell_bytes = 0;

    for (unsigned i = 1; i <= CELL_POOL_CLASSES; i++)
        cell_bytes += (census->cells[i].live + census->cells[i].free) * cell_pool_cell_size(i);
    census->stats.overhead_bytes += census->stats.pool_bytes - cell_bytes;
}

static void add_counts(struct cell_stats *stats, const struct cell_heap *heap)
{
    stats->splits += heap->counts.splits;
    stats->merges += heap->counts.merges;
    stats->pool_adds += heap->counts.pool_adds;
    stats->pool_removes += heap->counts.pool_removes;
    stats->grows += heap->counts.grows;
    stats->purges += heap->counts.purges;
    stats->purged_bytes += heap->counts.purged_bytes;
    stats->populates += heap->segment.populate_calls;
    stats->populated_pages += heap->segment.populated_pages;
    stats->faults_avoided = stats->populated_pages - stats->populates;
    stats->maps += heap->counts.maps;
    stats->unmaps += heap->counts.unmaps;
    stats->remaps += heap->counts.remaps;
    stats->map_reuses += heap->counts.map_reuses;
}

static void add_heap(struct cell_heap *heap, struct cell_census *census)
{
    struct cell_stats *stats = &census->stats;

    cell_heap_coalesce(heap);
    cell_heap_lock(heap);
    cell_walk_locked(heap, count_block, census);
    for (unsigned i = 1; i <= CELL_POOL_CLASSES; i++)
        census->cells[i].pools += heap->pools.pages[i];
    add_counts(stats, heap);
    stats->heap_bytes += (uint64_t)((char *)heap->top - (char *)cell_heap_first_chunk(heap));
    stats->resident_bytes += (uint64_t)heap->segment.resident << CELL_PAGE_SHIFT;
    stats->dirty_bytes += heap->dirty_bytes;
    stats->mapped_bytes += heap->mapped_bytes;
    stats->map_cached_bytes += heap->map_cache.bytes;
    stats->metadata_bytes += heap->segment.kind_committed + heap->segment.info_committed + sizeof *heap;
    stats->footprint_bytes += cell_footprint_now(heap);
    stats->footprint_peak_bytes += heap->footprint_peak;
    cell_heap_unlock(heap);
}

static void finish_heaps(struct cell_census *census)
{
    count_pool_overhead(census);
    census->stats.free_bytes = census->stats.free_chunk_bytes + census->stats.free_cell_bytes;
}

/* A block that the walk took for live, in cells, chunks or mappings (`of_layer`), is a freed one of `size` bytes. */
static void uncount_live(struct cell_stats *stats, uint64_t *of_layer, size_t usable, size_t size)
{
    stats->live_blocks--;
    stats->live_bytes -= usable;
    *of_layer -= usable;
    stats->overhead_bytes -= size - usable;
}

static void count_cached(struct cell_stats *stats, const struct cell_freed *block)
{
    for (; block != NULL; block = cell_freed_next(block)) {
        size_t size = cell_heap_size_of(&cell_heap_main, block);
        bool cell = size <= cell_option.small_limit;
        stats->cached_blocks++;
        stats->cached_bytes += size;
        uncount_live(stats, cell ? &stats->pool_live_bytes : &stats->chunk_live_bytes,
                     cell ? size : size - CELL_WORD, size);
    }
}

/* What waits in the calling thread's cache. */
static void count_cache(struct cell_stats *stats, const struct cell_tcache *cache)
{
    for (size_t row = 0; row < cell_tcache_rows(cache); row++) {
        count_cached(stats, cell_tcache_bin_of_row(cache, row)->head);
        if (cell_tcache_spare_count(cache, row) != 0)
            count_cached(stats, cache->spare[row].stack);
    }
    for (unsigned at = 0; at < CELL_LARGE_ENTRIES; at++)
        count_cached(stats, cache->large.block[at]);
    stats->cache_metadata_bytes = cell_tcache_metadata_bytes();
    stats->metadata_bytes += stats->cache_metadata_bytes;
    stats->depot_bytes = cell_depot_bytes();
    stats->refills = cache->refills;
    stats->flushes = cache->flushes;
}

/* No mapping is kept for reuse here: such a one waits too. */
static int uncount_waiting(void *context, const struct cell_block *block)
{
    struct cell_stats *stats = context;

    if (block->kind == CELL_KIND_CELL_CACHED)
        uncount_live(stats, &stats->pool_live_bytes, block->usable, block->usable);
    else if (block->kind == CELL_KIND_CHUNK_CACHED)
        uncount_live(stats, &stats->chunk_live_bytes, block->usable, block->size);
    else if (block->kind == CELL_KIND_MAPPED_CACHED)
        uncount_live(stats, &stats->mapped_live_bytes, block->usable, block->size);
    return 0;
}

static void count_hardened(struct cell_stats *stats)
{
    struct cell_harden_census harden;

    if (!cell_harden_is_on())
        return;
    cell_harden_count(&harden);
    stats->requested_bytes = harden.requested_bytes;
    stats->guard_blocks = harden.guard_blocks;
    cell_quarantine_count(&stats->quarantine_blocks, &stats->quarantine_bytes);
    cell_heap_walk(NULL, uncount_waiting, stats);
}

void cell_stats_count(struct cell_heap *heap, struct cell_census *census)
{
    memset(census, 0, sizeof *census);
    census->stats.requested_bytes = CELL_NOT_COUNTED;
    if (heap != NULL) {
        census->stats.arenas = 1;
        add_heap(heap, census);
        finish_heaps(census);
    } else if (cell_heap_is_ready(&cell_heap_main)) {
        census->stats.arenas = cell_arena_count();
        for (unsigned arena = 0; arena < census->stats.arenas; arena++)
            add_heap(cell_arena_at(arena), census);
        finish_heaps(census);
        count_cache(&census->stats, cell_tcache_mine);
        count_hardened(&census->stats);
    }
}

void cell_heap_stats(struct cell_heap *heap, struct cell_stats *stats)
{
    struct cell_census census;

    cell_stats_count(heap, &census);
    *stats = census.stats;
}

void cell_stats_get(struct cell_stats *stats)
{
    cell_heap_stats(NULL, stats);
}
