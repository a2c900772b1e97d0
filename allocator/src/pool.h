/* pool.h - pools: pages of equal cells without headers, for requests up to small_limit.
 *
 * A pool is an ordinary chunk of one page whose user address is the page's start, so pools pack back to back; the next
 * chunk's header is the page's last word. Its descriptor is the segment's page info.
 *
 *        page -> | cell | cell | cell | ...not carved yet... | rest | next chunk's header word |
 *
 * Called by heap.c with its lock held; pages come from it and go back to it.
 *
 * Invariants
 *   P1  free_count = cells on the pool's stack + cells never carved.
 *   P2  A pool with free cells is in the list of its class for its fill as it was when last linked; a full one is in
 *       none. It is linked anew when until_relink more cells have come back, which is where its fill changes: as many as are live
 *       at most, so that more cells than a pool has are told there; 0 of a full one, which has to be linked, and of an empty one.
 *   P3  kind[page] is the class's offset in a thread cache's bins exactly while the page is a pool.
 *   P4  free_bytes is the sum over all pools of their free cells' sizes.
 */
#ifndef CELL_POOL_H
#define CELL_POOL_H

#include "freed.h"
#include "segment.h"

#define CELL_POOL_CLASSES 15u       /* cells of 16, 32, ... 240 bytes; class 0 is unused */
#define CELL_POOL_FILLS   4u        /* lists by share of free cells, fullest pools first */

struct cell_pools {
    struct cell_segment *segment;
    struct {
        uint32_t capacity;      /* cells of a pool */
        uint32_t inverse;       /* 2^32 / cell size, rounded up */
    } shape[CELL_POOL_CLASSES + 1];
    uint32_t first[CELL_POOL_CLASSES + 1][CELL_POOL_FILLS];     /* page + 1; 0: none */
    uint32_t pages[CELL_POOL_CLASSES + 1];                      /* pools of the class */
    uint32_t empty[CELL_POOL_CLASSES + 1];                      /* of these, without a live cell */
    size_t free_bytes;
};

void cell_pool_init(struct cell_pools *pools, struct cell_segment *segment);
/* Makes a pool of `pool_class` out of a page that a chunk covers. */
void cell_pool_add(struct cell_pools *pools, size_t page, unsigned pool_class);
/* Undoes it; the pool must be empty. */
void cell_pool_remove(struct cell_pools *pools, size_t page);
/* Moves up to `wanted` cells of the fullest pool to the stack, which must be empty; returns how many. */
size_t cell_pool_take(struct cell_pools *pools, unsigned pool_class, size_t wanted, struct cell_freed **stack);
/* Takes back the cells on top of the stack that are of the class of its first and lie in the segment, and lowers `most`, the most that
 * it may take, by their number. True, and sets the page, as soon as a pool has become empty while another of its class is. */
bool cell_pool_give(struct cell_pools *pools, struct cell_freed **stack, size_t *most, size_t *page);
/* Some pool of the class without a live cell; false: there is none. */
bool cell_pool_find_empty(const struct cell_pools *pools, unsigned pool_class, size_t *page);
/* Whether an address is that of a cell which has been handed out before. */
bool cell_pool_is_carved(const struct cell_pools *pools, const void *cell);
bool cell_pool_is_valid(const struct cell_pools *pools, size_t page) __attribute__((cold));

static inline size_t cell_pool_cell_size(unsigned pool_class)
{
    return pool_class * CELL_ALIGN;
}

/* A pool's cells that were used before and are free, the last one freed on top. */
static inline struct cell_freed *cell_pool_stack(const struct cell_page_info *pool, char *page_start)
{
    return pool->free_head == 0 ? NULL : (struct cell_freed *)(page_start + pool->free_head - 1);
}

/* Cells of a pool: 255 of 16 bytes down to 17 of 240. */
size_t cell_pool_capacity(unsigned pool_class);

#endif
