/* footprint.h - what a heap has from the system: its limits, its peak, and what may lie unused when it is about to pass that.
 *
 *      footprint = pages of the range + blocks mapped on their own + mappings kept for reuse
 *
 * Below its peak unused memory costs nothing that a peak would show. Before growth would pass it, kept mappings (here) and
 * free pages (index.h) make room, all but little. When most blocks have been freed but not their pages, caches are told (tcache.h).
 */
#ifndef CELL_FOOTPRINT_H
#define CELL_FOOTPRINT_H

#include "heap.h"

/* A program that wants back within this time what was given up comes back for it all the time, and is left alone. */
#define CELL_REGRET_MS 1000u
/* Less than this share of what was handed out at a time still is: the heap may have emptied. */
#define CELL_EMPTIED_SHARE 3u

/* Bytes that the heap has from the system now. */
static inline size_t cell_footprint_now(const struct cell_heap *heap)
{
    return (heap->segment.resident << CELL_PAGE_SHIFT) + heap->mapped_bytes + heap->map_cache.bytes;
}

/* The same of all arenas, by their first; callable without a lock. */
static inline size_t cell_footprint_total(const struct cell_heap *whole)
{
    return (cell_segment_resident(&whole->segment) << CELL_PAGE_SHIFT) + __atomic_load_n(&whole->mapped_bytes, __ATOMIC_RELAXED) +
           __atomic_load_n(&whole->map_cache.bytes, __ATOMIC_RELAXED);
}

/* To be called when it has grown. Lock held. */
static inline void cell_footprint_note(struct cell_heap *heap)
{
    size_t now = cell_footprint_now(heap);

    if (now > heap->footprint_peak)
        heap->footprint_peak = now;
}

/* Whether there is any limit of the footprint. */
bool cell_footprint_is_limited(const struct cell_heap *heap);
/* Whether `bytes` more are within the limits. */
bool cell_footprint_may_grow(const struct cell_heap *heap, size_t bytes);

/* Bytes of free pages and kept mappings. */
static inline size_t cell_footprint_unused(const struct cell_heap *heap)
{
    return heap->dirty_bytes + heap->map_cache.bytes;
}

/* Of these, what may stay, of free pages and of kept mappings each, when growth is about to exceed `peak`; under a limit none, since
 * they would count in it. */
size_t cell_footprint_kept_at(const struct cell_heap *heap, size_t peak);
/* To be called when room has been made for growth that would have exceeded the peak; `unused` before. Lock held. */
void cell_footprint_note_room(struct cell_heap *heap, size_t unused);

void cell_footprint_note_frees_slow(struct cell_heap *heap);

/* To be called when caches or the program have given blocks back. Once most of what was handed out has been, but not the pages, the
 * heap has emptied: what caches hold is then a large part of the rest, and keeps pages from being free. Lock held. */
static inline void cell_footprint_note_frees(struct cell_heap *heap)
{
    size_t handed_out = heap->in_use - heap->pools.free_bytes, most = heap->most_handed_out;

    if (CELL_UNLIKELY(handed_out > most || handed_out < most / CELL_EMPTIED_SHARE))
        cell_footprint_note_frees_slow(heap);
}

/* Takes from the kept mappings, before `bytes` more would set a new peak, what is more than little; all where a limit would not allow
 * them. To be unmapped (cell_mapped_unmap_all). Lock held. */
struct cell_extents cell_footprint_make_room(struct cell_heap *heap, size_t bytes);
/* Takes all kept mappings. To be unmapped. Lock held. */
struct cell_extents cell_footprint_drop_kept(struct cell_heap *heap);

#endif
