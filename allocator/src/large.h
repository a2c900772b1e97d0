/* large.h - the two latest frees of a thread's blocks above all classes, up to recurring_limit: a thread that comes back for such a
 * size gets the same block again, and the heap's lock is left alone.
 *
 *      entry:   size of the chunk | the block, or NULL: it has gone back to the heap
 *
 * Part of a thread's cache (tcache.h), for use between threads; a program's one thread has bins for such sizes (recurring.h).
 */
#ifndef CELL_LARGE_H
#define CELL_LARGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunk.h"
#include "freed.h"

#define CELL_LARGE_ENTRIES  2u

struct cell_large {
    void *block[CELL_LARGE_ENTRIES];    /* the latest first */
    uint32_t size[CELL_LARGE_ENTRIES];  /* 0: has been found */
};

/* Takes the block of an entry; NULL: it is not here. */
static inline void *cell_large_take_out(struct cell_large *large, unsigned at)
{
    void *block = large->block[at];

    if (block != NULL)
        cell_freed_pop(&(struct cell_freed *){ block });
    large->block[at] = NULL;
    large->size[at] = 0;
    return block;
}

/* Drops the oldest entry for one to come; returns its block or NULL. */
static inline void *cell_large_make_way(struct cell_large *large)
{
    void *oldest = cell_large_take_out(large, CELL_LARGE_ENTRIES - 1);

    for (unsigned at = CELL_LARGE_ENTRIES - 1; at > 0; at--) {
        large->block[at] = large->block[at - 1];
        large->size[at] = large->size[at - 1];
    }
    large->block[0] = NULL;
    large->size[0] = 0;
    return oldest;
}

/* Notes that a chunk of `size` bytes is freed, where cell_large_make_way() made room, and keeps it if `block` is not NULL. */
static inline void cell_large_put(struct cell_large *large, void *block, size_t size)
{
    large->block[0] = block;
    large->size[0] = (uint32_t)size;
    if (block != NULL)
        cell_freed_set_next(block, NULL);
}

/* True: a chunk of that size, or with a remainder too small to split off, was freed lately; `block` gets it, or NULL when it has
 * gone back. One that is here and not at the alignment does not count. */
static inline bool cell_large_find(struct cell_large *large, size_t size, size_t alignment, void **block)
{
    for (unsigned at = 0; at < CELL_LARGE_ENTRIES; at++) {
        if (large->size[at] - size > CELL_ALIGN || ((uintptr_t)large->block[at] & (alignment - 1)) != 0)
            continue;
        *block = cell_large_take_out(large, at);
        return true;
    }
    *block = NULL;
    return false;
}

static inline size_t cell_large_bytes(const struct cell_large *large)
{
    size_t bytes = 0;

    for (unsigned at = 0; at < CELL_LARGE_ENTRIES; at++)
        bytes += large->block[at] != NULL ? large->size[at] : 0;
    return bytes;
}

#endif
