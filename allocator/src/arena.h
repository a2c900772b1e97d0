/* arena.h - the heaps behind the threads' caches: one, and when threads keep waiting for its lock, one more for other processors.
 *
 *      | first heap: half of its range       | arena 1 | arena 2 | ... |       a sixteenth each
 *
 * Small blocks are taken from the arena of the processor that the thread runs on, so that two processors seldom want one lock, and
 * what one writes to shares no cache line with what the other does. A block goes back to the arena that it lies in, whoever frees
 * it. All that is larger is in the first heap: that fragments, and two heaps would fragment more.
 *
 * Invariants
 *   A1  The arenas' ranges lie in the second half of the first heap's range, in order; a page has one number for all.
 *   A2  An arena once opened stays. Arena 0 is the first heap.
 */
#ifndef CELL_ARENA_H
#define CELL_ARENA_H

#include "heap.h"

#define CELL_ARENAS_MAX       8u
#define CELL_ARENA_SIZE_MAX   CELL_PAGE     /* bytes of the largest cells and chunks that are taken from arenas but the first */

extern struct cell_heap *cell_arena_heap[CELL_ARENAS_MAX];
extern unsigned cell_arena_last;

/* How many there are. */
static inline unsigned cell_arena_count(void)
{
    return __atomic_load_n(&cell_arena_last, __ATOMIC_ACQUIRE) + 1;
}

static inline struct cell_heap *cell_arena_at(unsigned arena)
{
    return arena == 0 ? &cell_heap_main : cell_arena_heap[arena];
}

/* The arena to take cells or chunks of `size` bytes from. Opens another for the calls to come if it is time. */
unsigned cell_arena_choose(void) __attribute__((noinline));
static inline unsigned cell_arena_for(size_t size)
{
    return cell_os_single_threaded() || size > CELL_ARENA_SIZE_MAX ? 0 : cell_arena_choose();
}

/* The arena that a block goes back to; 0 for one that lies in none. */
unsigned cell_arena_of(const void *block) __attribute__((noinline));
struct cell_heap *cell_arena_heap_of(const void *block) __attribute__((noinline));

/* Gives a stack of blocks back, or the upper `count` of one. */
void cell_arena_free_stack(struct cell_freed *stack) __attribute__((noinline));
void cell_arena_free_upper(struct cell_freed **stack, size_t count) __attribute__((noinline));
/* Lets what waits coalesce. */
void cell_arena_coalesce(void) __attribute__((cold));
/* As cell_heap_trim; `keep` at the first heap's top. */
bool cell_arena_trim(size_t keep) __attribute__((cold));

/* Around fork(), as in heap.h. */
void cell_arena_lock(void) __attribute__((cold));
void cell_arena_unlock(void) __attribute__((cold));
void cell_arena_reset_lock(void) __attribute__((cold));

#endif
