/* scribble.c - malloc writes into the block it handed out before, as a broken free list does. */
#define FAULT_MALLOC
#include "broken.h"

EXPORT void *malloc(size_t n)
{
    static char *last;

    if (last && faulty())
        last[0] ^= 1;
    return last = take(16, n);
}
