/* hang.c - malloc does not return. */
#define FAULT_MALLOC
#include "broken.h"

EXPORT void *malloc(size_t n)
{
    while (faulty())
        calls--;
    return take(16, n);
}
