/* always: double free */
#include "run.h"

int main(void)
{
    char *block = cell_calloc(10, 6);
    cell_free(block);
    cell_free(hidden(block));
    return 0;
}
