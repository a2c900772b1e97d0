/* not caught */
/* harden:2 at flush: write after free: a block in quarantine has changed */
#include "run.h"

int main(void)
{
    char *volatile block = apart(300);
    cell_free(block);
    for (int i = 0; i < 5000; i++)
        cell_free(cell_malloc(500));
    block[100] = 1;
    for (int i = 0; i < 100000; i++)
        cell_free(cell_malloc(500));
    return 0;
}
