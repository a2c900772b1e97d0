/* run.h - one worker process: start it, wait for it, say how it ended. Called by the commands through campaign.h. */
#ifndef HP_RUN_H
#define HP_RUN_H

#include <stddef.h>
#include <stdint.h>
#include "allocs/allocs.h"
#include "engine/plan.h"

enum { HP_RUN_HEARD = 80 };

enum hp_run_status { HP_RUN_OK = 0, HP_RUN_CRASHED, HP_RUN_WRONG, HP_RUN_TIMEOUT, HP_RUN_REFUSED, HP_RUN_SYSTEM };

struct hp_run {
    int                        plan_fd;
    const struct hp_allocator *allocator;
    uint64_t                   seed;        /* of the layout */
    unsigned                   timeout_s;
    struct hp_watch           *watch;       /* filled in HP_MODE_WATCHED, else not looked at */
    const struct hp_plan      *plan;        /* of plan_fd, for the watch */
    struct hp_job             *job;         /* shared; the caller fills the upper part before each run */
    int                        job_fd;
    char                       text[1024];  /* why it is not ok */
    const struct hp_allocator *heard[HP_RUN_HEARD];     /* what these wrote to stderr was printed; set heard_count to 0 */
    unsigned                   heard_count;             /* where another allocator takes the place of one */
};

/* What layout luck hangs on, drawn anew for each process: bytes of environment, of stack, of the page before the slot table. */
struct hp_layout { uint32_t padding, stack_offset, slot_offset; };
struct hp_layout hp_run_layout(uint64_t seed);

int  hp_run_init(struct hp_run *r, char *error, size_t error_size);    /* makes the job page */
void hp_run_release(struct hp_run *r);
enum hp_run_status hp_run_worker(struct hp_run *r);
const char *hp_run_status_name(enum hp_run_status status);     /* as results/SCHEMA.md names it */

#endif
