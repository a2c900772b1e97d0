/* campaign.c - runs the samples; see campaign.h.
 *
 * A block holds every allocator once, in an order drawn anew; a slow or noisy moment thus meets all alike, and samples
 * of one block can be compared pairwise. An allocator that failed once is not run again. */
#include "engine/campaign.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/further_runs.h"
#include "measure/figure.h"
#include "measure/stopping.h"

const char *const hp_measure_key[HP_MEASURES] = {
    "ns_per_op", "net_ns_per_op", "warm_ns_per_op", "ops_per_s", "cpu_ns_per_op", "user_ns_per_op",
    "system_ns_per_op", "peak_rss_kib", "baseline_rss_kib", "start_rss_kib", "peak_ratio", "minor_faults",
    "major_faults", "rss_after_drain_kib", "stall_share", "cycles_per_op", "instructions_per_op",
    "cache_misses_per_op", "dtlb_misses_per_op",
};

enum { MIN_BLOCKS = 3 };

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state += 0x9e3779b97f4a7c15u;

    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

static double difference(int64_t a, int64_t b)
{
    return a == HP_MISSING || b == HP_MISSING ? NAN : (double)(a - b);
}

static bool make_room(struct hp_entry *e)
{
    size_t n = e->samples + 1u;

    for (int m = 0; m < HP_MEASURES; m++) {
        double *bigger = realloc(e->values[m], n * sizeof *bigger);
        if (!bigger)
            return false;
        e->values[m] = bigger;
        e->values[m][e->samples] = NAN;
    }
    uint32_t *block = realloc(e->block, n * sizeof *block);
    if (block)
        e->block = block;
    double **warm = realloc(e->warm, n * sizeof *warm);
    if (warm)
        e->warm = warm;
    double **end = realloc(e->pass_end_kib, n * sizeof *end);
    if (end)
        e->pass_end_kib = end;
    return block && warm && end;
}

static double stall_share(const struct hp_campaign *c, const struct hp_job *job)
{
    double stall = 0, total = 0;

    for (uint32_t t = 0; t < c->plan->plan->threads; t++) {
        stall += (double)job->stall_ns[t];
        total += (double)job->thread_ns[t];
    }
    return total > 0 ? stall / total : 0;
}

/* The median of the passes after the first, and all passes for the record. */
static bool keep_passes(struct hp_campaign *c, struct hp_entry *e, const struct hp_job *job)
{
    double ops = (double)c->plan->plan->calls;
    uint32_t loops = c->conditions.loops;
    double *warm = malloc(loops * sizeof *warm), *end = malloc(loops * sizeof *end);
    struct hp_figure f;

    e->warm[e->samples] = warm;
    e->pass_end_kib[e->samples] = end;
    if (!warm || !end)
        return false;
    for (uint32_t p = 0; p < loops; p++) {
        if (p)
            warm[p - 1] = (double)job->pass_ns[p] / ops;
        end[p] = difference(job->pass_end_kib[p], job->baseline_kib);
    }
    if (loops > 1 && hp_figure_of(warm, loops - 1, &f))
        e->values[HP_WARM_NS_PER_OP][e->samples] = f.median;
    return true;
}

void hp_entry_set_peak(const struct hp_campaign *c, struct hp_entry *e, unsigned i, double kib)
{
    double live = (double)c->plan->plan->peak_live_bytes;

    e->values[HP_PEAK_RSS_KIB][i] = kib;
    e->values[HP_PEAK_RATIO][i] = live > 0 ? kib * 1024 / live : NAN;
}

