/* always: invalid pointer: not the start of a live block */
/* harden:2 always: corrupted canary: a block was written past its end */
#include "run.h"

int main(void)
{
    char *block[64];
    for (int i = 0; i < 64; i++)
        block[i] = cell_malloc(200);
    for (int i = 0; i < 64; i++)
        memset(hidden(block[i]), 0x41, 220);
    for (int i = 0; i < 64; i++)
        cell_free(block[i]);
    return 0;
}
