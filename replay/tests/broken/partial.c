/* partial.c - exports malloc but neither aligned_alloc nor posix_memalign: those calls would go to the C library. */
#define FAULT_ALIGNED
#include "broken.h"
