/* always: double free */
#include "run.h"

int main(void)
{
    char *block = apart(3000);
    cell_free(block);
    block = cell_realloc(hidden(block), 4000);
    return 0;
}
