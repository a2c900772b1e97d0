/* stopping.h - how many blocks a run needs for intervals of a wanted width, decided once, after a pilot.
 *
 * Stein's two-stage rule (C. Stein, A two-sample test for a linear hypothesis whose power is independent of the variance,
 * Ann. Math. Stat. 16, 1945): the pilot's variance alone fixes the number of samples, and nobody looks at the interval again
 * before that number is reached. Stopping as soon as an interval looks narrow enough would favour the lucky ones.
 */
#ifndef HP_STOPPING_H
#define HP_STOPPING_H

#include <stddef.h>

#define HP_PILOT_BLOCKS 10u

/* The number of blocks, the pilot's included, after which a 95 % interval of the mean of such logs reaches at most log(1 +
 * width) to either side. `logs`: HP_PILOT_BLOCKS values; width above 0, 0.01 is 1 %. At most `most`. */
unsigned hp_stopping_blocks(const double *logs, double width, unsigned most);

#endif
