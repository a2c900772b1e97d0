/* always: corrupted header word: a block was written past its end */
/* harden:2 at exit: write after free: a block in quarantine has changed */
#include "run.h"

int main(void)
{
    cell_malloc(600);
    char *block = cell_malloc(6000), *next = cell_malloc(6000);
    size_t usable = cell_usable_size(block);
    cell_malloc(600);
    cell_free(block);
    *(size_t *)hidden(block + usable - 8) -= 16;
    cell_free(next);
    return 0;
}
