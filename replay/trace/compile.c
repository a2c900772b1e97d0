/* compile.c - from events to operations; the only place that knows both forms.
 *
 * Owns the state of one compilation. Per event: check that it makes sense, order it after the last access to its block,
 * translate it, keep the live blocks up to date. Then write streams, epochs and the drain into a memfd. */
#include "trace/compile.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "trace/compile_live.h"
#include "trace/compile_order.h"

enum { PACE_GRAIN_NS = 50000, PAGE = 4096 };

struct compilation {
    const struct hp_compile_options *options;
    struct hp_compiled *out;
    struct hp_compile_live   live;
    struct hp_order  order;
    struct hp_plan   plan;
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
    return fail(c, HP_E_IO, "out of memory after %llu operations: replay a slice of the trace",
                (unsigned long long)c->out->operations);
}

static unsigned log2_of(uint64_t alignment)
{
    return alignment ? 63u - (unsigned)__builtin_clzll(alignment) : 0;
}

/* The old block's size, rounded down so that it fits 24 bits. */
static void pack_old_size(struct hp_op *op, uint64_t size)
{
    while ((size >> op->aux) > UINT16_MAX)
        op->aux++;
    op->hi = (uint16_t)(size >> op->aux);
}

/* Codes of the kinds whose translation needs no look at the arguments; OP_CODE_COUNT: it does. */
static const uint8_t code_of[HP_KIND_COUNT] = {
    [HP_MALLOC] = OP_MALLOC, [HP_CALLOC] = OP_CALLOC, [HP_REALLOC] = OP_REALLOC,
    [HP_REALLOCARRAY] = OP_REALLOCARRAY, [HP_FREE] = OP_FREE, [HP_FREE_SIZED] = OP_FREE_SIZED,
    [HP_FREE_ALIGNED_SIZED] = OP_FREE_ALIGNED_SIZED, [HP_ALIGNED_ALLOC] = OP_ALIGNED_ALLOC,
    [HP_POSIX_MEMALIGN] = OP_POSIX_MEMALIGN, [HP_MEMALIGN] = OP_MEMALIGN, [HP_VALLOC] = OP_VALLOC,
    [HP_PVALLOC] = OP_PVALLOC, [HP_USABLE_SIZE] = OP_USABLE_SIZE, [HP_NEW] = OP_NEW,
    [HP_NEW_ALIGNED] = OP_NEW_ALIGNED, [HP_DELETE] = OP_DELETE, [HP_DELETE_SIZED] = OP_DELETE_SIZED,
    [HP_DELETE_ALIGNED] = OP_DELETE_ALIGNED,
};

static bool resizes(unsigned kind)
{
    return kind == HP_REALLOC || kind == HP_REALLOCARRAY;
}

