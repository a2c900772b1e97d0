/* always: invalid pointer: not the start of a live block */
#include "run.h"

int main(void)
{
    char array[400];
    memset(array, 0, sizeof array);
    apart(40);
    char *block = cell_realloc(hidden(array + 160 - (uintptr_t)array % 16), 4000);
    (void)block;
    return 0;
}
