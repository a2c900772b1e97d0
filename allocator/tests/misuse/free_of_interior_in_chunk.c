/* always: invalid pointer: not the start of a live block */
#include "run.h"

int main(void)
{
    char *block = apart(3000);
    cell_free(hidden(block + 1600));
    return 0;
}
