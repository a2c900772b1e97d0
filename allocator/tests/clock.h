/* clock.h - for tests of what holds for a second only. */
#ifndef CELL_TEST_CLOCK_H
#define CELL_TEST_CLOCK_H

#include <time.h>

/* Seconds of a clock that only goes forward. */
static inline double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

#endif
