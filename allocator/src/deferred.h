/* deferred.h - the last few chunks freed above the caches' limit: their coalescing waits for a request they do not fit.
 *
 * Programs that free a block of some size most often ask for that size again. Here it finds the block whole, without a
 * merge, a split or a search; any request that finds no block of exactly its size first lets all of them coalesce, so that
 * it sees the heap as if nothing had waited: best fit, and the oldest among equals, hold for every request.
 *
 *      chunk[]   in the order of their frees; NULL: handed out again
 *      oldest[]  by size: the entry that was freed first, from where next[] leads to younger ones of that size
 *
 * A chunk here is still marked in use, and tagged as freed (freed.h). Called by heap.c with its lock held.
 *
 * Invariants: D1 `held` of the first `used` entries are not NULL, the last one among them; D2 the entries that oldest[size]
 * leads to are exactly those of that size, oldest first; D3 each is sealed, in use, tagged and smaller than CELL_FIT_MIN.
 */
#ifndef CELL_DEFERRED_H
#define CELL_DEFERRED_H

#include "bins.h"
#include "freed.h"

#define CELL_DEFERRED      32u
#define CELL_DEFERRED_MAX  (CELL_FIT_MIN - CELL_ALIGN - CELL_WORD)      /* bytes of a request */

struct cell_deferred {
    uint32_t used, held;
    struct cell_chunk *chunk[CELL_DEFERRED];
    uint8_t next[CELL_DEFERRED];                    /* entry + 1; 0: none */
    uint8_t oldest[CELL_BIN_COUNT], youngest[CELL_BIN_COUNT];
};

/* The oldest chunk of exactly `size` bytes, or NULL. */
struct cell_chunk *cell_deferred_take(struct cell_deferred *deferred, size_t size);
/* The chunk at `entry`, or NULL. Only for taking all there are, in the order of their frees: entries 0, 1, ... until none is
 * held. */
struct cell_chunk *cell_deferred_take_at(struct cell_deferred *deferred, size_t entry);
/* Lets a chunk of `size` bytes wait; there must be room. */
void cell_deferred_put(struct cell_deferred *deferred, struct cell_chunk *c, size_t size);
bool cell_deferred_is_valid(const struct cell_deferred *deferred) __attribute__((cold));

static inline bool cell_deferred_is_full(const struct cell_deferred *deferred)
{
    return deferred->used == CELL_DEFERRED;
}

#endif
