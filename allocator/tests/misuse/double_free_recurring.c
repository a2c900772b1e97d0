/* always: double free */
#include "run.h"

int main(void)
{
    char *block = apart(3000);
    for (int i = 0; i < 1000; i++) {            /* the size recurs: its blocks stay in the cache */
        cell_free(block);
        block = apart(3000);
    }
    cell_free(block);
    cell_free(hidden(block));
    return 0;
}
