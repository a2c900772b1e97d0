/* misaligned.c - posix_memalign and aligned_alloc forget the alignment. */
#define FAULT_ALIGNED
#include "broken.h"

EXPORT void *aligned_alloc(size_t a, size_t n) { (void)a; return take(16, n + 16); }
EXPORT int posix_memalign(void **p, size_t a, size_t n) { (void)a; return (*p = take(16, n + 16)) ? 0 : ENOMEM; }
