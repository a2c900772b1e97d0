/* at flush: invalid pointer: not the start of a live block */
#include "run.h"

int main(void)
{
    char *block = apart(16);
    char *page = (char *)((uintptr_t)block & ~(uintptr_t)4095);
    cell_free(hidden(page + 4096 - 32));
    cell_trim(0);
    return 0;
}
