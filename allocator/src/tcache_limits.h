/* tcache_limits.h - how much a thread's cache may hold, and each of its bins: T2 and T3 of tcache.h.
 *
 * A limit starts small and doubles when its bin runs empty or over. The limits of all bins together stay within a budget, which is
 * a share of the heap, and more where the heap does not grow; at the budget, bins in demand take room over from others.
 */
#ifndef CELL_TCACHE_LIMITS_H
#define CELL_TCACHE_LIMITS_H

#include "tcache.h"

/* Bytes that one cache may hold now. */
size_t cell_tcache_budget(const struct cell_tcache *cache);
/* Blocks of `size` bytes that are fetched at a time, at most. */
size_t cell_tcache_batch(size_t size) __attribute__((noinline));
/* Doubles the limit of the bin of `row`, which is in demand, as far as the budget goes; false: not at all. */
bool cell_tcache_widen(struct cell_tcache *cache, struct cell_bin *bin, size_t row);
/* Raises it to what a batch of `blocks` from another thread takes, which may be more than the bin would take by itself. */
void cell_tcache_make_room(struct cell_tcache *cache, struct cell_bin *bin, size_t row, size_t blocks);
/* Gives what the bin holds back to the heap; it takes nothing until it is widened. */
void cell_tcache_close_bin(struct cell_tcache *cache, size_t row) __attribute__((noinline));

#endif
