/* always: double free */
#include "run.h"

int main(void)
{
    cell_malloc(600);
    char *first = cell_malloc(3000), *second = cell_malloc(3000);
    cell_malloc(600);
    cell_free(second);
    cell_free(first);
    cell_free(hidden(second));
    return 0;
}
