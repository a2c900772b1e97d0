/* layout.c - prints the sizes that allocator/DESIGN.md states, one "NAME VALUE" a line; scripts/design.py compares them. */
#include <stdio.h>

#include "heap.h"
#include "tcache.h"

#define SHOW(name, value) printf("%s %zu\n", name, (size_t)(value))

int main(void)
{
    SHOW("sizeof(struct cell_heap)", sizeof(struct cell_heap));
    SHOW("sizeof(struct cell_tcache)", sizeof(struct cell_tcache));
    SHOW("sizeof(struct cell_bin)", sizeof(struct cell_bin));
    SHOW("sizeof(struct cell_page_info)", sizeof(struct cell_page_info));
    SHOW("sizeof(struct cell_fit_node)", sizeof(struct cell_fit_node));
    SHOW("sizeof(struct cell_freed)", sizeof(struct cell_freed));
    SHOW("CELL_WORD", CELL_WORD);
    SHOW("CELL_CHUNK_MIN", CELL_CHUNK_MIN);
    SHOW("CELL_MAPPED_PREFIX", CELL_MAPPED_PREFIX);
    SHOW("CELL_BIN_COUNT", CELL_BIN_COUNT);
    SHOW("CELL_FIT_ORDERS", CELL_FIT_ORDERS);
    SHOW("CELL_TCACHE_BINS", CELL_TCACHE_BINS);
    SHOW("bits of the seal", sizeof(size_t) * 8 - CELL_SEAL_SHIFT);
    for (unsigned i = 1; i <= CELL_POOL_CLASSES; i++) {
        printf("cells of %zu in a pool %zu\n", cell_pool_cell_size(i), cell_pool_capacity(i));
        if (cell_pool_cell_size(i) == cell_option.small_limit)
            SHOW("cells in a pool at small_limit", cell_pool_capacity(i));
    }
    return 0;
}
