/* always: double free */
#include "run.h"

int main(void)
{
    char *block = apart(300);
    cell_free(block);
    block = cell_realloc(hidden(block), 320);
    return 0;
}
