/* compile.c - from events to operations; the only place that knows both forms.
 *
 * Owns the state of one compilation. Per event: check that it makes sense, order it after the last access to its block,
 * translate it, keep the live blocks up to date. Whenever a section is full its streams and epochs are written and let
 * go; the drain comes last. */
#include "trace/compile.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "trace/compile_file.h"
#include "trace/compile_head.h"
#include "trace/compile_live.h"
#include "trace/compile_op.h"
#include "trace/compile_order.h"

enum { PACE_GRAIN_NS = 50000, SECTION_OPERATIONS = 1 << 24, MEMORY_SHARES = 4 };

struct compilation {
    const struct hp_compile_options *options;
    struct hp_compiled *out;
    struct hp_compile_live   live;
    struct hp_order  order;
    struct hp_plan_file file;
    struct hp_plan   plan;
    bool             one_thread;        /* a second thread turns it into a survey */
    bool             survey;            /* only for what the length of epochs needs: nothing is ordered or written */
    uint64_t         section_operations;
    uint64_t         live_bytes;
    uint64_t         last_time_ns, idle_cut_ns;
    uint64_t         paced_ns[HP_MAX_THREADS];
    char            *error;
    size_t           error_size;
};

__attribute__((format(printf, 3, 4)))
static int fail(struct compilation *c, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(c->error, c->error_size, format, args);
    va_end(args);
    return code;
}

static int no_memory(struct compilation *c)
{
    return fail(c, HP_E_NO_ROOM, "out of memory after %llu operations: replay a slice of the trace",
                (unsigned long long)c->out->operations);
}

/* A block is about to go: the operation that made it learns how much of it was touched. What a realloc takes along was;
 * so were, as far as is known, the blocks that are never freed. */
static bool note_touched(struct compilation *c, const struct hp_event *e, const struct hp_compile_block *b)
{
    uint16_t touched = hp_touched_pack(e->resident_bytes);

    if (!c->options->touch_recorded || !hp_compile_op_says_touched(e->kind))
        return true;
    if (b->made_in != c->order.section)
        return hp_plan_file_patch(&c->file, b->made_in, b->maker, b->made_at, touched);
    c->order.thread[b->maker].op[b->made_at].hi = touched;
    return true;
}

static int check_event(struct compilation *c, const struct hp_event *e, uint64_t *bytes)
{
    unsigned long long n = (unsigned long long)c->out->operations;
    uint64_t count = e->kind == HP_CALLOC || e->kind == HP_REALLOCARRAY ? e->count : 1;

    if (__builtin_mul_overflow(count, e->size, bytes)) {
        if (e->id != 0)
            return fail(c, HP_E_INVALID, "operation %llu: %s of %llu x %llu bytes cannot have succeeded: "
                        "run `heaplay check`", n, hp_kind_name(e->kind), (unsigned long long)e->count,
                        (unsigned long long)e->size);
        *bytes = UINT64_MAX;
    }
    if (e->alignment & (e->alignment - 1))
        return fail(c, HP_E_INVALID, "operation %llu: alignment %llu is not a power of two: run `heaplay check`", n,
                    (unsigned long long)e->alignment);
    if (e->id != 0 && e->id != e->old_id && hp_compile_live_find(&c->live, e->id))
        return fail(c, HP_E_INVALID, "operation %llu: %s makes object %llu, which lives already: run `heaplay check`",
                    n, hp_kind_name(e->kind), (unsigned long long)e->id);
    if (e->old_id != 0 && !hp_compile_live_find(&c->live, e->old_id))
        return fail(c, HP_E_INVALID, "operation %llu: %s of object %llu, which does not live: run `heaplay check`", n,
                    hp_kind_name(e->kind), (unsigned long long)e->old_id);
    return HP_OK;
}

static bool pace(struct compilation *c, const struct hp_event *e, uint32_t thread)
{
    uint64_t gap = e->time_ns - c->last_time_ns, limit = c->options->idle_limit_ns;

    if (c->options->pace <= 0)
        return true;
    if (limit && gap > limit)
        c->idle_cut_ns += gap - limit;
    c->last_time_ns = e->time_ns;
    uint64_t at = (uint64_t)((double)(e->time_ns - c->idle_cut_ns) / c->options->pace);
    if (at < c->paced_ns[thread] + PACE_GRAIN_NS)
        return true;
    c->paced_ns[thread] = at;
    c->plan.paced = 1;
    return hp_order_append(&c->order, thread, (struct hp_op){ .code = OP_PACE, .size = at });
}

