/* figure.c - median and its interval from order statistics, see figure.h.
 *
 * The number of samples below the true median is binomial(n, 1/2), whatever the distribution: the interval from the
 * k-th smallest to the k-th largest sample misses it with probability 2 P(X < k). */
#include "measure/figure.h"

#include <math.h>
#include <stdlib.h>

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

size_t hp_figure_rank(size_t n)
{
    double tail = 0;
    size_t k = 0;

    for (;; k++) {
        tail += exp(lgamma((double)n + 1) - lgamma((double)k + 1) - lgamma((double)(n - k) + 1) -
                    (double)n * log(2));
        if (tail > 0.025 || k >= n)
            return k;
    }
}

bool hp_figure_of(const double *sample, size_t count, struct hp_figure *out)
{
    double *sorted = malloc((count + 1) * sizeof *sorted);
    size_t n = 0;

    if (!sorted)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!isnan(sample[i]))
            sorted[n++] = sample[i];
    if (n) {
        qsort(sorted, n, sizeof *sorted, ascending);
        size_t rank = hp_figure_rank(n);
        out->count = n;
        out->interval = rank > 0;
        out->median = n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
        out->low = sorted[rank ? rank - 1 : 0];
        out->high = sorted[rank ? n - rank : n - 1];
    }
    free(sorted);
    return n > 0;
}
