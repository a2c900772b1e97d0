/* always: sized free with a size that the block does not have */
#include "run.h"

int main(void)
{
    char *block = apart(3000);
    while ((uintptr_t)block % 4096 == 0)
        block = apart(3000);
    cell_free_aligned_sized(hidden(block), 4096, 3000);
    return 0;
}
