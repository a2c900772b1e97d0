/* recurring.h - sizes above cache_limit, and classes of them, that a program with one thread frees and asks for over and over.
 *
 * Larger blocks are taken by best fit, oldest first, and a freed one waits a while before it coalesces (deferred.h). For a size
 * that comes back all the time this is work for nothing, so such sizes have bins in the cache: those up to CELL_BINNED_MAX the
 * rows that they have between threads anyway, a few of the others slots. A slot watches one size: when a request for it has
 * followed a free of it CELL_RECURS times, the slot's bin is that size's, until requests for others outweigh it (the majority
 * vote of Boyer and Moore). A hash of the size finds a pair of slots; either may watch it. What no slot serves may prove its class.
 *
 *      slot:   bin of chunks of `size` | size | recurred | freed, no request since | proven
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

#define CELL_RECURRING_SLOTS  64u
#define CELL_RECURS           64u       /* so often, and a size has proved to come back */
#define CELL_CLASS_RECURS     1024u     /* the same for a class, whose requests are rounded up from then on */
#define CELL_CLASS_FREED_MAX  255u      /* as many frees in a row count for the requests to come; of a single size, one does */

/* A stack of freed blocks and how many more it takes; `limit` is what it holds when it is full. */
struct cell_bin {
    struct cell_freed *head;
    uint32_t room, limit;
};

static inline size_t cell_bin_held(const struct cell_bin *bin)
{
    return bin->limit - bin->room;
}

/* How often requests have followed frees. */
struct cell_demand {
    uint16_t recurred;
    uint8_t freed;                      /* that no request has followed yet, as far as they count */
    bool proven;
};

struct cell_recurring {
    struct cell_bin bin;
    uint32_t size;                      /* of the chunks; 0: none is watched yet */
    struct cell_demand demand;
};

/* A request that no cached block could serve; `enough` of them that follow a free prove the demand. */
static inline bool cell_demand_ask(struct cell_demand *demand, unsigned enough)
{
    if (demand->freed != 0) {
        demand->freed--;
        demand->recurred = (uint16_t)(demand->recurred + (demand->recurred < 2 * enough));
        demand->proven |= demand->recurred == enough;
    }
    return demand->proven;
}

/* A block is freed. True: it may be cached. */
static inline bool cell_demand_free(struct cell_demand *demand, unsigned freed_max)
{
    demand->freed = (uint8_t)(demand->freed + (demand->freed < freed_max));
    return demand->proven;
}

/* By a multiplication (Knuth, The Art of Computer Programming 3, 6.4), since sizes cluster and are multiples of powers of two. */
static inline unsigned cell_recurring_pair(size_t size)
{
    return (uint32_t)(size / CELL_ALIGN) * UINT32_C(0x9E3779B1) >> 27 << 1;
}

/* The slot that watches `size`, else the first of its pair. */
static inline struct cell_recurring *cell_recurring_find(struct cell_recurring *slots, size_t size)
{
    struct cell_recurring *slot = &slots[cell_recurring_pair(size)];

    return slot[1].size == size ? slot + 1 : slot;
}

/* A request for a chunk of a size that neither slot of its pair watches, `slot` the first, counts against both. Returns that which is
 * to watch it, once its bin is empty and closed, since the size that it watches has lost to others; NULL: none. */
struct cell_recurring *cell_recurring_vote(struct cell_recurring *slot);
void cell_recurring_watch(struct cell_recurring *slot, size_t size);

/* A chunk of `size` is freed. True: it may go into the slot's bin. */
static inline bool cell_recurring_free(struct cell_recurring *slot, size_t size)
{
    return slot->size == size && cell_demand_free(&slot->demand, 1);
}

#endif
