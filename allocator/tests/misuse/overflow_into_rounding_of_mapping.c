/* not caught */
/* harden:2 always: corrupted canary: a block was written past its end */
#include "run.h"

int main(void)
{
    char *block = cell_malloc(200001);
    block[200001] = 0;
    cell_free(hidden(block));
    return 0;
}
