/* past.c - a library with a block of its own, for deepbind.c. */
#include <stdlib.h>

void *block(void)
{
    return malloc(100);
}
