/* always: double free */
#include "run.h"

int main(void)
{
    /* The third mapping of a size that comes and goes is kept for reuse. */
    char *block = NULL;
    for (int i = 0; i < 8; i++) {
        block = apart(1 << 20);
        cell_free(block);
    }
    cell_free(hidden(block));
    return 0;
}
