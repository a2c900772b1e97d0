/* always: double free */
#include "run.h"

int main(void)
{
    char *block = apart(40);
    cell_free(block);
    block = cell_realloc(hidden(block), 41);
    return 0;
}
