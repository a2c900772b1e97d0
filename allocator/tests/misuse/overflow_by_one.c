/* always: invalid pointer: not the start of a live block */
/* harden:2 at exit: corrupted canary: a block was written past its end */
#include "run.h"

int main(void)
{
    cell_malloc(600);
    char *block = cell_malloc(1000), *next = cell_malloc(1000);
    hidden(block);
    block[cell_usable_size(block)] ^= 0x20;         /* size bits of the neighbour's header */
    cell_free(next);
    return 0;
}
