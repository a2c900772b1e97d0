/* not caught */
/* harden:2 fault: at the write itself */
#include "run.h"

int main(void)
{
    char *volatile block = apart(20000);
    cell_free(block);
    block[10000] = 1;
    return 0;
}
