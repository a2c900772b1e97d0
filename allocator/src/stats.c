/* stats.c - the figures of cellmalloc.h, read from every layer. */
#include <string.h>

#include "cellmalloc.h"
#include "tcache.h"

static size_t free_bytes(const struct cell_heap *heap)
{
    size_t bytes = 0;

    for (size_t page = 0; page < cell_segment_page_of(&heap->segment, heap->top); page++) {
        if (heap->segment.kind[page] < CELL_PAGE_POOL)
            continue;
        const struct cell_page_info *pool = &heap->segment.info[page];
        bytes += pool->free_count * cell_pool_cell_size(pool->pool_class);
    }
    for (struct cell_chunk *c = (struct cell_chunk *)heap->segment.base; c < heap->top; c = cell_chunk_next(c))
        if (!cell_chunk_is_inuse(c))
            bytes += cell_chunk_size(c);
    return bytes;
}

void cell_stats_get(struct cell_stats *stats)
{
    struct cell_heap *heap = &cell_heap_main;
    const struct cell_tcache *cache = cell_tcache_mine;

    memset(stats, 0, sizeof *stats);
    if (!heap->ready)
        return;
    cell_heap_lock(heap);
    stats->heap_bytes = (size_t)((char *)heap->top - heap->segment.base);
    stats->resident_bytes = heap->segment.resident << CELL_PAGE_SHIFT;
    stats->free_bytes = free_bytes(heap);
    stats->dirty_bytes = heap->dirty_bytes;
    stats->mapped_bytes = heap->mapped_bytes;
    stats->map_cached_bytes = heap->map_cache.bytes;
    for (unsigned i = 1; i <= CELL_POOL_CLASSES; i++)
        stats->pool_bytes += heap->pools.pages[i] * CELL_PAGE;
    stats->metadata_bytes = heap->segment.kind_committed + heap->segment.info_committed + sizeof *heap;
    stats->footprint_bytes = cell_heap_footprint(heap);
    stats->splits = heap->counts.splits;
    stats->merges = heap->counts.merges;
    stats->purges = heap->counts.purges;
    stats->purged_bytes = heap->counts.purged_bytes;
    stats->populates = heap->segment.populate_calls;
    stats->populated_pages = heap->segment.populated_pages;
    stats->maps = heap->counts.maps;
    stats->unmaps = heap->counts.unmaps;
    stats->remaps = heap->counts.remaps;
    cell_heap_unlock(heap);
    stats->cached_bytes = cell_tcache_bytes(cache);
    stats->metadata_bytes += cell_tcache_metadata_bytes();
    stats->refills = cache->refills;
    stats->flushes = cache->flushes;
}
