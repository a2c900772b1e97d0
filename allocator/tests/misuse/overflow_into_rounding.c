/* not caught */
/* harden:2 always: corrupted canary: a block was written past its end */
#include "run.h"

int main(void)
{
    char *block = apart(41);    /* the cell has room for 48 */
    block[41] = 0;
    cell_free(hidden(block));
    return 0;
}
