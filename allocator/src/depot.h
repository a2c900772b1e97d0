/* depot.h - where threads exchange batches of freed blocks: what one thread frees another often allocates next.
 *
 * A batch is a stack of blocks of one bin, passed on whole: no block is looked at, and the heap's lock is left alone. Each arena has
 * its own, by where a batch's upper block lies: blocks return to the processor that they came from.
 * Its memory is bounded by a share of the heap; what does not fit goes back to the heap. Unused while the process has
 * one thread. Called by tcache.c; chunks in the depot are still marked in use.
 */
#ifndef CELL_DEPOT_H
#define CELL_DEPOT_H

#include <stdbool.h>
#include <stddef.h>

#include "freed.h"

/* False: no room; the stack is still the caller's. `count` blocks of `size` bytes from the caches' bin `row`. */
bool cell_depot_put(unsigned arena, size_t row, size_t size, struct cell_freed *stack, size_t count);
/* A batch of blocks of that bin; returns how many, 0 when there is none. */
size_t cell_depot_take(unsigned arena, size_t row, struct cell_freed **stack);
/* Bytes that wait. */
size_t cell_depot_bytes(void);

/* Around fork(), as in heap.h; between the same calls for arenas, so that their number stays. */
void cell_depot_lock(void) __attribute__((cold));
void cell_depot_unlock(void) __attribute__((cold));
void cell_depot_reset_lock(void) __attribute__((cold));

#endif
