/* wl.c - glibc's malloc workloads (trace2wl, trace_run): one stream of opcodes for each thread, ordered only by syncs.
 *
 * Numbers are base 128, most significant group first, the high bit set on all bytes but the last. Streams lie at offsets
 * that START_THREAD names, so the input is mapped. Threads take turns of TURN calls; a thread that waits for a sync
 * gives its turn away. When all wait, the syncs contradict each other: counted, and the first thread goes on.
 */
#include "import/import.h"

#include <stdlib.h>

#define TURN        256u
#define THREADS_MAX 65536u

enum { NOP, DONE, MALLOC, CALLOC, REALLOC, FREE, SYNC_W, SYNC_R, ALLOC_PTRS, ALLOC_SYNCS, NTHREADS, START_THREAD, MEMALIGN,
       VALLOC, PVALLOC, POSIX_MEMALIGN, OPCODES };

static const struct op {
    uint8_t kind;
    const char *fields;         /* m: made, o: old, s: size, a: alignment, v: a number that is no part of a call */
} ops[OPCODES] = {
    [NOP] = { 0, "" }, [DONE] = { 0, "" }, [SYNC_W] = { 0, "v" }, [SYNC_R] = { 0, "v" }, [ALLOC_PTRS] = { 0, "v" },
    [ALLOC_SYNCS] = { 0, "v" }, [NTHREADS] = { 0, "v" }, [START_THREAD] = { 0, "v" },
    [MALLOC] = { HP_MALLOC, "ms" }, [CALLOC] = { HP_CALLOC, "ms" }, [REALLOC] = { HP_REALLOC, "mos" },
    [FREE] = { HP_FREE, "o" }, [MEMALIGN] = { HP_MEMALIGN, "mas" }, [VALLOC] = { HP_VALLOC, "ms" },
    [PVALLOC] = { HP_PVALLOC, "ms" }, [POSIX_MEMALIGN] = { HP_POSIX_MEMALIGN, "mas" },
};

struct stream {
    size_t at;
    bool done;
};

struct workload {
    hp_import *import;
    const unsigned char *bytes;
    size_t size;
    struct stream *streams;
    uint32_t count;
    unsigned char *written;     /* a bit for each sync; numbers beyond the file's size cannot be needed */
};

static bool take(const struct workload *w, size_t *at, uint64_t *v)
{
    for (*v = 0; *at < w->size && *v >> 57 == 0;) {
        unsigned char byte = w->bytes[(*at)++];
        *v = *v << 7 | (byte & 127);
        if (!(byte & 128))
            return true;
    }
    return false;
}

static int detect(const unsigned char *bytes, size_t size)
{
    struct workload w = { .bytes = bytes, .size = size };
    static const unsigned char head[] = { ALLOC_PTRS, ALLOC_SYNCS, NTHREADS };
    size_t at = 0;
    uint64_t v;

    for (unsigned i = 0; i < sizeof head; i++)
        if (at >= size || bytes[at++] != head[i] || !take(&w, &at, &v))
            return 0;
    return at < size && (bytes[at] == START_THREAD || bytes[at] == DONE) ? 2 : 0;
}

static uint32_t flags(const unsigned char *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    return HP_HAS_THREADS;
}

static void end_stream(struct workload *w, struct stream *s, const char *fault)
{
    hp_import_at_byte(w->import, s->at);
    if (fault)
        hp_import_offence(w->import, fault);
    s->done = true;
}

static void start_thread(struct workload *w, uint64_t offset)
{
    struct stream *wider;

    for (uint32_t i = 0; i < w->count; i++)
        if (w->streams[i].at == offset && !w->streams[i].done) {
            hp_import_offence(w->import, "two threads start at the same place");
            return;
        }
    if (offset >= w->size || w->count == THREADS_MAX) {
        hp_import_offence(w->import, "a thread starts behind the end of the file, or is one too many");
        return;
    }
    if (!(w->count & (w->count - 1))) {
        wider = realloc(w->streams, 2 * (w->count + 1) * sizeof *wider);
        if (!wider) {
            hp_import_offence(w->import, "out of memory for a thread");
            return;
        }
        w->streams = wider;
    }
    w->streams[w->count++] = (struct stream){ .at = (size_t)offset };
}

