/* reads: old contents */
/* harden:2 fault: at the read itself */
#include "run.h"

int main(void)
{
    char *block = apart(20000);
    memset(block, 'x', 20000);
    cell_free(block);
    fprintf(stderr, ((volatile char *)hidden(block))[200] == 'x' ? "old contents" : "zero");
    return 0;
}
