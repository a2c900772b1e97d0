/* minmax.h - the lesser and the greater of two sizes. */
#ifndef CELL_MINMAX_H
#define CELL_MINMAX_H

#include <stddef.h>

static inline size_t cell_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t cell_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

#endif
