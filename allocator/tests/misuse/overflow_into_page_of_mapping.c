/* not caught */
/* harden:2 fault: at the write itself */
#include "run.h"

int main(void)
{
    char *block = cell_malloc(200001);
    char *volatile end = block + 200016;
    *end = 0;
    cell_free(hidden(block));
    return 0;
}
