/* sizeclass.h - the only map between request sizes, chunk sizes and the bins of thread caches.
 *
 *      request (bytes)     served by               bin offset (bytes) = size of what it hands out
 *      0..small_limit      cell of a pool          request rounded up to 16
 *      ..cache_limit       chunk, through a cache  chunk size: request + header word, rounded up to 16
 *      ..1016              chunk, best fit         chunk size, if it recurs
 *      ..mmap_threshold    chunk, best fit         -
 *      beyond              mapping of its own      -
 *
 * A bin offset names one size only, since every chunk is larger than every cell: Z1.
 *
 * Between threads, and where they recur, chunks go through the caches rounded up to classes of an eighth of a power of two:
 * 576, 640, ... 1024, 1152, ... 32768. Class k is the chunk size (8 + k % 8) * 2^(6 + k / 8).
 */
#ifndef CELL_SIZECLASS_H
#define CELL_SIZECLASS_H

#include "chunk.h"
#include "tunables.h"

/* Largest request that any size computation meets; more is ENOMEM, as PTRDIFF_MAX is the largest object in C. */
#define CELL_REQUEST_MAX   ((size_t)PTRDIFF_MAX)

static inline bool cell_size_is_cell(size_t request)
{
    return request <= cell_option.small_limit && cell_option.small_limit != 0;
}

static inline size_t cell_size_of_cell(size_t request)
{
    return request == 0 ? CELL_ALIGN : (request + CELL_ALIGN - 1) & ~(size_t)(CELL_ALIGN - 1);
}

/* Smallest chunk that may be handed out: larger than the largest cell (Z1). */
static inline size_t cell_size_chunk_min(void)
{
    size_t above_cells = cell_option.small_limit + CELL_ALIGN;

    return above_cells > CELL_CHUNK_MIN ? above_cells : CELL_CHUNK_MIN;
}

/* The chunk for a request that no cell could serve, whatever small_limit is. */
static inline size_t cell_size_of_large_chunk(size_t request)
{
    return (request + CELL_WORD + CELL_ALIGN - 1) & ~(size_t)(CELL_ALIGN - 1);
}

static inline size_t cell_size_of_chunk(size_t request)
{
    size_t size = cell_size_of_large_chunk(request), minimum = cell_size_chunk_min();

    return size > minimum ? size : minimum;
}

#define CELL_CLASS_MIN    ((size_t)512)         /* class 0, which no request is rounded up to */
#define CELL_CLASS_MAX    ((size_t)32768)
#define CELL_CLASS_COUNT  49u
#define CELL_BINNED_MAX   (2 * CELL_CLASS_MIN)  /* the largest chunk with a bin for its size alone */

/* The largest class that is not above a chunk's size, CELL_CLASS_MIN to CELL_CLASS_MAX. */
static inline unsigned cell_size_class(size_t size)
{
    unsigned order = (unsigned)(sizeof(unsigned long long) * 8 - 1) - (unsigned)__builtin_clzll(size);

    return (order - 9) * 8 + (unsigned)(size >> (order - 3) & 7);
}

static inline size_t cell_size_of_class(unsigned size_class)
{
    return (size_t)(8 + size_class % 8) << (6 + size_class / 8);
}

/* The smallest class with room for a request of at least CELL_CLASS_MIN - CELL_WORD bytes. */
static inline unsigned cell_size_class_for(size_t request)
{
    return cell_size_class(request + CELL_WORD - 1) + 1;
}

#endif
