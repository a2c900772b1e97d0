/* minmax.h - the lesser and the greater of two sizes, and the next multiple. */
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

/* `unit` is a power of two. */
static inline size_t cell_round_up(size_t size, size_t unit)
{
    return (size + unit - 1) & ~(unit - 1);
}

#endif
