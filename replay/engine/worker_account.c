/* worker_account.c - the untimed pass that keeps books: usable bytes of all live blocks and resident memory at fixed numbers
 * of operations. It runs a serial plan, so that an operation's number means the same as in the trace. */
#include "engine/worker.h"

#include "measure/resident.h"

static bool makes(unsigned code)
{
    return code <= OP_REALLOCARRAY ? code != OP_REALLOC_FREE
                                   : (code >= OP_ALIGNED_ALLOC && code != OP_USABLE_SIZE && code <= OP_NEW_ALIGNED);
}

static bool consumes(unsigned code)
{
    return code == OP_REALLOC || code == OP_REALLOC_FREE || code == OP_REALLOCARRAY ||
           (code >= OP_FREE && code <= OP_FREE_ALIGNED_SIZED) || code >= OP_DELETE;
}

void hp_worker_account(void)
{
    struct hp_worker *w = &hp_worker;
    struct hp_job *job = w->job;
    const struct hp_stream *s = &w->plan->stream[0];
    const struct hp_op *op = (const struct hp_op *)((const char *)w->plan + s->first);
    size_t (*usable_size)(void *) = w->calls.usable_size;
    uint64_t usable = 0, next = w->plan->curve_step;
    bool peak = hp_resident_reset_peak();

    job->baseline_kib = hp_resident_now_kib();
    for (uint64_t i = 0; i < s->count; i++, op++) {
        if (op->code >= OP_CODE_CALLS)
            continue;
        if (consumes(op->code))
            usable -= usable_size(w->slot[op->slot]);
        hp_loop_step(op);
        if (makes(op->code))
            usable += usable_size(w->slot[op->slot]);
        if (usable > job->usable_peak)
            job->usable_peak = usable;
        if (i + 1 == w->plan->peak_call)
            job->usable_at_peak = usable;
        if (i + 1 == next && job->points < w->plan->points) {
            job->usable_bytes[job->points] = usable;
            job->rss_kib[job->points++] = hp_resident_now_kib();
            next += w->plan->curve_step;
        }
    }
    job->peak_kib = peak ? hp_resident_peak_kib() : HP_MISSING;
    job->end_kib = hp_resident_now_kib();
    hp_worker_read_drain();
}
