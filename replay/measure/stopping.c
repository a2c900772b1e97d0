/* stopping.c - see stopping.h. Pure. */
#include "measure/stopping.h"

#include <math.h>

/* Student's t, 97.5 %, for a pilot's 9 degrees of freedom. */
static const double t_of_pilot = 2.2621571628;

unsigned hp_stopping_blocks(const double *logs, double width, unsigned most)
{
    double mean = 0, variance = 0, reach = log1p(width);

    for (size_t i = 0; i < HP_PILOT_BLOCKS; i++)
        mean += logs[i] / HP_PILOT_BLOCKS;
    for (size_t i = 0; i < HP_PILOT_BLOCKS; i++)
        variance += (logs[i] - mean) * (logs[i] - mean) / (HP_PILOT_BLOCKS - 1);
    double needed = ceil(t_of_pilot * t_of_pilot * variance / (reach * reach));
    if (!(needed > HP_PILOT_BLOCKS))
        return HP_PILOT_BLOCKS;
    return needed < most ? (unsigned)needed : most;
}
