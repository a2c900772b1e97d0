/* always: invalid pointer: not the start of a live block */
#include "run.h"

int main(void)
{
    char *block = apart(3000);
    block = cell_realloc(hidden(block + 8), 4000);
    return 0;
}
