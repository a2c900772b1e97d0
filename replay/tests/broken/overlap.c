/* overlap.c - malloc hands out a block that is still in use. */
#define FAULT_MALLOC
#include "broken.h"

EXPORT void *malloc(size_t n)
{
    static void *last;

    if (!last || !faulty() || usable_of(last) < n)
        last = take(16, n);
    return last;
}
