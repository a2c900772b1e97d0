/* always: invalid pointer: not the start of a live block */
#include "run.h"

int main(void)
{
    char *block = apart(1 << 20);
    cell_free(hidden(block + 4096));
    return 0;
}
