/* always: double free */
#include "run.h"

int main(void)
{
    enum { COUNT = 5000 };
    static char *later[COUNT];
    char *block = apart(300);
    cell_free(block);
    for (int i = 0; i < COUNT; i++)
        later[i] = apart(5000);
    for (int i = 0; i < COUNT; i++)
        cell_free(later[i]);
    cell_free(hidden(block));
    return 0;
}
