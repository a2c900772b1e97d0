/* alk.c - raw traces of alk's malloc tracer, and the records that its own tools make of them.
 *
 * Raw: magic, then prefix varints: k - 1 low zero bits and a one announce k bytes of 7 k payload bits; a first byte of 0
 * announces 8 more. Buffers of threads follow in the order in which they were full, so the input is mapped, the buffers are
 * chained by thread, and threads are merged by their last time stamp; a free waits until its token exists.
 * Processed: records of 24 bytes, kind and register, a, b.
 */
#include "import/import.h"

#include <stdlib.h>
#include <string.h>

#define MAGIC       0x6CBD63E4u
#define RECORD      24u
#define NONE        UINT32_MAX

enum { IN_MALLOC, IN_FREE, IN_TOK, OUT_BUFFER, IN_FREE_SIZED, EXTENDED = 7 };
enum { EXT_DEATH = 0x07, EXT_END = 0x0f, EXT_REALLOC = 0x17, EXT_MEMALIGN = 0x1f, EXT_BARRIER = 0x27 };

struct buffer {
    size_t begin, end;
    uint64_t time_ns;
    uint32_t next;              /* of the same thread, NONE: the last */
};

struct thread {
    uint64_t number, time_ns, size8, token, sequence;
    uint64_t waits;             /* name of the block that a free waits for, 0: none */
    uint32_t first, last;       /* buffers left */
    size_t at;
    bool died;
};

struct state {
    hp_import *import;
    const unsigned char *bytes;
    size_t size;
    struct buffer *buffers;
    struct thread *threads;
    uint32_t buffer_count, thread_count;
};

static uint64_t load(const unsigned char *at, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = bytes; i-- > 0;)
        v = v << 8 | at[i];
    return v;
}

static bool take(const struct state *s, size_t *at, size_t end, uint64_t *v)
{
    unsigned k;

    if (*at >= end)
        return false;
    k = s->bytes[*at] ? (unsigned)__builtin_ctz(s->bytes[*at]) + 1 : 9;
    if (end - *at < k)
        return false;
    *v = k == 9 ? load(s->bytes + *at + 1, 8) : load(s->bytes + *at, k) >> k;
    *at += k;
    return true;
}

static uint64_t unzigzag(uint64_t v)
{
    return v >> 1 ^ (0 - (v & 1));
}

static uint64_t time_of(uint64_t ts_cpu)
{
    return ts_cpu & ~UINT64_C(1023);
}

static uint32_t thread_of(struct state *s, uint64_t number)
{
    uint32_t i = 0;

    while (i < s->thread_count && s->threads[i].number != number)
        i++;
    if (i == s->thread_count) {
        if (!(i & (i - 1))) {
            struct thread *wider = realloc(s->threads, 2 * (i + (size_t)1) * sizeof *wider);
            if (!wider)
                return NONE;
            s->threads = wider;
        }
        s->threads[s->thread_count++] = (struct thread){ .number = number, .first = NONE, .last = NONE };
    }
    return i;
}

static bool add_buffer(struct state *s, uint64_t number, const struct buffer *buffer)
{
    uint32_t which = thread_of(s, number), n = s->buffer_count;
    struct thread *t = which == NONE ? NULL : &s->threads[which];

    if (!t)
        return false;
    if (!(n & (n - 1))) {
        struct buffer *wider = realloc(s->buffers, 2 * (n + (size_t)1) * sizeof *wider);
        if (!wider)
            return false;
        s->buffers = wider;
    }
    s->buffers[n] = *buffer;
    s->buffer_count++;
    if (t->first == NONE) {
        t->first = n;
        t->at = buffer->begin;
        t->time_ns = buffer->time_ns;
    } else {
        s->buffers[t->last].next = n;
    }
    t->last = n;
    return true;
}

/* Thread with the smallest time that has something left and does not wait; NONE: all wait, or are done (*left tells). */
static uint32_t choose(struct state *s, bool *left, uint64_t *until)
{
    uint32_t best = NONE;

    *left = false;
    *until = UINT64_MAX;
    for (uint32_t i = 0; i < s->thread_count; i++) {
        struct thread *t = &s->threads[i];
        if (t->first == NONE)
            continue;
        *left = true;
        if (t->waits && !hp_import_live(s->import, t->waits))
            continue;
        if (best == NONE || t->time_ns < s->threads[best].time_ns) {
            *until = best == NONE ? UINT64_MAX : s->threads[best].time_ns;
            best = i;
        } else if (t->time_ns < *until) {
            *until = t->time_ns;
        }
    }
    return best;
}

