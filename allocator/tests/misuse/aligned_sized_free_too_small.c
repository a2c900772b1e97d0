/* always: sized free with a size that the block does not have */
#include "run.h"

int main(void)
{
    char *block = cell_aligned_alloc(32, 64);
    cell_free_aligned_sized(hidden(block), 32, 32);
    return 0;
}
