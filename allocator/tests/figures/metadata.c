/* metadata.c - fills MIB of live blocks of mixed sizes and prints the allocator's metadata bytes and its footprint. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cellmalloc.h"

int main(int argc, char **argv)
{
    size_t target = (argc > 1 ? (size_t)atol(argv[1]) : 1) << 20, filled = 0;
    struct cell_stats stats;

    for (size_t i = 0; filled < target; i++) {
        size_t size = i % 7 == 0 ? 1000 : 16 + i * 29 % 200;
        memset(cell_malloc(size), 1, size);
        filled += size;
    }
    cell_stats_get(&stats);
    printf("%" PRIu64 " %" PRIu64 "\n", stats.metadata_bytes, stats.footprint_bytes);
    return 0;
}
