/* further_runs.h - the runs of an allocator that are no samples: verify before them; book-keeping, the outside sampler and
 * latency after them. Called by campaign.c. */
#ifndef HP_FURTHER_RUNS_H
#define HP_FURTHER_RUNS_H

#include "engine/campaign.h"

void hp_further_fill_job(const struct hp_campaign *c, struct hp_job *job, int mode);
void hp_further_fail(struct hp_entry *e, enum hp_run_status status, const char *text);

void hp_further_verify(struct hp_campaign *c, struct hp_run *run, struct hp_entry *e);
int  hp_further_runs(struct hp_campaign *c, struct hp_run *run, struct hp_entry *e);    /* -1: out of memory */

#endif
