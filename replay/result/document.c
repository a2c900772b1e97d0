/* document.c - writes what results/SCHEMA.md describes; see document.h. Raw samples are kept, so that every figure can be
 * computed again. */
#include "result/document.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "measure/stopping.h"
#include "measure/environment.h"
#include "measure/figure.h"

void hp_document_trace_name(const char *path, char *name, size_t size)
{
    const char *base = strrchr(path, '/');

    snprintf(name, size, "%s", base ? base + 1 : path);
    size_t n = strlen(name);
    if (n > 4 && strcmp(name + n - 4, ".hpt") == 0)
        name[n - 4] = 0;
}

static json_t *string_or_null(const char *text)
{
    return text && text[0] ? json_string(text) : json_null();
}

static json_t *real(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static json_t *figure_json(const double *sample, size_t count)
{
    struct hp_figure f;
    json_t *samples, *o;

    if (!hp_figure_of(sample, count, &f) || f.count != count)
        return NULL;
    o = json_pack("{s:f, s:f, s:f}", "median", f.median, "low", f.low, "high", f.high);
    json_object_set_new(o, "samples", samples = json_array());
    for (size_t i = 0; i < count; i++)
        json_array_append_new(samples, json_real(sample[i]));
    json_object_set_new(o, "interval", json_string(f.interval ? "95 % of the median, order statistics"
                                                              : "range only: fewer than 6 samples"));
    return o;
}

static json_t *lists_json(double **list, unsigned samples, unsigned length)
{
    json_t *all = json_array();

    for (unsigned i = 0; i < samples; i++) {
        json_t *one = json_array();
        for (unsigned k = 0; k < length; k++)
            json_array_append_new(one, real(list[i][k]));
        json_array_append_new(all, one);
    }
    return all;
}

static json_t *curve_json(const struct hp_campaign *c, const struct hp_entry *e)
{
    const struct hp_plan *p = c->serial->plan;
    json_t *curve = json_array();

    for (uint32_t i = 0; i < e->points; i++)
        json_array_append_new(curve, json_pack("{s:I, s:I, s:I, s:I}",
            "operation", (json_int_t)((i + 1) * p->curve_step), "live_bytes", (json_int_t)p->live_bytes[i],
            "usable_bytes", (json_int_t)e->usable_bytes[i], "rss_kib", (json_int_t)e->rss_kib[i]));
    return curve;
}

/* The outside sampler's points by column; memory above the baseline. A column that the kernel did not fill is left out. */
static json_t *timeline_json(const struct hp_entry *e)
{
    static const char *const memory[HP_SMAPS_FIELDS] = { "rss_kib", "pss_kib", "private_dirty_kib", "lazy_free_kib",
                                                         "anon_huge_kib" };
    const struct hp_watch *w = e->watch;
    json_t *ms = json_array(), *operations = json_array(), *during = json_array(), *live = json_array(),
           *usable = json_array(), *o;
    double area = 0, live_area = 0;

    for (uint32_t i = 0; i < w->points; i++) {
        const struct hp_watch_point *p = &w->point[i];
        json_array_append_new(ms, json_real((double)p->ns / 1e6));
        json_array_append_new(operations, json_integer((json_int_t)p->calls));
        json_array_append_new(during, json_integer((json_int_t)p->calls_during));
        json_array_append_new(live, json_integer(p->live_bytes));
        json_array_append_new(usable, json_integer(p->usable_bytes));
        if (i) {    /* trapezoids; the first point is the baseline, 0 */
            const struct hp_watch_point *q = p - 1;
            double span = (double)(p->ns - q->ns), from = i > 1 ? (double)q->memory.kib[HP_SMAPS_RSS] : 0;
            area += span * ((double)p->memory.kib[HP_SMAPS_RSS] + from) * 512;
            live_area += span * (double)(p->live_bytes + q->live_bytes) / 2;
        }
    }
    o = json_pack("{s:f, s:I, s:o, s:o, s:o, s:o, s:o}", "interval_ms", (double)w->interval_ns / 1e6, "step_operations",
                  (json_int_t)w->step_calls, "ms", ms, "operations", operations, "operations_during", during,
                  "live_bytes", live, "usable_bytes", usable);
    for (int f = 0; f < HP_SMAPS_FIELDS; f++) {
        json_t *column = w->point[0].memory.kib[f] == HP_MISSING ? NULL : json_array();
        for (uint32_t i = 0; i < w->points && column; i++)
            json_array_append_new(column, json_integer(i ? w->point[i].memory.kib[f] : 0));
        if (column)
            json_object_set_new(o, memory[f], column);
    }
    json_object_set_new(o, "baseline_kib", json_integer(w->point[0].memory.kib[HP_SMAPS_RSS]));
    json_object_set_new(o, "peak_rss_kib", e->watch_peak_kib == HP_MISSING ? json_null() : json_integer(e->watch_peak_kib));
    json_object_set_new(o, "average_ratio", real(area / live_area));
    return o;
}

static json_t *looks_json(const struct hp_entry *e)
{
    json_t *looks = json_array();

    for (unsigned i = 0; i < e->looks; i++)
        json_array_append_new(looks, json_integer(e->look_kib[i]));
    return looks;
}

static void add_account(json_t *row, const struct hp_campaign *c, const struct hp_entry *e)
{
    static const char *const when[HP_DRAIN_POINTS] = { "0", "0.1", "1", "5", "trim" };
    double live = (double)c->serial->plan->peak_live_bytes, area = 0, live_area = 0;
    json_t *drain = json_object();

    json_object_set_new(row, "usable_bytes_at_peak", json_integer((json_int_t)e->usable_at_peak));
    json_object_set_new(row, "internal_fragmentation", real((double)e->usable_at_peak / live - 1));
    json_object_set_new(row, "rss_at_peak_live_kib", json_integer(e->rss_at_peak_kib));
    if (e->looks) {
        json_object_set_new(row, "peak_looks_kib", looks_json(e));
        json_object_set_new(row, "peak_raised", json_integer(e->raised));
    }
    json_object_set_new(row, "at_peak_live_ratio", real((double)e->rss_at_peak_kib * 1024 / live));
    json_object_set_new(row, "external_fragmentation",
                        real((double)e->rss_at_peak_kib * 1024 / (double)e->usable_at_peak - 1));
    json_object_set_new(row, "curve", curve_json(c, e));
    for (uint32_t i = 0; i < e->points; i++) {
        area += (double)e->rss_kib[i] * 1024;
        live_area += (double)c->serial->plan->live_bytes[i];
    }
    json_object_set_new(row, "time_average_ratio", real(area / live_area));
    for (int i = 0; i < HP_DRAIN_POINTS; i++)
        if (e->drain_kib[i] != HP_MISSING)
            json_object_set_new(drain, when[i], json_integer(e->drain_kib[i]));
    json_object_set_new(row, "drain_kib", drain);
}

static json_t *row_json(const struct hp_campaign *c, const struct hp_entry *e, const char *trace)
{
    const struct hp_conditions *o = &c->conditions;
    json_t *row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:s, s:s}", "trace", trace,
                            "allocator", e->allocator.name, "threads", o->serial ? "1" : "recorded",
                            "touch", o->touch_name, "pace", o->pace_name, "loops", (int)o->loops,
                            "status", hp_run_status_name(e->status), "status_text", e->status_text);
    json_t *blocks = json_array();

    if (e->status != HP_RUN_OK) {
        json_decref(blocks);
        return row;
    }
    for (int m = 0; m < HP_MEASURES; m++) {
        json_t *f = figure_json(e->values[m], e->samples);
        if (f)
            json_object_set_new(row, hp_measure_key[m], f);
        else if (m == HP_NET_NS_PER_OP)
            json_object_set_new(row, hp_measure_key[m], json_null());
    }
    json_object_set_new(row, "harness_share", real(hp_campaign_share(c, e)));
    json_object_set_new(row, "peak_live_bytes", json_integer((json_int_t)c->plan->plan->peak_live_bytes));
    if (o->loops > 1) {
        json_object_set_new(row, "samples_warm", lists_json(e->warm, e->samples, o->loops - 1));
        json_object_set_new(row, "survivors", json_string(o->carry ? "carried over" : "freed"));
        json_object_set_new(row, "pass_end_rss_kib", lists_json(e->pass_end_kib, e->samples, o->loops));
    }
    for (unsigned i = 0; i < e->samples; i++)
        json_array_append_new(blocks, json_integer(e->block[i]));
    json_object_set_new(row, "blocks", blocks);
    if (e->has_account)
        add_account(row, c, e);
    if (e->watch)
        json_object_set_new(row, "timeline", timeline_json(e));
    if (e->latencies)
        json_object_set_new(row, "latency", hp_latency_json(c, e));
    return row;
}

