/* always: corrupted free list: a block was written to after its free */
/* harden:2 at exit: write after free: a block in quarantine has changed */
#include "run.h"

int main(void)
{
    char *block = apart(40);
    cell_free(block);
    memset(hidden(block), 0x41, 8);
    for (int i = 0; i < 100; i++)
        cell_malloc(40);
    return 0;
}