/* Brings the live blocks up to date and finds the slot of the operation. */
static int place_event(struct compilation *c, const struct hp_event *e, uint64_t bytes, uint32_t thread,
                       uint32_t *slot_out)
{
    struct hp_compile_block *b = e->old_id ? hp_compile_live_find(&c->live, e->old_id) : NULL;
    uint32_t position = (uint32_t)c->order.thread[thread].count, section = c->order.section;
    uint32_t slot = b ? b->slot : 0, home = b ? b->home : thread;

    *slot_out = slot;
    if (e->kind == HP_USABLE_SIZE) {
        if (b) {
            b->section = section;
            b->thread = thread;
            b->position = position;
        }
        return HP_OK;
    }
    if (b) {
        if (!c->survey && !note_touched(c, e, b))
            return HP_E_NO_ROOM;
        c->live_bytes -= b->size;
        hp_compile_live_remove(&c->live, e->old_id);
    }
    if (e->id == 0)
        return b && !c->survey && !hp_order_give_slot(&c->order, thread, home, slot) ? no_memory(c) : HP_OK;
    if (!b && !c->survey && !(slot = hp_order_take_slot(&c->order, thread)))
        return fail(c, HP_E_INVALID, "more than 4 billion blocks at once: replay a slice of the trace");
    struct hp_compile_block *made = hp_compile_live_add(&c->live, e->id);
    if (!made)
        return no_memory(c);
    *made = (struct hp_compile_block){ .id = e->id, .size = bytes, .slot = slot, .home = home, .section = section,
                                       .thread = thread, .position = position, .made_in = section, .maker = thread,
                                       .made_at = position };
    c->live_bytes += bytes;
    *slot_out = slot;
    return HP_OK;
}

static int write_section(struct compilation *c)
{
    struct hp_order *o = &c->order;

    if (!hp_order_end_section(o))
        return no_memory(c);
    if (!hp_plan_file_begin_section(&c->file))
        return HP_E_NO_ROOM;
    for (uint32_t t = 0; t < o->threads; t++) {
        const struct hp_order_thread *th = &o->thread[t];
        struct hp_stream s = { .count = th->count, .calls = th->calls, .before = th->before };
        if (!hp_plan_file_add_stream(&c->file, th->op, s))
            return HP_E_NO_ROOM;
    }
    if (!hp_plan_file_end_section(&c->file, o->participants, o->epochs))
        return HP_E_NO_ROOM;
    hp_order_next_section(o, c->plan.calls);
    return HP_OK;
}

/* The operation of one event, after what must have happened before it. */
static int add_operation(struct compilation *c, const struct hp_event *e, uint64_t bytes, uint32_t thread)
{
    int code = c->order.operations >= c->section_operations ? write_section(c) : HP_OK;

    if (code != HP_OK)
        return code;
    if (!hp_order_enter(&c->order, thread, c->plan.calls) || !pace(c, e, thread))
        return no_memory(c);
    const struct hp_compile_block *old = e->old_id ? hp_compile_live_find(&c->live, e->old_id) : NULL;
    if (old && old->section == c->order.section && !hp_order_after(&c->order, thread, old->thread, old->position))
        return no_memory(c);
    struct hp_op op = hp_compile_op(e, bytes, old);
    if (c->options->touch_recorded && e->id != 0)
        hp_compile_op_expect_touched(&op, old);
    if ((code = place_event(c, e, bytes, thread, &op.slot)) != HP_OK)
        return code;
    return hp_order_append(&c->order, thread, op) ? HP_OK : no_memory(c);
}

/* A second thread shows up where the order of threads is not to be compiled yet: what there is of a plan is let go. */
static void begin_survey(struct compilation *c)
{
    c->survey = true;
    hp_order_release(&c->order);
}

