/* figure.h - from samples to a figure with an interval. Pure functions over arrays; NaN marks a missing sample. */
#ifndef HP_FIGURE_H
#define HP_FIGURE_H

#include <stdbool.h>
#include <stddef.h>

struct hp_figure {
    double median, low, high;
    size_t count;
    bool   interval;        /* low and high bound a 95 % interval of the median; otherwise only the range */
};

/* False when every sample is missing. */
bool   hp_figure_of(const double *sample, size_t count, struct hp_figure *out);
/* Rank (from 1) of the lower end of a 95 % interval of the median of n samples; 0: n is too small. */
size_t hp_figure_rank(size_t n);

#endif