static json_t *allocator_json(const struct hp_entry *e)
{
    const struct hp_allocator *a = &e->allocator;
    json_t *variables = json_object(), *stand_ins = json_array();
    char text[sizeof e->substituted], *save = NULL;

    for (int i = 0; i < a->variables; i++) {
        char name[128];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(a->variable[i], "="), a->variable[i]);
        json_object_set_new(variables, name, json_string(strchr(a->variable[i], '=') + 1));
    }
    snprintf(text, sizeof text, "%s", e->substituted);
    for (char *s = strtok_r(text, " ", &save); s; s = strtok_r(NULL, " ", &save))
        json_array_append_new(stand_ins, json_string(s));
    json_t *o = json_object();
    json_object_set_new(o, "path", string_or_null(a->file));
    json_object_set_new(o, "prefix", string_or_null(a->prefix));
    json_object_set_new(o, "sha256", string_or_null(a->sha256));
    json_object_set_new(o, "version", string_or_null(a->version));
    json_object_set_new(o, "build", string_or_null(a->build));
    json_object_set_new(o, "variables", variables);
    json_object_set_new(o, "identity", json_string(e->identity[0] ? e->identity : e->status_text));
    json_object_set_new(o, "verified", e->verified < 0 ? json_null() : json_boolean(e->verified));
    if (e->violation[0])
        json_object_set_new(o, "violation", json_string(e->violation));
    json_object_set_new(o, "substituted", stand_ins);
    return o;
}

