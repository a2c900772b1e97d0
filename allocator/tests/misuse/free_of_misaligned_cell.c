/* always: invalid pointer: not the start of a live block */
#include "run.h"

int main(void)
{
    char *block = apart(40);
    cell_free(hidden(block + 1));
    return 0;
}
