/* always: double free */
#include "run.h"

int main(void)
{
    char *block[8];

    for (int i = 0; i < 8; i++)
        block[i] = cell_malloc(300);
    cell_malloc(600);
    for (int i = 0; i < 8; i++)
        cell_free(block[i]);
    cell_trim(0);               /* neighbours that go back together are one chunk before they reach the heap */
    cell_free(hidden(block[3]));
    return 0;
}
