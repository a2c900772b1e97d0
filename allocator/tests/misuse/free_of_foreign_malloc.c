/* always: invalid pointer: not the start of a live block */
#include "run.h"

int main(void)
{
    char *block = malloc(3000);
    apart(40);
    memset(block, 0, 3000);
    cell_free(hidden(block));
    return 0;
}
