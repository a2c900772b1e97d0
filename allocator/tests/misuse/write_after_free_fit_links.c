/* always: corrupted free list: a block was written to after its free */
/* harden:2 at exit: write after free: a block in quarantine has changed */
#include "run.h"

int main(void)
{
    char *block[3];
    for (int i = 0; i < 3; i++)
        block[i] = apart(9000);
    for (int i = 0; i < 3; i++)
        cell_free(block[i]);
    memcpy(hidden(block[1]), &(char *){ block[1] - 16 }, sizeof(char *));
    for (int i = 0; i < 3; i++)
        cell_malloc(9000);
    return 0;
}
