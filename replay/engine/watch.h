/* watch.h - the outside sampler: while a worker replays on the recorded threads, heaplay itself reads the worker's
 * smaps_rollup and, before and after each reading, how far the worker is. Called by run.c for HP_MODE_WATCHED.
 *
 * Invariants
 *  1. The first point is the baseline: read when the worker stands ready, before its first operation.
 *  2. The last one is read when all threads are done and before survivors are freed.
 *  3. calls, live_bytes and usable_bytes of a point are the means of before and after the reading; calls_during tells how
 *     far the worker went meanwhile, that is how well they belong together.
 */
#ifndef HP_WATCH_H
#define HP_WATCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "engine/plan.h"
#include "measure/smaps.h"

enum { HP_WATCH_POINTS = 2048, HP_WATCH_INTERVAL_MS = 5, HP_WATCH_STEPS = 256 };

struct hp_watch_point {
    uint64_t ns, calls, calls_during;   /* since the start */
    int64_t  live_bytes, usable_bytes;
    struct hp_smaps memory;             /* the first point's as read, others less the first's */
};

struct hp_watch {
    uint64_t interval_ns, step_calls;   /* a point is taken when either has passed */
    uint32_t points;
    struct hp_watch_point point[HP_WATCH_POINTS];
};

/* Until the worker is done or gone. False: it was neither within timeout_s. */
bool hp_watch_run(struct hp_watch *w, pid_t worker, struct hp_job *job, uint32_t threads, uint64_t calls,
                  unsigned timeout_s);

#endif
