/* errno.c - free leaves another errno behind. */
#define FAULT_FREE
#include "broken.h"

EXPORT void free(void *p)
{
    give(p);
    errno = EINVAL;
}