static void next_buffer(struct state *s, struct thread *t)
{
    t->first = s->buffers[t->first].next;
    if (t->first == NONE)
        return;
    t->at = s->buffers[t->first].begin;
    if (s->buffers[t->first].time_ns > t->time_ns)
        t->time_ns = s->buffers[t->first].time_ns;
}

/* Fills the call from the words of one event; false: the buffer cannot be read on. Tok makes no call (kind USABLE_SIZE). */
static bool decode(const struct state *s, struct thread *t, size_t *at, size_t end, struct hp_call *call)
{
    uint64_t w, second = 0;

    if (!take(s, at, end, &w))
        return false;
    call->kind = HP_USABLE_SIZE;
    if ((w & 7) == IN_TOK) {
        if (!take(s, at, end, &second))
            return false;
        t->sequence = w >> 3;
        t->time_ns = time_of(second) > t->time_ns ? time_of(second) : t->time_ns;
    } else if ((w & 7) == IN_MALLOC) {
        call->kind = HP_MALLOC;
        t->size8 += unzigzag(w >> 3);
    } else if ((w & 7) == IN_FREE || (w & 7) == IN_FREE_SIZED) {
        call->kind = HP_FREE;
        t->token += unzigzag(w >> 3);
        call->old = t->token + 1;
        return true;
    } else if ((w & 255) == EXT_REALLOC || (w & 255) == EXT_MEMALIGN) {
        if (!take(s, at, end, &second))
            return false;
        t->size8 += unzigzag(w >> 8);
        call->kind = (w & 255) == EXT_REALLOC ? HP_REALLOC : HP_MEMALIGN;
        if (call->kind == HP_REALLOC)
            t->token += unzigzag(second);
        call->old = call->kind == HP_REALLOC ? t->token + 1 : 0;
        call->alignment = call->kind == HP_MEMALIGN ? second : 0;
    } else {
        return false;
    }
    if (call->kind != HP_USABLE_SIZE) {
        call->size = t->size8 * 8;
        call->made = ++t->sequence;         /* the token is one less: names are tokens + 1 */
    }
    return true;
}

/* One event of the thread. False: it has to wait. */
static bool step(struct state *s, struct thread *t)
{
    struct buffer *b = &s->buffers[t->first];
    struct thread before = *t;
    struct hp_call call = { .thread = t->number };
    size_t at = t->at;

    hp_import_at_byte(s->import, t->at);
    if (at >= b->end) {
        next_buffer(s, t);
        return true;
    }
    if (!decode(s, t, &at, b->end, &call)) {
        hp_import_offence(s->import, "an event that is unknown or cut off; the rest of this buffer was skipped");
        t->at = b->end;
        return true;
    }
    call.time_ns = t->time_ns;
    if (call.old && !t->waits && !hp_import_live(s->import, call.old)) {
        *t = before;
        t->waits = call.old;
        return false;
    }
    t->waits = 0;
    t->at = at;
    if (call.kind != HP_USABLE_SIZE)
        hp_import_call(s->import, &call);
    return true;
}

/* Plays the buffers that are there. A thread that waits for a block that never comes goes on when nobody else can. */
static void merge(struct state *s)
{
    bool left = true;
    uint64_t until;

    while (left && !hp_import_failed(s->import)) {
        uint32_t which = choose(s, &left, &until);
        if (which == NONE) {
            for (which = 0; left && s->threads[which].first == NONE;)
                which++;
            if (left)
                (void)step(s, &s->threads[which]);
            continue;
        }
        while (s->threads[which].first != NONE && s->threads[which].time_ns <= until && step(s, &s->threads[which]))
            ;
    }
    for (uint32_t i = 0; i < s->thread_count; i++)
        if (s->threads[i].died) {
            hp_import_thread_end(s->import, s->threads[i].number, s->threads[i].time_ns);
            s->threads[i] = s->threads[--s->thread_count];
            i--;
        }
    s->buffer_count = 0;
}

