/* always: invalid pointer: not the start of a live block */
#include "run.h"

int main(void)
{
    static char array[400];
    cell_free(hidden(array + 160 - (uintptr_t)array % 16));
    return 0;
}
