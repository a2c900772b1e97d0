/* table.c - a campaign as a table on the terminal, with the limits of what it can say. See document.h. */
#include "result/document.h"

#include <math.h>
#include <string.h>

#include "measure/stopping.h"
#include "measure/figure.h"

static void print_interval(FILE *out, const struct hp_entry *e, int measure, const char *format, double unit, int width)
{
    struct hp_figure f;
    char text[64] = "-";

    if (hp_figure_of(e->values[measure], e->samples, &f))
        snprintf(text, sizeof text, format, f.median * unit, f.low * unit, f.high * unit);
    fprintf(out, " %*s", width, text);
}

/* A median with its interval, or with what it lies between where the samples are too few for one. */
static void print_spread(FILE *out, const struct hp_entry *e, int measure, double unit, int width)
{
    struct hp_figure f;
    bool any = hp_figure_of(e->values[measure], e->samples, &f);

    print_interval(out, e, measure, !any || f.count < 2 ? "%.1f" : f.interval ? "%.1f [%.1f, %.1f]" : "%.1f (%.1f-%.1f)", unit,
                   width);
}

static void print_row(FILE *out, const struct hp_campaign *c, const struct hp_entry *e)
{
    double live = (double)c->serial->plan->peak_live_bytes, share = hp_campaign_share(c, e);

    fprintf(out, "%-20s", e->allocator.name);
    if (e->status != HP_RUN_OK) {
        fprintf(out, " %s: %s\n", hp_run_status_name(e->status), e->status_text);
        return;
    }
    print_spread(out, e, HP_NS_PER_OP, 1, 21);
    print_interval(out, e, HP_NET_NS_PER_OP, "%.1f", 1, 7);
    fprintf(out, isfinite(share) ? " %7.0f%%" : "       -", share * 100);
    print_spread(out, e, HP_PEAK_RSS_KIB, 1.0 / 1024, 24);
    print_interval(out, e, HP_PEAK_RATIO, "%.2f", 1, 9);
    if (e->has_account)
        fprintf(out, " %7.1f%%", ((double)e->usable_at_peak / live - 1) * 100);
    else
        fprintf(out, " %8s", "-");
    print_interval(out, e, HP_MINOR_FAULTS, "%.0f", 1, 8);
    print_interval(out, e, HP_DRAIN_KIB, "%.1f", 1.0 / 1024, 9);
    if (c->plan->plan->threads > 1)
        print_interval(out, e, HP_STALL_SHARE, "%.0f%%", 100, 6);
    fputc('\n', out);
}

/* The first allocator against another, block by block: pairs share their slow moments. */
static void print_verdict(FILE *out, const struct hp_entry *a, const struct hp_entry *b, int measure, const char *better,
                          const char *worse)
{
    double log_ratio[4096];
    size_t n = 0;
    struct hp_figure f;

    for (unsigned i = 0; i < a->samples && i < b->samples && n < 4096; i++)
        if (a->values[measure][i] > 0 && b->values[measure][i] > 0)
            log_ratio[n++] = log(b->values[measure][i] / a->values[measure][i]);
    if (!n || !hp_figure_of(log_ratio, n, &f))
        return;
    double low = (exp(f.low) - 1) * 100, high = (exp(f.high) - 1) * 100;
    if (!f.interval)
        fprintf(out, "  %s against %s: too few samples for a verdict (%zu, at least 6 needed)\n", b->allocator.name,
                a->allocator.name, n);
    else if (low > 0)
        fprintf(out, "  %s is %.1f to %.1f %% %s than %s\n", b->allocator.name, low, high, worse, a->allocator.name);
    else if (high < 0)
        fprintf(out, "  %s is %.1f to %.1f %% %s than %s\n", b->allocator.name, -high, -low, better, a->allocator.name);
    else
        fprintf(out, "  %s against %s: no difference shown; one below %.1f %% could not be\n", b->allocator.name,
                a->allocator.name, fmax(-low, high));
}

static void print_verdicts(FILE *out, const struct hp_campaign *c)
{
    const struct hp_entry *first = NULL;

    for (int measure = HP_NS_PER_OP;; measure = HP_PEAK_RSS_KIB) {
        first = NULL;
        fputs(measure == HP_NS_PER_OP ? "\nSpeed\n" : "Peak memory\n", out);
        for (unsigned i = 0; i < c->entries; i++) {
            const struct hp_entry *e = &c->entry[i];
            if (e->allocator.backend != HP_BACKEND_LIBRARY || e->status != HP_RUN_OK)
                continue;
            if (!first)
                first = e;
            else if (measure == HP_NS_PER_OP)
                print_verdict(out, first, e, measure, "faster", "slower");
            else
                print_verdict(out, first, e, measure, "leaner", "larger");
        }
        if (measure == HP_PEAK_RSS_KIB)
            return;
    }
}

/* Has the trace calls that a library may lack? Otherwise its stand-ins do not matter here. */
static bool needs_stand_ins(const struct hp_compiled *t)
{
    static const unsigned kinds[] = { HP_REALLOCARRAY, HP_FREE_SIZED, HP_FREE_ALIGNED_SIZED, HP_MEMALIGN, HP_VALLOC,
                                      HP_PVALLOC, HP_NEW, HP_NEW_ALIGNED, HP_DELETE, HP_DELETE_SIZED,
                                      HP_DELETE_ALIGNED };
    uint64_t n = 0;

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        n += t->by_kind[kinds[i]];
    return n > 0;
}

