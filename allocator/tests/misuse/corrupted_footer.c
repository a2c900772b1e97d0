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
    memset((char *)hidden(block) + usable - 8, 0x41, 8);    /* the last word: where the footer is */
    cell_free(next);
    return 0;
}
