/* recurring.h - sizes above cache_limit that a program with one thread frees and asks for over and over.
 *
 * Larger blocks are taken by best fit, oldest first, and a freed one waits a while before it coalesces (deferred.h). For a size
 * that comes back all the time this is work for nothing, so a few such sizes have bins in the cache. A slot watches one size:
 * when a request for it has followed a free of it CELL_RECURS times, the slot's bin is that size's, until requests for others
 * outweigh it (the majority vote of Boyer and Moore). A hash of the size finds a pair of slots; either may watch it.
 *
 *      slot:   bin of chunks of `size` | size | recurred | freed since the last request | proven
 *
 * Part of the first thread's cache (tcache.h), which stops using it when a second thread starts.
 * Invariant: N1 the bin of a slot that is not proven has no room.
 */
#ifndef CELL_RECURRING_H
#define CELL_RECURRING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chunk.h"
#include "freed.h"

#define CELL_RECURRING_SLOTS  128u
#define CELL_RECURS           64u       /* so often, and a size has proved to come back */
#define CELL_RECURS_MAX       128u

/* A stack of freed blocks and how many more it takes; `limit` is what it holds when it is full. */
struct cell_bin {
    struct cell_freed *head;
    uint32_t room, limit;
};

struct cell_recurring {
    struct cell_bin bin;
    uint32_t size;                      /* of the chunks; 0: none is watched yet */
    uint8_t recurred;
    bool freed, proven;
};

/* By a multiplication (Knuth, The Art of Computer Programming 3, 6.4), since sizes cluster and are multiples of powers of two. */
static inline unsigned cell_recurring_pair(size_t size)
{
    return (uint32_t)(size / CELL_ALIGN) * UINT32_C(0x9E3779B1) >> 26 << 1;
}

/* The slot that watches `size`, else the first of its pair. */
static inline struct cell_recurring *cell_recurring_find(struct cell_recurring *slots, size_t size)
{
    struct cell_recurring *slot = &slots[cell_recurring_pair(size)];

    return slot[1].size == size ? slot + 1 : slot;
}

/* A request for a chunk of `size` found none. Returns the slot that is to watch it, once its bin is empty and closed, since the
 * size that it watches has lost to others; NULL: none. */
struct cell_recurring *cell_recurring_ask(struct cell_recurring *slots, size_t size);
void cell_recurring_watch(struct cell_recurring *slot, size_t size);

/* A chunk of `size` is freed. True: it may go into the slot's bin. */
static inline bool cell_recurring_free(struct cell_recurring *slot, size_t size)
{
    if (slot->size != size)
        return false;
    slot->freed = true;
    return slot->proven;
}

#endif