/* A call that made nothing and freed nothing: the recorded program was told no, or asked for nothing. */
static bool is_failed(const struct hp_event *e, uint64_t bytes)
{
    if (resizes(e->kind))
        return e->id == 0 && (e->old_id == 0 || bytes != 0);
    return hp_kind_allocates(e->kind) && e->id == 0;
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

static struct hp_op translate(const struct hp_event *e, uint64_t bytes, const struct hp_compile_block *old)
{
    struct hp_op op = { .code = code_of[e->kind], .size = e->size };

    if (resizes(e->kind)) {
        if (!old)
            op = (struct hp_op){ .code = OP_REALLOC_NEW, .size = bytes };
        else if (e->id == 0)
            op = (struct hp_op){ .code = OP_REALLOC_FREE, .size = 0 };
        else if (e->kind == HP_REALLOCARRAY && e->size <= UINT32_MAX && e->count <= UINT32_MAX)
            op.size = e->count << 32 | e->size;
        else
            op = (struct hp_op){ .code = OP_REALLOC, .size = bytes };
        if (old)
            pack_old_size(&op, old->size);
        return op;
    }
    if (e->kind == HP_CALLOC) {
        if (e->size <= UINT32_MAX && e->count <= UINT32_MAX)
            op.size = e->count << 32 | e->size;
        else
            op = (struct hp_op){ .code = OP_CALLOC_ONE, .size = bytes };
        return op;
    }
    op.aux = (uint8_t)log2_of(e->alignment);
    return op;
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

/* Keeps at most HP_MAX_POINTS points: when they are full, every other one goes and the step doubles. */
static void add_point(struct compilation *c)
{
    struct hp_plan *p = &c->plan;

    if (p->calls % p->curve_step != 0)
        return;
    if (p->points == HP_MAX_POINTS) {
        for (uint32_t i = 0; i < HP_MAX_POINTS / 2; i++)
            p->live_bytes[i] = p->live_bytes[2 * i + 1];
        p->points = HP_MAX_POINTS / 2;
        p->curve_step *= 2;
        if (p->calls % p->curve_step != 0)
            return;
    }
    p->live_bytes[p->points++] = c->live_bytes;
}

static void count_call(struct compilation *c, const struct hp_event *e, uint64_t bytes)
{
    struct hp_plan *p = &c->plan;

    p->calls++;
    if (e->id != 0) {
        p->requested_total += ((bytes + 15) & ~15ull) + 16 + (e->alignment > 16 ? e->alignment : 0);
        if (bytes > p->largest_bytes)
            p->largest_bytes = bytes;
    }
    if (c->live.used > p->live_max)
        p->live_max = c->live.used;
    if (c->live_bytes > p->peak_live_bytes) {
        p->peak_live_bytes = c->live_bytes;
        p->peak_call = p->calls;
    }
    add_point(c);
}

/* Brings the live blocks up to date and finds the slot of the operation. */
static int place_event(struct compilation *c, const struct hp_event *e, uint64_t bytes, uint32_t thread,
                       uint32_t *slot_out)
{
    struct hp_compile_block *b = e->old_id ? hp_compile_live_find(&c->live, e->old_id) : NULL;
    uint64_t position = c->order.thread[thread].count;
    uint32_t slot = b ? b->slot : 0, home = b ? b->home : thread;

    *slot_out = slot;
    if (e->kind == HP_USABLE_SIZE) {
        if (b) {
            b->thread = thread;
            b->position = position;
        }
        return HP_OK;
    }
    if (b) {
        c->live_bytes -= b->size;
        hp_compile_live_remove(&c->live, e->old_id);
    }
    if (e->id == 0)
        return b && !hp_order_give_slot(&c->order, thread, home, slot) ? no_memory(c) : HP_OK;
    if (!b && !(slot = hp_order_take_slot(&c->order, thread)))
        return fail(c, HP_E_INVALID, "more than 4 billion blocks at once: replay a slice of the trace");
    struct hp_compile_block *made = hp_compile_live_add(&c->live, e->id);
    if (!made)
        return no_memory(c);
    *made = (struct hp_compile_block){ .id = e->id, .size = bytes, .slot = slot, .home = home, .thread = thread,
                                    .position = position };
    c->live_bytes += bytes;
    *slot_out = slot;
    return HP_OK;
}

static int add_event(struct compilation *c, const struct hp_event *e)
{
    uint32_t thread = c->options->serial ? 0 : e->thread;
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
    if (is_failed(e, bytes)) {
        c->out->failed++;
        return HP_OK;
    }
    if (!hp_order_enter(&c->order, thread, c->plan.calls) || !pace(c, e, thread))
        return no_memory(c);
    const struct hp_compile_block *old = e->old_id ? hp_compile_live_find(&c->live, e->old_id) : NULL;
    if (old && !hp_order_after(&c->order, thread, old->thread, old->position))
        return no_memory(c);
    struct hp_op op = translate(e, bytes, old);
    if ((code = place_event(c, e, bytes, thread, &op.slot)) != HP_OK)
        return code;
    if (!hp_order_append(&c->order, thread, op))
        return no_memory(c);
    count_call(c, e, bytes);
    return HP_OK;
}

static bool write_all(int fd, const void *data, size_t size, uint64_t offset)
{
    const char *p = data;

    while (size) {
        ssize_t n = pwrite(fd, p, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return true;
}

static uint64_t page_up(uint64_t n)
{
    return (n + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

static bool write_stream(int fd, struct hp_stream *s, const struct hp_op *op, size_t count, uint64_t calls,
                         uint64_t *offset)
{
    *s = (struct hp_stream){ .first = *offset, .count = count, .calls = calls };
    *offset = page_up(*offset + count * sizeof *op);
    return count == 0 || write_all(fd, op, count * sizeof *op, s->first);
}

static bool write_drain(struct compilation *c, int fd, uint64_t *offset)
{
    struct hp_compile_block *block = hp_compile_live_sorted(&c->live);
    struct hp_op *op = calloc(c->live.used + 1, sizeof *op);
    bool ok = block && op;

    for (size_t i = 0; ok && i < c->live.used; i++)
        op[i] = (struct hp_op){ .code = OP_FREE, .slot = block[i].slot };
    ok = ok && write_stream(fd, &c->plan.drain, op, c->live.used, c->live.used, offset);
    free(block);
    free(op);
    return ok;
}

static bool write_plan(struct compilation *c, int fd)
{
    struct hp_plan *p = &c->plan;
    uint64_t offset = page_up(sizeof *p);

    for (uint32_t t = 0; t < p->threads; t++) {
        const struct hp_order_thread *th = &c->order.thread[t];
        if (!write_stream(fd, &p->stream[t], th->op, th->count, th->calls, &offset))
            return false;
    }
    if (!write_drain(c, fd, &offset))
        return false;
    p->epoch_table = offset;
    if (p->epochs && !write_all(fd, c->order.participants, p->epochs * sizeof(uint32_t), offset))
        return false;
    p->bytes = page_up(offset + p->epochs * sizeof(uint32_t));
    return write_all(fd, p, sizeof *p, 0) && ftruncate(fd, (off_t)p->bytes) == 0;
}

static int finish(struct compilation *c)
{
    struct hp_plan *p = &c->plan;
    int fd;

    if (!hp_order_finish(&c->order))
        return no_memory(c);
    p->magic = HP_PLAN_MAGIC;
    p->version = HP_PLAN_VERSION;
    p->threads = c->order.threads ? c->order.threads : 1;
    p->slots = c->order.slots;
    p->epochs = c->order.epochs;
    p->epoch_calls = c->order.epoch_calls;
    p->edges = c->order.edges;
    p->edges_dropped = c->order.edges_dropped;
    fd = memfd_create("heaplay-plan", 0);
    if (fd < 0 || !write_plan(c, fd)) {
        int code = fail(c, HP_E_IO, "cannot write the compiled trace: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return code;
    }
    c->out->plan = mmap(NULL, p->bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (c->out->plan == MAP_FAILED) {
        c->out->plan = NULL;
        close(fd);
        return fail(c, HP_E_IO, "cannot map the compiled trace: %s", strerror(errno));
    }
    c->out->fd = fd;
    return HP_OK;
}

static int read_events(struct compilation *c, hp_reader *r, const char *path)
{
    struct hp_event event;
    int got, code;

    while ((got = hp_reader_next(r, &event)) == 1)
        if ((code = add_event(c, &event)) != HP_OK) {
            char text[512];
            snprintf(text, sizeof text, "%s", c->error);
            return fail(c, code, "%s: %s", path, text);
        }
    if (got == HP_E_CUT_OFF)
        c->out->cut_off = 1;
    else if (got < 0)
        return fail(c, got, "%s", hp_reader_error(r));
    if (c->plan.calls == 0)
        return fail(c, HP_E_INVALID, "%s: no operation to replay: record a program that allocates", path);
    return HP_OK;
}

static int compile_once(const char *path, const struct hp_compile_options *options, uint64_t epoch_calls,
                        struct hp_compiled *out, char *error, size_t error_size)
{
    struct compilation *c = calloc(1, sizeof *c);
    int code = HP_E_IO;

    memset(out, 0, sizeof *out);
    out->fd = -1;
    hp_reader *r = hp_reader_open(path, &code, error, error_size);
    if (!r || !c) {
        free(c);
        return r ? (hp_reader_close(r), HP_E_IO) : code;
    }
    *c = (struct compilation){ .options = options, .out = out, .error = error, .error_size = error_size };
    c->plan.curve_step = 1;
    hp_order_init(&c->order, epoch_calls);
    const struct hp_meta *meta = hp_reader_meta(r);
    out->command = strdup(meta && meta->command ? meta->command : "");
    out->origin = strdup(meta && meta->origin ? meta->origin : "");
    code = !hp_compile_live_init(&c->live) || !out->command || !out->origin ? no_memory(c) : read_events(c, r, path);
    if (code == HP_OK)
        code = finish(c);
    hp_compile_live_release(&c->live);
    hp_order_release(&c->order);
    free(c);
    hp_reader_close(r);
    if (code != HP_OK)
        hp_compile_release(out);
    return code;
}

/* Length of an epoch: 4096 calls per thread, since 64 threads on 2 processors then spend 6 ns per call on waiting for each
 * other (38 ns with 256 calls per thread); fewer where so many would ask for more than a sixteenth of the peak of live
 * bytes, so that threads running ahead do not make a peak of their own. */
static uint64_t choose_epoch(const struct hp_plan *plan)
{
    enum { CALLS_MOST = 4096, CALLS_LEAST = 32, PEAK_SHARE = 16 };
    uint64_t bytes_per_call = plan->requested_total / (plan->calls + 1) + 1;
    uint64_t calls = plan->peak_live_bytes / PEAK_SHARE / bytes_per_call;
    uint64_t most = (uint64_t)CALLS_MOST * plan->threads, least = (uint64_t)CALLS_LEAST * plan->threads;

    return calls > most ? most : calls < least ? least : calls;
}

/* Threads and bytes show only in the end, so that traces of several threads are read twice. */
int hp_compile_file(const char *path, const struct hp_compile_options *options, struct hp_compiled *out,
                    char *error, size_t error_size)
{
    enum { GUESSED_CALLS = 16384 };
    bool chosen = options->serial || options->window >= 0;
    uint64_t epoch_calls = options->serial ? 0 : chosen ? (uint64_t)options->window : GUESSED_CALLS;
    int code = compile_once(path, options, epoch_calls, out, error, error_size);

    if (code != HP_OK || chosen || out->plan->threads <= 1 || strcmp(path, "-") == 0)
        return code;
    epoch_calls = choose_epoch(out->plan);
    hp_compile_release(out);
    return compile_once(path, options, epoch_calls, out, error, error_size);
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
