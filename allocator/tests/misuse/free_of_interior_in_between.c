/* always: invalid pointer: not the start of a live block */
#include "run.h"

int main(void)
{
    char *block = apart(300);
    cell_free(hidden(block + 160));
    return 0;
}
