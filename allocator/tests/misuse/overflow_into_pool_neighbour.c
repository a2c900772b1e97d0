/* not caught */
/* harden:2 always: corrupted canary: a block was written past its end */
#include "run.h"

int main(void)
{
    char *block[8];
    for (int i = 0; i < 8; i++)
        block[i] = cell_malloc(48);
    memset(hidden(block[0]), 0x41, 60);             /* cells have no header between them */
    for (int i = 0; i < 8; i++)
        cell_free(block[i]);
    return 0;
}
