/* always: sized free with a size that the block does not have */
#include "run.h"

int main(void)
{
    char *block = cell_malloc(1 << 20);
    cell_free_sized(hidden(block), 1 << 19);
    return 0;
}
