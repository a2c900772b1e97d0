/* stats.h - what a walk over a heap counts: the public figures, and tables by size for print.c. */
#ifndef CELL_STATS_H
#define CELL_STATS_H

#include "cellmalloc.h"
#include "heap.h"

#define CELL_CENSUS_ORDERS  48      /* free chunks from CELL_FIT_MIN on, by power of two */

struct cell_census {
    struct cell_stats stats;
    struct { uint64_t pools, live, free; } cells[CELL_POOL_CLASSES + 1];
    struct { uint64_t count, bytes; } free_chunks[CELL_BIN_COUNT + CELL_CENSUS_ORDERS];
};

/* `heap` NULL: the one behind malloc, with the calling thread's cache. */
void cell_stats_count(struct cell_heap *heap, struct cell_census *census);
/* Sizes [*from, *to] of the free chunks counted in a row of the census. */
void cell_stats_range(size_t row, uint64_t *from, uint64_t *to);

#endif
