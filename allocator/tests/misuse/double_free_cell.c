/* always: double free */
#include "run.h"

/* Beside cells in use, whose contents are no header. */
int main(void)
{
    char *cells[3];

    for (int i = 0; i < 3; i++)
        cells[i] = memset(cell_malloc(40), 0x11, 40);
    cell_free(cells[1]);
    cell_free(hidden(cells[1]));
    return 0;
}
