/* worker_account.c - the untimed pass that keeps books: usable bytes of all live blocks and resident memory at fixed numbers
 * of operations; or takes one look, when live bytes peak. It runs a serial plan, so that an operation's number means the
 * same as in the trace. */
#include "engine/worker.h"

#include "measure/resident.h"

struct books {
    uint64_t usable, call, next;    /* call: done so far; next: number of calls at the next point */
};

static void account(struct books *b, const struct hp_op *op)
{
    struct hp_worker *w = &hp_worker;
    struct hp_job *job = w->job;

    if (hp_op_consumes(op->code))
        b->usable -= w->calls.usable_size(w->slot[op->slot]);
    hp_loop_step(op);
    if (hp_op_makes(op->code))
        b->usable += w->calls.usable_size(w->slot[op->slot]);
    if (b->usable > job->usable_peak)
        job->usable_peak = b->usable;
    if (++b->call == w->plan->peak_call) {
        job->usable_at_peak = b->usable;
        job->rss_at_peak_kib = hp_resident_now_kib();
    }
    if (b->call == b->next && job->points < w->plan->points) {
        job->usable_bytes[job->points] = b->usable;
        job->rss_kib[job->points++] = hp_resident_now_kib();
        b->next += w->plan->curve_step;
    }
}

/* False: that was the last call that matters. */
static bool look(struct books *b, const struct hp_op *op)
{
    hp_loop_step(op);
    if (++b->call < hp_worker.plan->peak_call)
        return true;
    hp_worker.job->rss_at_peak_kib = hp_resident_now_kib();
    return false;
}

static void execute(void)
{
    const bool look_only = hp_worker.job->look_only;
    struct books b = { .next = hp_worker.plan->curve_step };

    for (uint32_t section = 0; section < hp_worker.plan->sections; section++) {
        hp_plan_turn_to(section);
        const struct hp_stream s = hp_plan_stream_of(0);
        const struct hp_op *op = hp_plan_operations(&s), *end = op + s.count;
        for (; op < end; op++) {
            if (op->code >= OP_CODE_CALLS)
                continue;
            if (!look_only)
                account(&b, op);
            else if (!look(&b, op))
                return;
        }
    }
}

void hp_worker_account(void)
{
    struct hp_job *job = hp_worker.job;
    bool peak = hp_worker_take_baseline();

    execute();
    if (job->look_only)
        return;
    job->peak_kib = peak ? hp_resident_peak_kib() : HP_MISSING;
    job->end_kib = hp_resident_now_kib();
    hp_worker_read_drain();
}
