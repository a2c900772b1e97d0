/* unmapped */
/* harden:2 always: double free */
#include "run.h"

int main(void)
{
    char *block = cell_malloc(1 << 20);
    cell_free(block);
    return cell_realloc(hidden(block), 2 << 20) == NULL;
}
