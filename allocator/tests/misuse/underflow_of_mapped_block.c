/* always: invalid pointer: not the start of a live block */
#include "run.h"

int main(void)
{
    char *block = apart(1 << 20);
    memset((char *)hidden(block) - 8, 0x41, 8);
    cell_free(block);
    return 0;
}
