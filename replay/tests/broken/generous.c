/* generous.c - malloc_usable_size says more than there is: whoever uses it all destroys the neighbour. */
#define FAULT_USABLE
#include "broken.h"

EXPORT size_t malloc_usable_size(void *p) { return p ? usable_of(p) + 32 : 0; }
