/* not caught */
#include "run.h"

int main(void)
{
    char *block = apart(3000);
    cell_free(block);
    memset((char *)hidden(block) + 200, 0x41, 1000);    /* neither links nor footer */
    cell_malloc(3000);
    return 0;
}
