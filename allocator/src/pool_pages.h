/* pool_pages.h - the pages of pools: chunks that become pools when cells are wanted, and free chunks again when all their cells
 * are back.
 *
 * Called by heap.c with the heap's lock held.
 */
#ifndef CELL_POOL_PAGES_H
#define CELL_POOL_PAGES_H

#include "heap.h"

/* As cell_pool_take(), from new pools when no pool has free cells. 0: no memory. */
size_t cell_pool_pages_take(struct cell_heap *heap, unsigned pool_class, size_t wanted, struct cell_freed **stack);
/* As cell_pool_give(); a pool that has become empty while another of its class is becomes a free chunk. */
void cell_pool_pages_give(struct cell_heap *heap, struct cell_freed **stack, size_t *most);
/* Makes all pools without a live cell free chunks. */
void cell_pool_pages_drop_empty(struct cell_heap *heap) __attribute__((cold));

#endif