static json_t *trace_json(const struct hp_campaign *c, const char *path)
{
    const struct hp_compiled *t = c->plan;
    json_t *o = json_object(), *kinds = json_object();
    char sha256[65];

    for (unsigned k = 0; k < HP_KIND_COUNT; k++)
        if (t->by_kind[k])
            json_object_set_new(kinds, hp_kind_name(k), json_integer((json_int_t)t->by_kind[k]));
    json_object_set_new(o, "path", json_string(path));
    json_object_set_new(o, "sha256", hp_sha256_file(path, sha256) ? json_string(sha256) : json_null());
    json_object_set_new(o, "operations", json_integer((json_int_t)t->operations));
    json_object_set_new(o, "replayed", json_integer((json_int_t)t->plan->calls));
    json_object_set_new(o, "failed", json_integer((json_int_t)t->failed));
    json_object_set_new(o, "cut_off", json_boolean(t->cut_off));
    json_object_set_new(o, "threads", json_integer(t->recorded_threads ? t->recorded_threads : 1));
    json_object_set_new(o, "peak_live_bytes", json_integer((json_int_t)t->plan->peak_live_bytes));
    json_object_set_new(o, "edges", json_integer((json_int_t)t->plan->edges));
    json_object_set_new(o, "epoch_operations", json_integer((json_int_t)t->plan->epoch_calls));
    json_object_set_new(o, "plan", json_pack("{s:I, s:i, s:b, s:f}", "bytes", (json_int_t)t->plan->bytes, "sections",
                                             (int)t->plan->sections, "streamed", (int)t->plan->streamed, "compile_s",
                                             t->compile_s));
    json_object_set_new(o, "origin", json_string(t->origin));
    json_object_set_new(o, "command", json_string(t->command));
    json_object_set_new(o, "sample", t->sample ? json_integer(t->sample) : json_null());
    json_object_set_new(o, "stopping", json_pack("{s:f, s:i, s:i, s:i, s:s}", "width", c->conditions.width,
                                                 "pilot", (int)HP_PILOT_BLOCKS, "planned", (int)c->planned,
                                                 "blocks", (int)c->blocks, "by", c->stopped_by));
    json_object_set_new(o, "by_kind", kinds);
    return o;
}

/* "counted", or why not. */
static json_t *counters_json(const struct hp_campaign *c)
{
    json_t *o = json_object();

    for (int k = 0; k < HP_HARDWARE_EVENTS; k++)
        json_object_set_new(o, hp_hardware_events[k].name, c->counter_error[k] == 0 ? json_string("counted") :
                            json_sprintf("missing: %s (%s)", strerrorname_np(c->counter_error[k]),
                                         strerror(c->counter_error[k])));
    return o;
}

json_t *hp_document_json(const struct hp_campaign *c, const char *trace_path, const char *command)
{
    json_t *d = json_object(), *allocators = json_object(), *traces = json_object(), *rows = json_array();
    char created[32], trace[256];
    time_t now = time(NULL);
    struct tm utc;

    hp_document_trace_name(trace_path, trace, sizeof trace);
    strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    json_object_set_new(d, "schema_version", json_integer(1));
    json_object_set_new(d, "kind", json_string("replay"));
    json_object_set_new(d, "created", json_string(created));
    json_object_set_new(d, "command", json_string(command));
    json_object_set_new(d, "environment", hp_environment_json());
    for (unsigned i = 0; i < c->entries; i++) {
        json_object_set_new(allocators, c->entry[i].allocator.name, allocator_json(&c->entry[i]));
        json_array_append_new(rows, row_json(c, &c->entry[i], trace));
    }
    json_object_set_new(traces, trace, trace_json(c, trace_path));
    json_object_set_new(d, "counters", counters_json(c));
    json_object_set_new(d, "allocators", allocators);
    json_object_set_new(d, "traces", traces);
    json_object_set_new(d, "rows", rows);
    return d;
}

int hp_document_write(const json_t *document, const char *path, char *error, size_t error_size)
{
    int code = strcmp(path, "-") == 0 ? json_dumpf(document, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(9))
                                      : json_dump_file(document, path, JSON_INDENT(1) | JSON_REAL_PRECISION(9));

    if (code != 0)
        snprintf(error, error_size, "%s: cannot be written: %s", path, strerror(errno));
    return code;
}
