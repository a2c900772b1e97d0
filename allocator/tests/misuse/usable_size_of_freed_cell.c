/* always: double free */
#include "run.h"

int main(void)
{
    char *block = apart(40);
    cell_free(block);
    printf("%zu", cell_usable_size(hidden(block)));
    return 0;
}
