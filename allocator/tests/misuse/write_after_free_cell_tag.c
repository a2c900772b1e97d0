/* always: corrupted free list: a block was written to after its free */
/* harden:2 not caught */
#include "run.h"

int main(void)
{
    char *block = apart(40);
    cell_free(block);
    memset((char *)hidden(block) + 8, 0, 8);
    for (int i = 0; i < 100; i++)
        cell_malloc(40);
    return 0;
}
