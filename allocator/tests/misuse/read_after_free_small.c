/* reads: old contents */
/* harden:2 reads: zero */
#include "run.h"

int main(void)
{
    char *block = apart(300);
    memset(block, 'x', 300);
    cell_free(block);
    fprintf(stderr, ((volatile char *)hidden(block))[200] == 'x' ? "old contents" : "zero");
    return 0;
}
