/* always: invalid pointer: not the start of a live block */
#include "run.h"

int main(void)
{
    cell_malloc(600);
    char *block = cell_malloc(1000), *next = cell_malloc(1000);
    memset(hidden(block), 0x41, 1200);
    cell_free(next);
    return 0;
}
