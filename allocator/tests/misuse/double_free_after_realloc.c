/* always: double free */
#include "run.h"

int main(void)
{
    char *block = apart(3000);
    char *moved = cell_realloc(block, 30000);
    if (moved == NULL || moved == block)
        return 3;
    cell_free(hidden(block));
    return 0;
}