static bool keep_sample(struct hp_campaign *c, struct hp_entry *e, const struct hp_job *job, uint32_t block)
{
    double ops = (double)c->plan->plan->calls;
    unsigned i = e->samples;

    if (!make_room(e) || !keep_passes(c, e, job))
        return false;
    e->block[i] = block;
    e->values[HP_NS_PER_OP][i] = (double)job->pass_ns[0] / ops;
    e->values[HP_OPS_PER_S][i] = ops * 1e9 / (double)(job->pass_ns[0] ? job->pass_ns[0] : 1);
    e->values[HP_USER_NS_PER_OP][i] = (double)job->user_ns / ops;
    e->values[HP_SYSTEM_NS_PER_OP][i] = (double)job->system_ns / ops;
    e->values[HP_CPU_NS_PER_OP][i] = (double)(job->user_ns + job->system_ns) / ops;
    hp_entry_set_peak(c, e, i, difference(job->peak_kib, job->baseline_kib));
    e->values[HP_BASELINE_RSS_KIB][i] = (double)job->baseline_kib;
    e->values[HP_START_RSS_KIB][i] = (double)job->start_kib;    /* until subtract_null */
    e->values[HP_MINOR_FAULTS][i] = (double)job->minor_faults;
    e->values[HP_MAJOR_FAULTS][i] = (double)job->major_faults;
    e->values[HP_DRAIN_KIB][i] = difference(job->drain_kib[0], job->baseline_kib);
    e->values[HP_STALL_SHARE][i] = stall_share(c, job);
    for (int k = 0; k < HP_HARDWARE_EVENTS; k++) {
        c->counter_error[k] = job->counter_error[k];
        if (!job->counter_error[k])
            e->values[HP_CYCLES_PER_OP + k][i] = (double)job->counter[k] / ops;
    }
    e->samples++;
    return true;
}

static void remember_identity(struct hp_entry *e)
{
    if (e->allocator.backend != HP_BACKEND_LIBRARY)
        snprintf(e->identity, sizeof e->identity, "built in");
    else
        snprintf(e->identity, sizeof e->identity, "proved");
}

/* Refused before it starts, so that a bump allocator does not eat the machine. */
static bool bump_fits(const struct hp_campaign *c, const struct hp_entry *e)
{
    double pages = (double)sysconf(_SC_AVPHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);

    return e->allocator.backend != HP_BACKEND_BUMP ||
           (double)c->plan->plan->requested_total * c->conditions.loops < pages / 2;
}

static int run_sample(struct hp_campaign *c, struct hp_run *run, struct hp_entry *e, uint32_t block)
{
    enum hp_run_status status;

    if (!bump_fits(c, e)) {
        hp_further_fail(e, HP_RUN_REFUSED, "never frees: this trace would need more than half of the free memory");
        return 0;
    }
    run->allocator = &e->allocator;
    run->plan_fd = c->plan->fd;
    hp_further_fill_job(c, run->job, HP_MODE_TIMED);
    status = hp_run_worker(run);
    if (status != HP_RUN_OK) {
        hp_further_fail(e, status, run->text);
        return 0;
    }
    remember_identity(e);
    memcpy(e->substituted, run->job->substituted, sizeof e->substituted);
    return keep_sample(c, e, run->job, block) ? 0 : -1;
}

double hp_campaign_share(const struct hp_campaign *c, const struct hp_entry *e)
{
    struct hp_figure mine, null;

    if (c->null_entry < 0 || e->status != HP_RUN_OK ||
        !hp_figure_of(e->values[HP_NS_PER_OP], e->samples, &mine) ||
        !hp_figure_of(c->entry[c->null_entry].values[HP_NS_PER_OP], c->entry[c->null_entry].samples, &null))
        return NAN;
    return null.median / mine.median;
}

static void subtract_null_from(const struct hp_campaign *c, struct hp_entry *e)
{
    const struct hp_entry *null = c->null_entry >= 0 ? &c->entry[c->null_entry] : NULL;
    double share = hp_campaign_share(c, e);

    for (unsigned i = 0; i < e->samples; i++) {
        bool paired = null && i < null->samples;
        if (paired && share <= 0.30)
            e->values[HP_NET_NS_PER_OP][i] = e->values[HP_NS_PER_OP][i] - null->values[HP_NS_PER_OP][i];
        e->values[HP_START_RSS_KIB][i] -= paired ? null->values[HP_START_RSS_KIB][i] : NAN;
    }
}

/* Figures that need the null allocator's sample of the same block. Null's own come last: the others need them whole. */
static void subtract_null(struct hp_campaign *c)
{
    for (unsigned k = 0; k < c->entries; k++)
        if ((int)k != c->null_entry)
            subtract_null_from(c, &c->entry[k]);
    if (c->null_entry >= 0)
        subtract_null_from(c, &c->entry[c->null_entry]);
}

static void show_progress(const struct hp_campaign *c, unsigned block, double started)
{
    double spent = now_s() - started, left = 0;
    unsigned most = c->planned && (!c->conditions.samples || c->planned < c->conditions.samples) ? c->planned
                                                                                                : c->conditions.samples;

    if (!c->conditions.progress)
        return;
    if (most)
        left = spent / (block + 1) * (most - block - 1);
    if (c->conditions.time_s > 0 && (!most || c->conditions.time_s - spent < left))
        left = c->conditions.time_s - spent;
    fprintf(stderr, "\rblock %u done, %.0f s spent, about %.0f s left   ", block + 1, spent, left > 0 ? left : 0);
}

