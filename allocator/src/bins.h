/* bins.h - free chunks below CELL_FIT_MIN: one circular doubly linked list for each size, FIFO.
 *
 * Exact bins every 16 bytes are best fit by themselves: the lowest bit set at or above a size is the smallest chunk that
 * fits. Insert, remove and find are O(1). Called by index.c and space.c with the heap's lock held; knows no lock, thread
 * or segment.
 *
 * Invariants: B1 bit i of `nonempty` is set exactly when list i has a member (a list that never had one is all zero); B2
 * every member of list i is free and 16 * i bytes long; B3 the oldest member is first.
 */
#ifndef CELL_BINS_H
#define CELL_BINS_H

#include "chunk.h"

#define CELL_FIT_MIN    ((size_t)5120)      /* above it: what programs ask for most often there is a page */
#define CELL_BIN_COUNT  (CELL_FIT_MIN / CELL_ALIGN)
#define CELL_BIN_WORDS  (CELL_BIN_COUNT / 64)

_Static_assert(CELL_BIN_COUNT % 64 == 0, "one bit for each bin in 64-bit words");

struct cell_bins {
    uint64_t nonempty[CELL_BIN_WORDS];
    struct cell_link list[CELL_BIN_COUNT];
};

bool cell_bins_is_valid(const struct cell_bins *bins) __attribute__((cold));

static inline struct cell_chunk *cell_chunk_of_link(const struct cell_link *link)
{
    return (struct cell_chunk *)((uintptr_t)link - offsetof(struct cell_chunk, link));
}

static inline void cell_link_init(struct cell_link *head)
{
    head->next = head->prev = head;
}

/* Last in the list, so that what comes off its front is the oldest. */
static inline void cell_link_append(struct cell_link *head, struct cell_link *link)
{
    link->next = head;
    link->prev = head->prev;
    head->prev->next = link;
    head->prev = link;
}

/* Safe unlink: both neighbours must still point here. */
static inline void cell_link_remove(struct cell_link *link)
{
    struct cell_link *next = link->next, *prev = link->prev;

    CELL_CHECK(next->prev == link && prev->next == link, CELL_FATAL_FREE_LIST);
    next->prev = prev;
    prev->next = next;
}

/* ---- insert, remove, find ------------------------------------------------------------------------------------------ */

static inline uint64_t cell_bins_bit(size_t bin)
{
    return UINT64_C(1) << bin % 64;
}

/* `size` is the chunk's. */
static inline void cell_bins_insert(struct cell_bins *bins, struct cell_chunk *c, size_t size)
{
    size_t bin = size / CELL_ALIGN;
    struct cell_link *list = &bins->list[bin];

    if ((bins->nonempty[bin / 64] & cell_bins_bit(bin)) == 0) {
        bins->nonempty[bin / 64] |= cell_bins_bit(bin);
        cell_link_init(list);
    }
    cell_link_append(list, &c->link);
}

static inline void cell_bins_remove(struct cell_bins *bins, struct cell_chunk *c, size_t size)
{
    size_t bin = size / CELL_ALIGN;
    struct cell_link *list = &bins->list[bin];

    cell_link_remove(&c->link);
    if (list->next == list)
        bins->nonempty[bin / 64] &= ~cell_bins_bit(bin);
}

/* Whether there is a free chunk of exactly `size` bytes, below CELL_FIT_MIN. */
static inline bool cell_bins_has(const struct cell_bins *bins, size_t size)
{
    return (bins->nonempty[size / CELL_ALIGN / 64] & cell_bins_bit(size / CELL_ALIGN)) != 0;
}

/* The oldest among the smallest chunks of at least `size` bytes, still in its bin; NULL when there is none. */
static inline struct cell_chunk *cell_bins_find(const struct cell_bins *bins, size_t size)
{
    size_t bin = size / CELL_ALIGN, word = bin / 64;

    if (size >= CELL_FIT_MIN)
        return NULL;
    uint64_t candidates = bins->nonempty[word] & (~UINT64_C(0) << bin % 64);
    while (candidates == 0) {
        if (++word == CELL_BIN_WORDS)
            return NULL;
        candidates = bins->nonempty[word];
    }
    struct cell_chunk *c = cell_chunk_of_link(bins->list[word * 64 + (size_t)__builtin_ctzll(candidates)].next);
    CELL_CHECK(cell_chunk_is_sealed(c), CELL_FATAL_HEADER);
    return c;
}

/* The next younger of the same size, below CELL_FIT_MIN; NULL when there is none. */
static inline struct cell_chunk *cell_bins_next(const struct cell_bins *bins, const struct cell_chunk *c, size_t size)
{
    if (c->link.next == &bins->list[size / CELL_ALIGN])
        return NULL;
    struct cell_chunk *next = cell_chunk_of_link(c->link.next);
    CELL_CHECK(cell_chunk_is_sealed(next), CELL_FATAL_HEADER);
    return next;
}

#endif
