/* space.h - chunks, from base to top: taking them by best fit, splitting, coalescing, growing.
 *
 * Called by heap.c with the heap's lock held. Keeps the invariants of chunk.h and H1, H2 of heap.h.
 */
#ifndef CELL_SPACE_H
#define CELL_SPACE_H

#include "heap.h"

enum cell_growth { CELL_GROW, CELL_STAY };

/* Best fit: the smallest free chunk that holds `size` bytes at the alignment; NULL: only the top can. */
struct cell_chunk *cell_space_find(const struct cell_heap *heap, size_t size, size_t alignment);
/* A chunk in use of `size` bytes or a little more; CELL_STAY: not if a page would have to be brought in for it. `zero`
 * receives the bytes known to be zero. NULL: no memory. */
struct cell_chunk *cell_space_take(struct cell_heap *heap, size_t size, size_t alignment, enum cell_growth growth,
                                   struct cell_zero_run *zero);
/* The same from the exact bins alone; NULL: none there is large enough. */
struct cell_chunk *cell_space_take_from_bins(struct cell_heap *heap, size_t size);
/* Gives a chunk in use back: marks it free, merges the previous, merges the next, inserts the whole. */
void cell_space_release(struct cell_heap *heap, struct cell_chunk *c);

/* Splits the tail off a chunk in use, which keeps `size` bytes. */
void cell_space_cut(struct cell_heap *heap, struct cell_chunk *c, size_t size);
/* Makes a chunk in use `size` bytes long out of the top or the free chunk behind it; false: there is none. */
bool cell_space_extend(struct cell_heap *heap, struct cell_chunk *c, size_t size);

#endif