static int add_event(struct compilation *c, const struct hp_event *e)
{
    uint32_t thread = c->options->serial ? 0 : e->thread, slot;
    uint64_t bytes;
    int code;

    if (e->kind >= HP_KIND_COUNT)
        return fail(c, HP_E_INVALID, "operation %llu is of unknown kind %u: this heaplay is too old for the trace",
                    (unsigned long long)c->out->operations, e->kind);
    if (e->thread >= c->out->recorded_threads)
        c->out->recorded_threads = e->thread + 1;
    if (e->kind == HP_THREAD_START || e->kind == HP_THREAD_END)
        return HP_OK;
    if (thread >= HP_MAX_THREADS)
        return fail(c, HP_E_INVALID, "thread %u: at most %u threads can be replayed side by side; use --threads 1",
                    thread, HP_MAX_THREADS);
    c->out->by_kind[e->kind]++;
    if ((code = check_event(c, e, &bytes)) != HP_OK)
        return code;
    c->out->operations++;
    if (hp_compile_op_failed(e, bytes)) {
        c->out->failed++;
        return HP_OK;
    }
    if (thread >= c->plan.threads)
        c->plan.threads = thread + 1;
    if (c->one_thread && !c->survey && thread > 0)
        begin_survey(c);
    code = c->survey ? place_event(c, e, bytes, thread, &slot) : add_operation(c, e, bytes, thread);
    if (code == HP_OK)
        hp_compile_head_count(&c->plan, e, bytes, c->live.used, c->live_bytes);
    return code;
}

static int write_drain(struct compilation *c)
{
    struct hp_compile_block *block = hp_compile_live_sorted(&c->live);
    struct hp_op *op = calloc(c->live.used + 1, sizeof *op);
    bool ok = block && op;

    if (!ok)
        no_memory(c);
    for (size_t i = 0; ok && i < c->live.used; i++)
        op[i] = (struct hp_op){ .code = OP_FREE, .slot = block[i].slot };
    ok = ok && hp_plan_file_add_drain(&c->file, &c->plan, op, c->live.used);
    free(block);
    free(op);
    return ok ? HP_OK : HP_E_NO_ROOM;
}

static int finish(struct compilation *c)
{
    struct hp_plan *p = &c->plan;
    int code = write_section(c);

    p->magic = HP_PLAN_MAGIC;
    p->version = HP_PLAN_VERSION;
    p->slots = c->order.slots;
    p->epoch_calls = c->order.epoch_calls;
    p->edges = c->order.edges;
    p->edges_dropped = c->order.edges_dropped;
    if (code == HP_OK)
        code = write_drain(c);
    if (code != HP_OK)
        return code;
    if (!hp_plan_file_finish(&c->file, p))
        return HP_E_NO_ROOM;
    c->out->plan = mmap(NULL, p->bytes, PROT_READ, MAP_SHARED, c->file.fd, 0);
    if (c->out->plan == MAP_FAILED) {
        c->out->plan = NULL;
        return fail(c, HP_E_NO_ROOM, "cannot map the compiled trace: %s", strerror(errno));
    }
    c->out->fd = c->file.fd;
    return HP_OK;
}

static int read_events(struct compilation *c, hp_reader *r, const char *path)
{
    struct hp_event event;
    int got, code;

    while ((got = hp_reader_next(r, &event)) == 1) {
        if ((code = add_event(c, &event)) != HP_OK) {
            char text[512];
            snprintf(text, sizeof text, "%s", c->error);
            return fail(c, code, "%s: %s", path, text);
        }
        if (c->survey && c->options->window >= 0)
            return HP_OK;       /* how long epochs are to be is known */
    }
    if (got == HP_E_CUT_OFF)
        c->out->cut_off = 1;
    else if (got < 0)
        return fail(c, got, "%s", hp_reader_error(r));
    if (c->plan.calls == 0 && got == HP_E_CUT_OFF)
        return fail(c, HP_E_INVALID, "no operation to replay: %s", hp_reader_error(r));
    if (c->plan.calls == 0)
        return fail(c, HP_E_INVALID, "%s: no operation to replay: record a program that allocates", path);
    return HP_OK;
}

