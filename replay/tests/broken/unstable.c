/* unstable.c - malloc_usable_size says more of a block whenever it is asked a second time. */
#define FAULT_USABLE
#include "broken.h"

EXPORT size_t malloc_usable_size(void *p)
{
    size_t *asked = p ? head_of(p) - 1 : NULL;

    return p ? usable_of(p) + ((*asked)++ % 2 ? 16 : 0) : 0;
}
