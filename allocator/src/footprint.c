#include "footprint.h"

#include "minmax.h"

#define KEPT_FOR_RETURNS ((size_t)512 << 10)    /* bytes, where a share of the peak would be less */
#define RETURNS_ENOUGH   8u
#define EMPTIED_OFTEN    4u                     /* times within CELL_REGRET_MS: a heap that fills again each time is left alone */

bool cell_footprint_is_limited(const struct cell_heap *heap)
{
    return cell_option.footprint_limit != 0 || heap->footprint_limit != 0;
}

bool cell_footprint_may_grow(const struct cell_heap *heap, size_t bytes)
{
    size_t after = cell_footprint_total(cell_heap_whole(heap)) + bytes;

    return (cell_option.footprint_limit == 0 || after <= cell_option.footprint_limit) &&
           (heap->footprint_limit == 0 || after <= heap->footprint_limit);
}

/* A program that comes back to the same peak, again and again, wants what was given up for it. */
size_t cell_footprint_kept_at(const struct cell_heap *heap, size_t peak)
{
    if (cell_option.keep_share == 0 || cell_footprint_is_limited(heap))
        return 0;
    size_t share = peak / cell_option.keep_share;
    return heap->returns_to_peak == RETURNS_ENOUGH ? cell_max(share, KEPT_FOR_RETURNS) : share;
}

void cell_footprint_note_room(struct cell_heap *heap, size_t unused)
{
    if (heap->returns_to_peak == RETURNS_ENOUGH)
        return;
    if (heap->footprint_peak != heap->peak_returned_to)
        heap->returns_to_peak = 0;
    else if (unused >= heap->unused_then + KEPT_FOR_RETURNS / 8)
        heap->returns_to_peak++;
    heap->peak_returned_to = heap->footprint_peak;
    heap->unused_then = cell_footprint_unused(heap);
}

/* What is free and in no page that could be given back: where that is little, caches keep little from the system. */
static size_t pinned(const struct cell_heap *heap, size_t handed_out)
{
    size_t resident = heap->segment.resident << CELL_PAGE_SHIFT, known = handed_out + heap->dirty_bytes;

    return resident - cell_min(resident, known);
}

/* Whether caches are to be told. What falls on is told of as its first fall was. */
static bool is_to_tell(struct cell_heap *heap)
{
    if (heap->most_handed_out <= 2 * heap->left_when_emptied)
        return heap->times_filled <= EMPTIED_OFTEN;
    uint64_t now = cell_os_now_ms();
    if (now - heap->filled_since_ms >= CELL_REGRET_MS) {
        heap->filled_since_ms = now;
        heap->times_filled = 0;
    }
    return ++heap->times_filled <= EMPTIED_OFTEN;
}

void cell_footprint_note_frees_slow(struct cell_heap *heap)
{
    size_t handed_out = heap->in_use - heap->pools.free_bytes, most = heap->most_handed_out;
    bool emptied = handed_out < most / CELL_EMPTIED_SHARE && most - handed_out >= cell_option.purge_min &&
                   pinned(heap, handed_out) >= cell_option.purge_min / 2 && cell_option.purge_share != 0;

    if (handed_out > most)
        heap->most_handed_out = handed_out;
    if (!emptied)
        return;
    if (is_to_tell(heap))
        __atomic_add_fetch(&cell_heap_whole(heap)->times_emptied, 1, __ATOMIC_RELAXED);
    heap->most_handed_out = heap->left_when_emptied = handed_out;
    heap->purge_at = 0;                 /* it was for the peak that has gone */
}

static struct cell_extents shrink_to(struct cell_heap *heap, size_t keep)
{
    struct cell_extents dropped = cell_mapcache_shrink(&heap->map_cache, keep);

    heap->counts.unmaps += dropped.count;
    return dropped;
}

struct cell_extents cell_footprint_make_room(struct cell_heap *heap, size_t bytes)
{
    size_t after = cell_footprint_now(heap) + bytes, peak = heap->footprint_peak;
    size_t excess = after - cell_min(after, peak), held = heap->map_cache.bytes;
    size_t keep = cell_max(held - cell_min(held, excess), cell_footprint_kept_at(heap, peak));
    size_t unused = cell_footprint_unused(heap);
    struct cell_extents dropped = shrink_to(heap, cell_footprint_may_grow(heap, bytes) ? keep : 0);

    if (dropped.count != 0)
        cell_footprint_note_room(heap, unused);
    return dropped;
}

struct cell_extents cell_footprint_drop_kept(struct cell_heap *heap)
{
    return shrink_to(heap, 0);
}
