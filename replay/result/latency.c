/* latency.c - what the timed calls of the latency runs say; see document.h. Percentiles are exact: taken from the sorted
 * samples, not from a histogram. */
#include "result/document.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CLASSES = 6 };

static const struct { uint64_t to; const char *name; } size_class[CLASSES] = {
    { 64, "1-64" }, { 512, "65-512" }, { 4096, "513-4096" }, { 32768, "4097-32768" }, { 131071, "32769-131071" },
    { UINT64_MAX, "131072-" },
};

static const char *const kind_name[OP_CODE_CALLS] = {
    "malloc", "calloc", "calloc", "realloc", "realloc", "realloc", "reallocarray", "free", "free_sized",
    "free_aligned_sized", "aligned_alloc", "posix_memalign", "memalign", "valloc", "pvalloc", "malloc_usable_size",
    "new", "new_aligned", "delete", "delete_sized", "delete_aligned",
};

static const double share[] = { 0.5, 0.9, 0.99, 0.999, 0.9999 };
static const char *const share_name[] = { "p50", "p90", "p99", "p99.9", "p99.99" };
enum { SHARES = sizeof share / sizeof *share };

static const struct hp_op *op_of(const struct hp_campaign *c, const struct hp_latency *l)
{
    const struct hp_plan *p = c->plan->plan;
    uint32_t section = 0;
    struct hp_stream s = hp_plan_stream(p, 0, l->thread);

    while (l->position - s.before >= s.count && section + 1 < p->sections)
        s = hp_plan_stream(p, ++section, l->thread);
    return hp_plan_op(p, s.first) + (l->position - s.before);
}

static const struct hp_latency *worst_of(const struct hp_entry *e)
{
    const struct hp_latency *worst = e->latency;

    for (size_t i = 0; i < e->latencies; i++)
        if (e->latency[i].ns > worst->ns)
            worst = &e->latency[i];
    return worst;
}

void hp_latency_worst(const struct hp_campaign *c, const struct hp_entry *e, uint32_t *thread, uint64_t *call)
{
    const struct hp_plan *p = c->plan->plan;
    const struct hp_latency *worst = worst_of(e);

    *thread = worst->thread;
    *call = 0;
    for (uint32_t section = 0; section < p->sections; section++) {
        struct hp_stream s = hp_plan_stream(p, section, worst->thread);
        const struct hp_op *op = hp_plan_op(p, s.first);
        for (uint64_t i = 0; i < s.count && s.before + i < worst->position; i++)
            *call += (op[i].code & ~OP_PUBLISH) < OP_CODE_CALLS;
    }
}

static uint64_t bytes_of(const struct hp_op *op)
{
    unsigned code = op->code & ~OP_PUBLISH;

    return code == OP_CALLOC || code == OP_REALLOCARRAY ? (op->size >> 32) * (op->size & UINT32_MAX) : op->size;
}

