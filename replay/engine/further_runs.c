/* further_runs.c - see further_runs.h. None of these is timed, so each may look as closely as it needs to. */
#include "engine/further_runs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LATENCY_RUNS = 3, LATENCY_STRIDE = 16, LAYOUT_DRAWS = 3 /* seeds that hp_run_layout uses */ };

void hp_further_fail(struct hp_entry *e, enum hp_run_status status, const char *text)
{
    e->status = status;
    snprintf(e->status_text, sizeof e->status_text, "%s", text);
}

void hp_further_fill_job(const struct hp_campaign *c, struct hp_job *job, int mode)
{
    job->mode = (uint32_t)mode;
    job->touch = (uint32_t)c->conditions.touch;
    job->touch_lines = c->conditions.touch_lines;
    job->loops = mode == HP_MODE_TIMED ? c->conditions.loops : 1;
    /* Dense enough for a tail, thin enough to fit and to leave the run what it is. */
    job->latency_seed = c->conditions.seed;
    job->latency_stride = LATENCY_STRIDE + c->plan->plan->calls / (HP_LATENCY_ROOM / 2);
    job->carry_survivors = c->conditions.carry && job->loops > 1;
    job->look_only = false;
    job->drain_waits = mode == HP_MODE_ACCOUNT && c->conditions.drain_waits;
}

static int64_t above_baseline(const struct hp_job *job, int64_t kib)
{
    return kib == HP_MISSING ? HP_MISSING : kib - job->baseline_kib;
}

/* The high-water mark misses pages that were never counted together before some went back; an exact look that found more is
 * right. Looks in turn, for one look would give all samples that it raises one value and no spread. */
static void raise_peaks(const struct hp_campaign *c, struct hp_entry *e)
{
    for (unsigned i = 0; e->looks && i < e->samples; i++) {
        double seen = (double)e->look_kib[i % e->looks];
        if (e->values[HP_PEAK_RSS_KIB][i] >= seen || isnan(e->values[HP_PEAK_RSS_KIB][i]))
            continue;
        hp_entry_set_peak(c, e, i, seen);
        e->raised++;
    }
}

/* Only where the samples make the same calls in the same order. The book-keeping run's is the first. */
static void run_looks(struct hp_campaign *c, struct hp_run *run, struct hp_entry *e)
{
    enum hp_run_status status;

    if (c->plan->plan->threads != 1)
        return;
    e->look_kib[e->looks++] = e->rss_at_peak_kib;
    while (e->looks < HP_LOOKS) {
        run->seed += LAYOUT_DRAWS;
        hp_further_fill_job(c, run->job, HP_MODE_ACCOUNT);
        run->job->look_only = true;
        status = hp_run_worker(run);
        if (status != HP_RUN_OK) {
            hp_further_fail(e, status, run->text);
            return;
        }
        e->look_kib[e->looks++] = above_baseline(run->job, run->job->rss_at_peak_kib);
    }
    raise_peaks(c, e);
}

static int run_account(struct hp_campaign *c, struct hp_run *run, struct hp_entry *e)
{
    const struct hp_job *job = run->job;
    enum hp_run_status status;

    run->plan_fd = c->serial->fd;
    hp_further_fill_job(c, run->job, HP_MODE_ACCOUNT);
    status = hp_run_worker(run);
    if (status != HP_RUN_OK) {
        hp_further_fail(e, status, run->text);
        return 0;
    }
    e->usable_bytes = malloc((job->points + 1) * sizeof *e->usable_bytes);
    e->rss_kib = malloc((job->points + 1) * sizeof *e->rss_kib);
    if (!e->usable_bytes || !e->rss_kib)
        return -1;
    e->has_account = true;
    e->usable_at_peak = job->usable_at_peak;
    e->rss_at_peak_kib = above_baseline(job, job->rss_at_peak_kib);
    e->points = job->points;
    memcpy(e->usable_bytes, job->usable_bytes, job->points * sizeof *e->usable_bytes);
    for (uint32_t i = 0; i < job->points; i++)
        e->rss_kib[i] = job->rss_kib[i] - job->baseline_kib;
    for (int i = 0; i < HP_DRAIN_POINTS; i++)
        e->drain_kib[i] = above_baseline(job, job->drain_kib[i]);
    run_looks(c, run, e);
    return 0;
}

void hp_further_verify(struct hp_campaign *c, struct hp_run *run, struct hp_entry *e)
{
    e->verified = -1;
    if (!c->conditions.verify || e->allocator.backend != HP_BACKEND_LIBRARY)
        return;
    run->allocator = &e->allocator;
    run->plan_fd = c->serial->fd;
    hp_further_fill_job(c, run->job, HP_MODE_VERIFY);
    enum hp_run_status status = hp_run_worker(run);
    e->verified = status == HP_RUN_OK;
    if (status != HP_RUN_OK)
        snprintf(e->violation, sizeof e->violation, "%s: %.900s", hp_run_status_name(status), run->text);
}

static int run_latency(struct hp_campaign *c, struct hp_run *run, struct hp_entry *e)
{
    for (int i = 0; i < LATENCY_RUNS && e->status == HP_RUN_OK; i++) {
        run->plan_fd = c->plan->fd;
        hp_further_fill_job(c, run->job, HP_MODE_LATENCY);
        enum hp_run_status status = hp_run_worker(run);
        if (status != HP_RUN_OK) {
            hp_further_fail(e, status, run->text);
            return 0;
        }
        size_t n = run->job->latency_taken < HP_LATENCY_ROOM ? run->job->latency_taken : HP_LATENCY_ROOM;
        struct hp_latency *all = realloc(e->latency, (e->latencies + n + 1) * sizeof *all);
        if (!all)
            return -1;
        memcpy(all + e->latencies, run->job + 1, n * sizeof *all);
        e->latency = all;
        e->latencies += n;
    }
    return 0;
}

static int run_watched(struct hp_campaign *c, struct hp_run *run, struct hp_entry *e)
{
    struct hp_watch *watch = malloc(sizeof *watch);

    if (!watch)
        return -1;
    run->plan_fd = c->plan->fd;
    run->plan = c->plan->plan;
    run->watch = watch;
    hp_further_fill_job(c, run->job, HP_MODE_WATCHED);
    enum hp_run_status status = hp_run_worker(run);
    if (status != HP_RUN_OK)
        hp_further_fail(e, status, run->text);
    if (status != HP_RUN_OK || watch->points < 2) {
        free(watch);    /* no points: the kernel does not let us look into the worker */
        return 0;
    }
    e->watch = watch;
    e->watch_peak_kib = run->job->peak_kib == HP_MISSING ? HP_MISSING : run->job->peak_kib - run->job->baseline_kib;
    return 0;
}

int hp_further_runs(struct hp_campaign *c, struct hp_run *run, struct hp_entry *e)
{
    if (e->status != HP_RUN_OK || e->allocator.backend != HP_BACKEND_LIBRARY)
        return 0;
    run->allocator = &e->allocator;
    if (run_account(c, run, e) != 0 || (e->status == HP_RUN_OK && run_watched(c, run, e) != 0))
        return -1;
    return c->conditions.latency ? run_latency(c, run, e) : 0;
}
