/* null.c - malloc returns NULL although there is memory. */
#define FAULT_MALLOC
#include "broken.h"

EXPORT void *malloc(size_t n) { return faulty() ? NULL : take(16, n); }
