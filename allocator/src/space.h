/* space.h - chunks, from base to top: taking them by best fit, splitting, coalescing, growing.
 *
 * Called by heap.c with the heap's lock held. Keeps the invariants of chunk.h and H1, H2 of heap.h.
 */
#ifndef CELL_SPACE_H
#define CELL_SPACE_H

#include "heap.h"

/* Best fit: the smallest free chunk that holds `size` bytes, or if it does not at the alignment, the smallest that holds them wherever
 * it lies; NULL: there is none. */
struct cell_chunk *cell_space_find(const struct cell_heap *heap, size_t size, size_t alignment);
/* The same; when nothing fits, the chunks whose coalescing was deferred coalesce first. */
struct cell_chunk *cell_space_find_coalesced(struct cell_heap *heap, size_t size, size_t alignment);
/* Bytes of a free chunk from the first place on where a block at the alignment may begin; it must have one. */
size_t cell_space_room(const struct cell_chunk *c, size_t alignment);
/* A chunk in use of `size` bytes or a little more, at the place that cell_space_find() gave. `zero` receives the bytes known
 * to be zero. NULL: no memory. */
struct cell_chunk *cell_space_take_from(struct cell_heap *heap, struct cell_chunk *place, size_t size, size_t alignment,
                                        struct cell_zero_run *zero);
/* The same from the smallest in the bins that holds `size` bytes, if that is smaller than a page; NULL: it is not. */
struct cell_chunk *cell_space_take_from_bins(struct cell_heap *heap, size_t size);
/* The same from the top; CELL_STAY: not if a page would have to be brought in for it. */
struct cell_chunk *cell_space_take_from_top(struct cell_heap *heap, size_t size, size_t alignment, enum cell_growth growth,
                                            struct cell_zero_run *zero);
/* The same from wherever best fit says. */
struct cell_chunk *cell_space_take(struct cell_heap *heap, size_t size, size_t alignment, enum cell_growth growth,
                                   struct cell_zero_run *zero);
/* Gives a chunk in use back: marks it free, merges the previous, merges the next, inserts the whole. */
void cell_space_release(struct cell_heap *heap, struct cell_chunk *c, size_t size);
/* Joins another chunk in use to [c, c + size), which is to be given back, if they are neighbours. */
bool cell_space_join(struct cell_heap *heap, struct cell_chunk **c, size_t *size, struct cell_chunk *other);
/* Gives back all whose coalescing was deferred. */
void cell_space_coalesce(struct cell_heap *heap);

/* Splits the tail off a chunk in use, which keeps `size` bytes. */
void cell_space_cut(struct cell_heap *heap, struct cell_chunk *c, size_t size);
/* Makes a chunk in use `size` bytes long out of the top or the free chunk behind it; false: there is none. */
bool cell_space_extend(struct cell_heap *heap, struct cell_chunk *c, size_t size);

#endif
