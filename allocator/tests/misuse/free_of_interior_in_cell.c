/* at flush: invalid pointer: not the start of a live block */
#include "run.h"

int main(void)
{
    char *block = apart(64);
    cell_free(hidden(block + 16));
    cell_trim(0);
    return 0;
}
