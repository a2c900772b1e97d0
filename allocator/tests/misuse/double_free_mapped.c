/* unmapped: the program ends by SIGSEGV, since the memory is gone */
/* harden:2 always: double free */
#include "run.h"

int main(void)
{
    char *block = apart(1 << 20);
    cell_free(block);
    cell_free(hidden(block));
    return 0;
}
