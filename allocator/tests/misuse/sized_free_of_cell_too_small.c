/* always: sized free with a size that the block does not have */
#include "run.h"

int main(void)
{
    char *block = apart(40);
    cell_free_sized(hidden(block), 20);
    return 0;
}
