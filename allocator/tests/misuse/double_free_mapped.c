/* unmapped: the program ends by SIGSEGV, since the memory is gone */
#include "run.h"

int main(void)
{
    char *block = apart(1 << 20);
    cell_free(block);
    cell_free(hidden(block));
    return 0;
}
