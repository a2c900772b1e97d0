/* always: double free */
#include "run.h"

int main(void)
{
    cell_option_set("small_limit", 0);
    char *block = apart(20);
    cell_free(block);
    cell_free(hidden(block));
    return 0;
}
