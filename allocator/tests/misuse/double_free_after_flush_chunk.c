/* always: double free */
#include "run.h"

int main(void)
{
    char *block = apart(300);
    cell_free(block);
    cell_trim(0);
    cell_free(hidden(block));
    return 0;
}
