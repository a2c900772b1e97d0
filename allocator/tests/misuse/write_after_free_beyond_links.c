/* not caught */
/* harden:2 at exit: write after free: a block in quarantine has changed */
#include "run.h"

int main(void)
{
    char *block = apart(3000);
    cell_free(block);
    memset((char *)hidden(block) + 200, 0x41, 1000);    /* neither links nor footer */
    cell_malloc(3000);
    return 0;
}
