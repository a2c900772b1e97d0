/* recur.h - traffic that proves that sizes, or classes of them, come back, for the tests of what caches keep then. */
#ifndef CELL_TEST_RECUR_H
#define CELL_TEST_RECUR_H

#include "support.h"
#include "tcache.h"

static inline size_t chunk_size(size_t request)
{
    return cell_size_of_chunk(request);
}

/* `rounds` frees of a block, each followed by a request for its size. */
static inline void recur(size_t request, unsigned rounds)
{
    void *block = cell_malloc(request);

    for (unsigned i = 0; i < rounds; i++) {
        cell_free(block);
        block = cell_malloc(request);
    }
    cell_free(block);
}

static inline uint32_t some(uint32_t below)
{
    static uint32_t random = 1;

    return (uint32_t)((uint64_t)(random = random * 1664525 + 1013904223) * below >> 32);
}

/* Blocks of so many sizes come and go that none of them recurs by itself. */
static inline void vary(size_t from, size_t to, unsigned rounds)
{
    static void *block[32];

    for (unsigned i = 0; i < rounds; i++) {
        void **at = &block[some(COUNT_OF(block))];
        cell_free(*at);
        *at = must_malloc(from + some((uint32_t)(to - from)));
    }
    for (size_t i = 0; i < COUNT_OF(block); i++) {
        cell_free(block[i]);
        block[i] = NULL;
    }
}

/* Whether the next block of 9000 bytes that is freed stays in the cache. */
static inline bool is_kept_when_freed(void)
{
    void *block = must_malloc(9000);
    size_t cached = stats_now().cached_bytes;

    cell_free(block);
    return stats_now().cached_bytes > cached;
}

#endif