static const char *index_word(struct state *s, size_t *at, uint64_t w, bool *ended)
{
    uint64_t ts, length;
    uint32_t which;

    *ended = (w & 255) == EXT_END;
    if (*ended)
        return NULL;
    if (!take(s, at, s->size, &ts))
        return "the file ends within a word";
    if ((w & 7) == OUT_BUFFER) {
        struct buffer b = { 0, 0, time_of(ts), NONE };
        if (!take(s, at, s->size, &length) || length > s->size - *at)
            return "the file ends within a buffer";
        b.begin = *at;
        *at = b.end = *at + (size_t)length;
        return add_buffer(s, w >> 3, &b) ? NULL : "out of memory for the buffers";
    }
    if ((w & 255) == EXT_DEATH) {
        which = thread_of(s, w >> 8);
        if (which == NONE)
            return "out of memory for the threads";
        s->threads[which].died = true;
        return NULL;
    }
    if ((w & 255) != EXT_BARRIER)
        return "unknown word between buffers";
    merge(s);
    return NULL;
}

static void parse_raw(hp_import *import, hp_source *source)
{
    struct state s = { .import = import };
    const char *fault = NULL;
    bool ended = false;
    uint64_t w;

    hp_import_assume(import, "sizes are kept in steps of 8 bytes, rounded up; times are right to 1 us; sized frees say no size");
    if (!hp_source_spool(source, &s.bytes, &s.size))
        return;
    for (size_t at = 4; !ended && !fault && at < s.size;) {
        hp_import_at_byte(import, at);
        fault = take(&s, &at, s.size, &w) ? index_word(&s, &at, w, &ended) : "the file ends within a word";
        if (fault)
            hp_import_offence(import, fault);
    }
    merge(&s);
    if (!ended && !fault) {
        hp_import_at_byte(import, s.size);
        hp_import_offence(import, "the trace has no end mark: it was cut off");
    }
    free(s.buffers);
    free(s.threads);
}

static void take_record(hp_import *import, const unsigned char *record, uint64_t *thread, uint64_t *time_ns)
{
    static const uint8_t kinds[] = { HP_MALLOC, HP_FREE, HP_FREE_SIZED, HP_MEMALIGN, HP_REALLOC };
    uint64_t head = load(record, 8), a = load(record + 8, 8), b = load(record + 16, 8), reg = (head >> 8) + 1;
    unsigned type = head & 255;
    struct hp_call call = { .thread = *thread, .time_ns = *time_ns };

    if (type < sizeof kinds) {
        call.kind = kinds[type];
        call.old = type == 1 || type == 2 || type == 4 ? reg : 0;
        call.made = type == 0 || type == 3 ? reg : type == 4 ? a + 1 : 0;
        call.size = type == 4 ? b : type == 1 ? 0 : a;
        call.alignment = type == 3 ? b : 0;
        hp_import_call(import, &call);
    } else if (type == 5) {
        *thread = a;
    } else if (type == 6) {
        hp_import_thread_end(import, *thread, *time_ns);
    } else if (type == 7) {
        *time_ns = a;
    } else {
        hp_import_offence(import, "unknown type of record");
    }
}

static void parse_processed(hp_import *import, hp_source *source)
{
    const unsigned char *bytes;
    uint64_t thread = 0, time_ns = 0;
    size_t size;

    hp_import_assume(import, "records of 24 bytes; frees are sized ones, and what lived to the end was freed there, as alk's tools "
                             "write it");
    while (!hp_import_failed(import) && (size = hp_source_peek(source, &bytes, RECORD)) > 0) {
        hp_import_at_byte(import, hp_source_offset(source));
        if (size < RECORD)
            hp_import_offence(import, "the file ends within a record");
        else
            take_record(import, bytes, &thread, &time_ns);
        hp_source_skip(source, size);
    }
}

static bool is_raw(const unsigned char *bytes, size_t size)
{
    return size >= 4 && load(bytes, 4) == MAGIC;
}

/* Processed files have no magic: every record of the beginning has to be a plausible one. */
static int detect(const unsigned char *bytes, size_t size)
{
    if (is_raw(bytes, size))
        return 2;
    if (size < RECORD)
        return 0;
    for (size_t at = 0; at + RECORD <= size; at += RECORD) {
        uint64_t head = load(bytes + at, 8);
        if ((head & 255) > 7 || head >> 48)
            return 0;
    }
    return 1;
}

static uint32_t flags(const unsigned char *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    return HP_HAS_THREADS | HP_HAS_TIME;
}

static uint64_t time_step(const unsigned char *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    return 1024;
}

static void parse(hp_import *import, hp_source *source)
{
    const unsigned char *bytes;
    size_t size = hp_source_peek(source, &bytes, 4);

    if (is_raw(bytes, size))
        parse_raw(import, source);
    else
        parse_processed(import, source);
}

const struct hp_importer hp_import_alk = { "alk", "traces of alk's malloc tracer, raw or processed", detect, flags, parse, time_step };
