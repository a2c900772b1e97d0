/* crash.c - malloc dies. */
#define FAULT_MALLOC
#include "broken.h"

EXPORT void *malloc(size_t n)
{
    if (faulty())
        __builtin_trap();
    return take(16, n);
}