static void call(struct workload *w, uint32_t thread, struct hp_call *c)
{
    if (c->kind == HP_CALLOC)
        c->count = 1;
    if (c->made && c->made != c->old && hp_import_live(w->import, c->made)) {
        hp_import_assume(w->import, "an allocation onto a live id frees that block first, as trace_run does");
        hp_import_call(w->import, &(struct hp_call){ .kind = HP_FREE, .thread = thread, .old = c->made });
    }
    hp_import_call(w->import, c);
}

/* False: the thread waits for a sync, its position unchanged. */
static bool step(struct workload *w, uint32_t thread)
{
    struct stream *s = &w->streams[thread];
    struct hp_call c = { .thread = thread };
    size_t at = s->at;
    uint64_t v = 0;
    unsigned code = at < w->size ? w->bytes[at++] : (unsigned)OPCODES;

    hp_import_at_byte(w->import, s->at);
    if (code == DONE || code >= OPCODES) {
        end_stream(w, s, code == DONE ? NULL : s->at >= w->size ? "the file ends before the thread does" : "unknown opcode; "
                   "the rest of this thread was skipped");
        return true;
    }
    for (const char *f = ops[code].fields; *f; f++)
        if (!take(w, &at, *f == 'm' ? &c.made : *f == 'o' ? &c.old : *f == 's' ? &c.size : *f == 'a' ? &c.alignment : &v)) {
            end_stream(w, s, "a number is cut off, or too large; the rest of this thread was skipped");
            return true;
        }
    c.kind = ops[code].kind;
    if (code == SYNC_R && v <= w->size && !(w->written[v / 8] & 1u << v % 8))
        return false;
    s->at = at;
    if (code == SYNC_W && v <= w->size)
        w->written[v / 8] |= (unsigned char)(1u << v % 8);
    else if (code == START_THREAD)
        start_thread(w, v);
    else if (*ops[code].fields && *ops[code].fields != 'v')
        call(w, thread, &c);
    return true;
}

/* Steps over the sync that the first unfinished thread waits for. */
static void break_deadlock(struct workload *w)
{
    for (uint32_t t = 0; t < w->count; t++)
        if (!w->streams[t].done) {
            uint64_t v;
            hp_import_at_byte(w->import, w->streams[t].at);
            hp_import_offence(w->import, "every thread waits for another; this one went on");
            w->streams[t].at++;
            (void)take(w, &w->streams[t].at, &v);
            return;
        }
}

static void run(struct workload *w)
{
    bool left = true;

    while (left && !hp_import_failed(w->import)) {
        bool moved = false;
        left = false;
        for (uint32_t t = 0; t < w->count; t++) {
            for (unsigned turn = 0; turn < TURN && !w->streams[t].done && step(w, t); turn++)
                moved = true;
            left |= !w->streams[t].done;
        }
        if (left && !moved)
            break_deadlock(w);
    }
}

static void parse(hp_import *import, hp_source *source)
{
    struct workload w = { .import = import };
    struct stream head = { 0 };

    hp_import_assume(import, "between their syncs, threads took turns of 256 calls; calloc is one element");
    if (!hp_source_spool(source, &w.bytes, &w.size))
        return;
    w.written = calloc(1, w.size / 8 + 1);
    if (!w.written) {
        hp_import_offence(import, "out of memory for the syncs");
        return;
    }
    /* The main program declares sizes and threads; those run when it has ended. */
    for (uint64_t v; !head.done && head.at < w.size;) {
        unsigned code = w.bytes[head.at];
        hp_import_at_byte(import, head.at++);
        if (code == DONE || (code != NOP && (code < ALLOC_PTRS || code > START_THREAD)))
            end_stream(&w, &head, code == DONE ? NULL : "no opcode of a main program");
        else if (code != NOP && !take(&w, &head.at, &v))
            end_stream(&w, &head, "a number is cut off, or too large");
        else if (code == START_THREAD)
            start_thread(&w, v);
    }
    for (uint32_t t = 0; t < w.count; t++)
        hp_import_call(import, &(struct hp_call){ .kind = HP_THREAD_START, .thread = t });
    run(&w);
    free(w.streams);
    free(w.written);
}

const struct hp_importer hp_import_wl = { "wl", "workloads of glibc's trace2wl and trace_run", detect, flags, parse, NULL };
