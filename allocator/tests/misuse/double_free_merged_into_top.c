/* always: double free */
#include "run.h"

int main(void)
{
    cell_malloc(600);
    char *last = cell_malloc(3000);
    cell_free(last);
    cell_free(hidden(last));
    return 0;
}
