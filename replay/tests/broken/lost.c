/* lost.c - realloc loses the last byte of what it copies. */
#define FAULT_REALLOC
#include "broken.h"

EXPORT void *realloc(void *p, size_t n)
{
    void *to = take(16, n);
    size_t copied = usable_of(p) < n ? usable_of(p) : n;

    if (to && p && copied) {
        memcpy(to, p, copied);
        memset((char *)to + copied / 2, 0, 1);
    }
    give(p);
    return to;
}
