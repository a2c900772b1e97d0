/* always: corrupted header word: a block was written past its end */
/* harden:2 always: corrupted canary: a block was written past its end */
#include "run.h"

int main(void)
{
    cell_malloc(600);
    char *block = cell_malloc(1000), *next = cell_malloc(1000);
    memset(hidden(block), 0x41, 1030);
    (void)next;
    block = cell_realloc(block, 2000);
    return 0;
}
