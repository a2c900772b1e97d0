/* small.c - malloc_usable_size says less than was asked for. */
#define FAULT_USABLE
#include "broken.h"

EXPORT size_t malloc_usable_size(void *p) { return usable_of(p) / 2; }
