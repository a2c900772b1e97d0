/* always: double free */
#include "run.h"

int main(void)
{
    char *block = cell_aligned_alloc(4096, 3000);
    cell_free(block);
    cell_free(hidden(block));
    return 0;
}
