/* dirty.c - calloc does not clear memory that it takes again. */
#define FAULT_CALLOC
#include "broken.h"

EXPORT void *calloc(size_t n, size_t size) { return take(16, n * size); }