/* Blocks for the wanted width, of the ratio between an allocator and the first; both have all samples of the pilot. */
static unsigned blocks_for(const struct hp_entry *e, const struct hp_entry *first, double width)
{
    double logs[HP_PILOT_BLOCKS];

    for (unsigned i = 0; i < HP_PILOT_BLOCKS; i++)
        logs[i] = log(e->values[HP_NS_PER_OP][i] / first->values[HP_NS_PER_OP][i]);
    return hp_stopping_blocks(logs, width, UINT16_MAX);
}

/* After the pilot: how many blocks the noisiest pair needs. */
static void plan_blocks(struct hp_campaign *c)
{
    const struct hp_entry *first = NULL;

    for (unsigned k = 0; k < c->entries; k++) {
        const struct hp_entry *e = &c->entry[k];
        if ((int)k == c->null_entry || e->samples != HP_PILOT_BLOCKS)
            continue;
        unsigned needed = first ? blocks_for(e, first, c->conditions.width) : HP_PILOT_BLOCKS;
        first = first ? first : e;
        c->planned = needed > c->planned ? needed : c->planned;
    }
}

static bool enough(struct hp_campaign *c, double started)
{
    const struct hp_conditions *o = &c->conditions;

    if (o->width > 0 && c->blocks == HP_PILOT_BLOCKS)
        plan_blocks(c);
    c->stopped_by = "";
    if (c->planned && c->blocks >= c->planned)
        c->stopped_by = "width";
    else if (o->samples && c->blocks >= o->samples)
        c->stopped_by = "samples";
    else if (o->time_s > 0 && c->blocks >= MIN_BLOCKS && now_s() - started >= o->time_s)
        c->stopped_by = "time";
    return c->stopped_by[0] != '\0';
}

static int run_blocks(struct hp_campaign *c, struct hp_run *run, unsigned *order)
{
    uint64_t random = c->conditions.seed;
    double started;

    for (unsigned i = 0; i < c->entries; i++)
        hp_further_verify(c, run, &c->entry[i]);
    started = now_s();
    for (c->blocks = 0; !enough(c, started); c->blocks++) {
        for (unsigned i = 0; i < c->entries; i++) {
            unsigned j = (unsigned)(next_random(&random) % (i + 1));
            order[i] = order[j];
            order[j] = i;
        }
        for (unsigned i = 0; i < c->entries; i++) {
            struct hp_entry *e = &c->entry[order[i]];
            run->seed = next_random(&random);
            if (e->status == HP_RUN_OK && run_sample(c, run, e, c->blocks) != 0)
                return -1;
        }
        show_progress(c, c->blocks, started);
    }
    for (unsigned i = 0; i < c->entries; i++)
        if (hp_further_runs(c, run, &c->entry[i]) != 0)
            return -1;
    if (c->conditions.progress)
        fputs("\r                                                        \r", stderr);
    return 0;
}

int hp_campaign_run(struct hp_campaign *c, char *error, size_t error_size)
{
    struct hp_run run = { .timeout_s = c->conditions.timeout_s, .job_fd = -1 };
    unsigned *order = calloc(c->entries, sizeof *order);
    int code;

    if (!order || hp_run_init(&run, error, error_size) != 0) {
        free(order);
        return -1;
    }
    code = run_blocks(c, &run, order);
    if (code != 0)
        snprintf(error, error_size, "out of memory while samples were kept");
    else
        subtract_null(c);
    hp_run_release(&run);
    free(order);
    return code;
}

void hp_campaign_release(struct hp_campaign *c)
{
    for (unsigned k = 0; k < c->entries; k++) {
        struct hp_entry *e = &c->entry[k];
        for (int m = 0; m < HP_MEASURES; m++)
            free(e->values[m]);
        for (unsigned i = 0; i < e->samples; i++) {
            free(e->warm[i]);
            free(e->pass_end_kib[i]);
        }
        free(e->warm);
        free(e->pass_end_kib);
        free(e->block);
        free(e->usable_bytes);
        free(e->rss_kib);
        free(e->watch);
        free(e->latency);
        hp_alloc_release(&e->allocator);
    }
    free(c->entry);
    c->entry = NULL;
    c->entries = 0;
}