/* User-space events per operation, where the kernel counts them. */
static void print_counters(FILE *out, const struct hp_campaign *c)
{
    bool any = false;

    for (int k = 0; k < HP_HARDWARE_EVENTS; k++)
        any |= c->counter_error[k] == 0;
    if (!any)
        return;
    fprintf(out, "\n%-20s", "per operation");
    for (int k = 0; k < HP_HARDWARE_EVENTS; k++)
        fprintf(out, " %13s", hp_hardware_events[k].name);
    for (unsigned i = 0; i < c->entries; i++) {
        fprintf(out, "\n%-20s", c->entry[i].allocator.name);
        for (int k = 0; k < HP_HARDWARE_EVENTS; k++)
            print_interval(out, &c->entry[i], HP_CYCLES_PER_OP + k, "%.3g", 1, 13);
    }
    fputc('\n', out);
}

static bool has_ranges(const struct hp_campaign *c)
{
    struct hp_figure f;

    for (unsigned i = 0; i < c->entries; i++)
        if (hp_figure_of(c->entry[i].values[HP_NS_PER_OP], c->entry[i].samples, &f) && f.count > 1 && !f.interval)
            return true;
    return false;
}

static void print_limits(FILE *out, const struct hp_campaign *c)
{
    const struct hp_plan *p = c->plan->plan;

    fputs("\nLimits\n", out);
    if (c->null_entry >= 0)
        fputs("  net is time less the null allocator's; no net figure where the harness is above 30 % of the time\n",
              out);
    if (has_ranges(c))
        fputs("  (low-high) is the range of samples that are too few for a 95 % interval, which takes 6\n", out);
    if (c->conditions.width > 0 && c->planned > c->blocks)
        fprintf(out, "  %u blocks are too few for intervals of %.2g %% to either side, which need about %u: they are wider\n",
                c->blocks, c->conditions.width * 100, c->planned);
    else if (c->conditions.width > 0 && !c->planned)
        fprintf(out, "  %u blocks are less than the pilot of %u that tells how many a width of %.2g %% needs\n", c->blocks,
                HP_PILOT_BLOCKS, c->conditions.width * 100);
    if (c->plan->cut_off)
        fputs("  the trace was cut off; what was there has been replayed\n", out);
    if (c->plan->sample)
        fprintf(out, "  the trace holds one object of %u, drawn at random: the program's own traffic and memory are larger\n",
                c->plan->sample);
    if (c->plan->failed)
        fprintf(out, "  %llu recorded allocations had failed and are not replayed\n",
                (unsigned long long)c->plan->failed);
    if (p->threads > 1)
        fprintf(out, "  %u threads, %llu waits for blocks of other threads, none more than %llu operations ahead\n",
                p->threads, (unsigned long long)p->edges, 2 * (unsigned long long)p->epoch_calls);
    for (int k = 0, told = 0; k <= HP_HARDWARE_EVENTS; k++)
        if (k == HP_HARDWARE_EVENTS)
            fputs(told ? "\n" : "", out);
        else if (c->counter_error[k])
            fprintf(out, "%s%s: %s", told++ ? ", " : "  the kernel does not count ", hp_hardware_events[k].name,
                    strerrorname_np(c->counter_error[k]));
    if (p->streamed)
        fprintf(out, "  the compiled trace of %llu MiB was read from disk in %u sections, with the clocks stopped\n",
                (unsigned long long)(p->bytes >> 20), p->sections);
    for (unsigned i = 0; i < c->entries; i++)
        if (c->entry[i].violation[0])
            fprintf(out, "  %s BREAKS THE CONTRACT: %s\n", c->entry[i].allocator.name, c->entry[i].violation);
    for (unsigned i = 0; i < c->entries; i++)
        if (c->entry[i].substituted[0] && needs_stand_ins(c->plan))
            fprintf(out, "  %s has no own: %s\n", c->entry[i].allocator.name, c->entry[i].substituted);
}

void hp_document_print(FILE *out, const struct hp_campaign *c, const char *trace_path)
{
    const struct hp_plan *p = c->plan->plan;

    fprintf(out, "%s: %llu operations, %u thread%s, peak live %.1f MiB; touch %s, pace %s, loops %u\n\n", trace_path,
            (unsigned long long)p->calls, p->threads, p->threads > 1 ? "s" : "", (double)p->peak_live_bytes / 1048576,
            c->conditions.touch_name, c->conditions.pace_name, c->conditions.loops);
    fprintf(out, "%-20s %21s %7s %8s %24s %9s %8s %8s %9s%s\n", "allocator", "ns/op [95 %]", "net", "harness",
            "peak RSS MiB [95 %]", "peak/live", "internal", "faults", "drain MiB", p->threads > 1 ? "  stall" : "");
    for (unsigned i = 0; i < c->entries; i++)
        print_row(out, c, &c->entry[i]);
    print_counters(out, c);
    hp_latency_print(out, c, trace_path);
    print_verdicts(out, c);
    print_limits(out, c);
}
