/* always: corrupted header word: a block was written past its end */
/* harden:2 always: corrupted canary: a block was written past its end */
#include "run.h"

int main(void)
{
    cell_malloc(600);
    char *block = cell_malloc(1000);
    cell_malloc(1000);
    hidden(block);
    block[cell_usable_size(block)] ^= 0x20;
    cell_free(block);
    return 0;
}
