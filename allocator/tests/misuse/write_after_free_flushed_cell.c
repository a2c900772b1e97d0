/* always: corrupted free list: a block was written to after its free */
/* harden:2 at exit: write after free: a block in quarantine has changed */
#include "run.h"

int main(void)
{
    char *block = apart(40);
    apart(40);
    cell_free(block);
    cell_trim(0);
    memset(hidden(block), 0x41, 40);
    for (int i = 0; i < 1000; i++)
        cell_malloc(40);
    return 0;
}