static unsigned class_of(uint64_t bytes)
{
    unsigned k = 0;

    while (bytes > size_class[k].to)
        k++;
    return k;
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

/* The smallest value that at least this share of the samples does not exceed. */
static uint32_t at_share(const uint32_t *sorted, size_t n, double s)
{
    size_t rank = (size_t)ceil(s * (double)n);

    return sorted[rank ? rank - 1 : 0];
}

/* [[from ns, calls]]: log-linear, exact below 32 ns, then 16 steps to each doubling; what percentiles can be computed from. */
static json_t *histogram(const uint32_t *sorted, size_t n)
{
    json_t *o = json_array();

    for (size_t i = 0, next; i < n; i = next) {
        unsigned shift = sorted[i] < 32 ? 0 : 27u - (unsigned)__builtin_clz(sorted[i]);
        uint32_t bucket = sorted[i] >> shift;
        for (next = i + 1; next < n && sorted[next] >> shift == bucket; next++)
            ;
        json_array_append_new(o, json_pack("[I, I]", (json_int_t)bucket << shift, (json_int_t)(next - i)));
    }
    return o;
}

static json_t *percentiles(uint32_t *ns, size_t n)
{
    json_t *o = json_object();

    qsort(ns, n, sizeof *ns, ascending);
    json_object_set_new(o, "count", json_integer((json_int_t)n));
    for (int i = 0; i < SHARES; i++)    /* a tail needs samples: no p99.9 from a hundred calls */
        if ((1 - share[i]) * (double)n >= 1 || i == 0)
            json_object_set_new(o, share_name[i], json_integer(at_share(ns, n, share[i])));
    json_object_set_new(o, "max", json_integer(ns[n - 1]));
    json_object_set_new(o, "histogram", histogram(ns, n));
    return o;
}

/* kind NULL: every kind. class -1: every size; freeing calls have no size of their own. */
static json_t *group(const struct hp_campaign *c, const struct hp_entry *e, const char *kind, int class, uint32_t *ns)
{
    size_t n = 0;

    for (size_t i = 0; i < e->latencies; i++) {
        const struct hp_op *op = op_of(c, &e->latency[i]);
        if (kind && strcmp(kind, kind_name[op->code & ~OP_PUBLISH]) != 0)
            continue;
        if (class < 0 || class_of(bytes_of(op)) == (unsigned)class)
            ns[n++] = e->latency[i].ns;
    }
    return n ? percentiles(ns, n) : NULL;
}

static json_t *kinds_json(const struct hp_campaign *c, const struct hp_entry *e, uint32_t *ns)
{
    json_t *kinds = json_object();

    for (unsigned code = 0; code < OP_CODE_CALLS; code++) {
        const char *name = kind_name[code];
        json_t *all = json_object_get(kinds, name) ? NULL : group(c, e, name, -1, ns);
        if (!all)
            continue;
        json_t *sizes = json_pack("{s:o}", "all", all);
        for (int k = 0; k < CLASSES && (code < OP_FREE || (code >= OP_ALIGNED_ALLOC && code <= OP_NEW_ALIGNED)); k++) {
            json_t *one = group(c, e, name, k, ns);
            if (one)
                json_object_set_new(sizes, size_class[k].name, one);
        }
        json_object_set_new(kinds, name, sizes);
    }
    return kinds;
}

json_t *hp_latency_json(const struct hp_campaign *c, const struct hp_entry *e)
{
    uint32_t *ns = malloc((e->latencies + 1) * sizeof *ns);
    const struct hp_latency *worst = worst_of(e);
    json_t *o = json_object();

    if (!ns)
        return o;
    for (size_t i = 0; i < e->latencies; i++)
        ns[i] = e->latency[i].control_ns;
    json_object_set_new(o, "control", percentiles(ns, e->latencies));
    json_object_set_new(o, "all", group(c, e, NULL, -1, ns));
    json_object_set_new(o, "by_kind", kinds_json(c, e, ns));
    const struct hp_op *op = op_of(c, worst);
    json_object_set_new(o, "worst", json_pack("{s:i, s:o, s:s, s:I, s:I}", "thread", (int)worst->thread, "operation",
                        e->worst_operation < 0 ? json_null() : json_integer(e->worst_operation), "kind", kind_name[op->code & ~OP_PUBLISH],
                        "bytes", (json_int_t)bytes_of(op), "ns", (json_int_t)worst->ns));
    free(ns);
    return o;
}

static void print_line(FILE *out, const char *name, const json_t *p)
{
    fprintf(out, "%-20s", name);
    for (int i = 0; i < SHARES; i++) {
        const json_t *v = json_object_get(p, share_name[i]);
        if (v)
            fprintf(out, " %9lld", (long long)json_integer_value(v));
        else
            fprintf(out, " %9s", "-");
    }
    fprintf(out, " %9lld", (long long)json_integer_value(json_object_get(p, "max")));
}

/* The slowest call, and the command that makes a trace of it. Frees have no size of their own. */
static void print_worst(FILE *out, const json_t *worst, const char *trace)
{
    long long bytes = json_integer_value(json_object_get(worst, "bytes"));
    const json_t *operation = json_object_get(worst, "operation");
    const char *kind = json_string_value(json_object_get(worst, "kind"));

    fprintf(out, "  worst: %s", kind);
    if (bytes || (strncmp(kind, "free", 4) && strncmp(kind, "delete", 6) && strcmp(kind, "malloc_usable_size")))
        fprintf(out, " of %lld bytes", bytes);
    fprintf(out, ", thread %lld", (long long)json_integer_value(json_object_get(worst, "thread")));
    if (json_is_integer(operation))
        fprintf(out, " (alone: heaplay slice --ops %lld:%lld %s -o CALL.hpt)", (long long)json_integer_value(operation),
                (long long)json_integer_value(operation) + 1, trace);
    fputc('\n', out);
}

void hp_latency_print(FILE *out, const struct hp_campaign *c, const char *trace)
{
    bool any = false;

    for (unsigned i = 0; i < c->entries; i++) {
        const struct hp_entry *e = &c->entry[i];
        if (!e->latencies || e->status != HP_RUN_OK)
            continue;
        json_t *l = hp_latency_json(c, e);
        if (!any)
            fprintf(out, "\n%-20s %9s %9s %9s %9s %9s %9s\n", "ns per call", "p50", "p90", "p99", "p99.9", "p99.99",
                    "max");
        any = true;
        print_line(out, e->allocator.name, json_object_get(l, "all"));
        print_worst(out, json_object_get(l, "worst"), trace);
        print_line(out, "  the clock alone", json_object_get(l, "control"));
        fputc('\n', out);
        json_decref(l);
    }
}