/* Conditions that need what not every trace says. */
static int check_meta(const struct compilation *c, const struct hp_meta *meta, const char *path)
{
    uint32_t flags = meta ? meta->flags : 0;

    if (c->options->touch_recorded && !(flags & HP_HAS_RESIDENT))
        snprintf(c->error, c->error_size, "%s: does not say what was resident of its blocks: record it with --touch, or take "
                 "another touch policy", path);
    else if (c->options->pace > 0 && !(flags & HP_HAS_TIME))
        snprintf(c->error, c->error_size, "%s: says no times: it can only be replayed flat out, without --pace", path);
    else
        return HP_OK;
    return HP_E_INVALID;
}

static int compile_events(struct compilation *c, hp_reader *r, const char *path)
{
    const struct hp_meta *meta = hp_reader_meta(r);
    int code = check_meta(c, meta, path);

    if (code != HP_OK)
        return code;
    c->out->sample = meta ? meta->sample : 0;
    c->out->command = strdup(meta && meta->command ? meta->command : "");
    c->out->origin = strdup(meta && meta->origin ? meta->origin : "");
    if (!hp_compile_live_init(&c->live) || !c->out->command || !c->out->origin)
        return no_memory(c);
    if ((code = read_events(c, r, path)) != HP_OK || c->survey)
        return code;
    return finish(c);
}

/* What a plan may take is shared between this one and the one for book-keeping, while each is compiled and while it runs. */
static bool bound_memory(struct compilation *c)
{
    uint64_t share = c->options->memory_bytes / MEMORY_SHARES, operations = share / sizeof(struct hp_op);

    c->section_operations = share && operations < SECTION_OPERATIONS ? operations : SECTION_OPERATIONS;
    return hp_plan_file_open(&c->file, share, c->options->directory, c->error, c->error_size);
}

/* With one_thread: a plan when the trace has one thread, else only the plan's head, in `head`. */
static int compile_once(const char *path, const struct hp_compile_options *options, uint64_t epoch_calls,
                        bool one_thread, struct hp_compiled *out, struct hp_plan *head, char *error, size_t error_size)
{
    struct compilation *c = calloc(1, sizeof *c);
    int code = HP_E_IO;

    memset(out, 0, sizeof *out);
    out->fd = -1;
    hp_reader *r = c ? hp_reader_open(path, &code, error, error_size) : NULL;
    if (!r) {
        free(c);
        return code;
    }
    *c = (struct compilation){ .options = options, .out = out, .one_thread = one_thread, .error = error,
                               .error_size = error_size };
    c->plan.curve_step = 1;
    hp_order_init(&c->order, epoch_calls);
    code = bound_memory(c) ? compile_events(c, r, path) : HP_E_NO_ROOM;
    *head = c->plan;
    if (out->fd < 0 && c->file.fd >= 0)
        close(c->file.fd);
    hp_plan_file_release(&c->file);
    hp_compile_live_release(&c->live);
    hp_order_release(&c->order);
    free(c);
    hp_reader_close(r);
    if (code != HP_OK)
        hp_compile_release(out);
    return code;
}

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* That there are threads, and how many bytes, shows only on the way: traces of several threads are read twice. */
int hp_compile_file(const char *path, const struct hp_compile_options *options, struct hp_compiled *out,
                    char *error, size_t error_size)
{
    struct hp_plan head;
    double started = now_s();
    int code = compile_once(path, options, 0, true, out, &head, error, error_size);

    if (code == HP_OK && !out->plan) {
        hp_compile_release(out);
        if (strcmp(path, "-") == 0) {
            snprintf(error, error_size, "a trace of several threads is read more than once: give a file, or --threads 1");
            return HP_E_INVALID;
        }
        code = compile_once(path, options, options->window < 0 ? hp_compile_head_epoch(&head) : (uint64_t)options->window, false,
                            out, &head, error, error_size);
    }
    out->compile_s = now_s() - started;
    return code;
}

void hp_compile_release(struct hp_compiled *c)
{
    if (c->plan)
        munmap(c->plan, c->plan->bytes);
    if (c->fd >= 0)
        close(c->fd);
    free(c->command);
    free(c->origin);
    memset(c, 0, sizeof *c);
    c->fd = -1;
}
