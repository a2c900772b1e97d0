/* compile_head.h - what the plan's head says of the trace as a whole, kept up to date call by call, and the length of epochs
 * that follows from it. Owned and called by compile.c. Pure. */
#ifndef HP_COMPILE_HEAD_H
#define HP_COMPILE_HEAD_H

#include <stdint.h>

#include "engine/plan.h"
#include "trace/trace.h"

/* After a call has had its effect on live blocks. `bytes`: what it asked for. */
void hp_compile_head_count(struct hp_plan *p, const struct hp_event *e, uint64_t bytes, uint64_t live_blocks,
                           uint64_t live_bytes);

/* Calls to an epoch. 4096 per thread, since 64 threads on 2 processors then spend 6 ns per call on waiting for each other
 * (38 ns with 256 calls per thread); fewer where so many would ask for more than a sixteenth of the peak of live bytes, so
 * that threads running ahead do not make a peak of their own. */
uint64_t hp_compile_head_epoch(const struct hp_plan *p);

#endif
