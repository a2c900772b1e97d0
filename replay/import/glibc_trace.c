/* glibc_trace.c - binary records of the tracing branch of glibc's malloc: an array of fixed size, the first of type 255.
 *
 * Record: int32 thread, uint32 bits (lowest 8: type), then words: ptr1 ptr2 size size2 size3, and padding: to 64 bytes when a word
 * has 8; with words of 4, as the first record's size says, to what the records themselves show. An allocation can be reported before the free that made room for
 * it: it is held back until that free comes (an inversion), or until WAIT_RECORDS have passed.
 */
#include "import/import.h"

#include <stdio.h>
#include <string.h>

#define WORDS           5u
#define RECORD_64       64u
#define RECORD_32       36u         /* when there is nothing to tell it from */
#define RECORD_32_MOST  64u
#define HELD_MAX        64u
#define WAIT_RECORDS    65536u

enum { UNUSED, MALLOC, CALLOC, FREE, REALLOC, MEMALIGN, VALLOC, PVALLOC, POSIX_MEMALIGN, TYPES, MAGIC = 255 };
enum { PTR1, PTR2, SIZE, SIZE2 };

static const uint8_t kinds[TYPES] = { 0, HP_MALLOC, HP_CALLOC, HP_FREE, HP_REALLOC, HP_MEMALIGN, HP_VALLOC, HP_PVALLOC,
                                      HP_POSIX_MEMALIGN };

struct held {
    struct hp_call call;
    uint64_t record;
};

struct state {
    hp_import *import;
    uint64_t records;
    struct held held[HELD_MAX];     /* oldest first */
    unsigned count;
};

static uint64_t load(const unsigned char *at, unsigned bytes)
{
    uint64_t v = 0;

    for (unsigned i = bytes; i-- > 0;)
        v = v << 8 | at[i];
    return v;
}

/* Bytes in a word, 0: not this format. */
static unsigned word_bytes(const unsigned char *bytes, size_t size)
{
    for (unsigned word = 8; word >= 4; word -= 4)
        if (size >= 8 + WORDS * word && bytes[4] == MAGIC && load(bytes + 8, word) == 0x1234
            && load(bytes + 8 + SIZE * word, word) == word)
            return word;
    return 0;
}

/* Whether a record that begins here makes no sense. */
static bool is_misfit(const unsigned char *at)
{
    unsigned type = at[4];
    uint64_t block = load(at + 8 + (type == FREE ? PTR1 : PTR2) * 4, 4);

    return type >= TYPES || block % 8 || (type != UNUSED && load(at, 4) == 0);
}

/* The size of a record of 32-bit programs: the one with the fewest misfits, of equals the one with most calls; of equals the larger. */
static size_t record_bytes_32(const unsigned char *bytes, size_t size)
{
    size_t best = RECORD_32, fewest = SIZE_MAX, most = 0;

    for (size_t record = 8 + WORDS * 4; record <= RECORD_32_MOST; record += 4) {
        size_t misfits = 0, calls = 0, records = 0;
        for (size_t at = record; at + 8 + WORDS * 4 <= size; at += record, records++) {
            misfits += is_misfit(bytes + at);
            calls += bytes[at + 4] != UNUSED;
        }
        if (records && (misfits * 4096 / records < fewest || (misfits * 4096 / records == fewest && calls >= most))) {
            best = record;
            fewest = misfits * 4096 / records;
            most = calls;
        }
    }
    return best;
}

static int detect(const unsigned char *bytes, size_t size)
{
    return word_bytes(bytes, size) ? 2 : 0;
}

static uint32_t flags(const unsigned char *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    return HP_HAS_THREADS;
}

static void release(struct state *s, unsigned which)
{
    struct hp_call call = s->held[which].call;

    memmove(&s->held[which], &s->held[which + 1], (--s->count - which) * sizeof *s->held);
    hp_import_call(s->import, &call);
}

static void allocate(struct state *s, const struct hp_call *call)
{
    if (call->made == 0 || call->made == call->old || !hp_import_live(s->import, call->made)) {
        hp_import_call(s->import, call);
        return;
    }
    if (s->count == HELD_MAX)
        release(s, 0);
    s->held[s->count++] = (struct held){ *call, s->records };
}

/* The name is free again: what was held back for it can be. */
static void let_go(struct state *s, uint64_t name)
{
    for (unsigned i = 0; i < s->count; i++)
        if (s->held[i].call.made == name) {
            hp_import_inversion(s->import);
            release(s, i);
            return;
        }
}

static void free_block(struct state *s, const struct hp_call *call)
{
    hp_import_call(s->import, call);
    let_go(s, call->old);
}

/* A realloc that must wait for its new address has freed its old one all the same: split it. */
static void reallocate(struct state *s, const struct hp_call *call)
{
    struct hp_call old = { .kind = HP_FREE, .thread = call->thread, .old = call->old };

    if (!call->made || call->made == call->old || !hp_import_live(s->import, call->made)) {
        hp_import_call(s->import, call);
        if (call->old && !hp_import_live(s->import, call->old))
            let_go(s, call->old);
        return;
    }
    hp_import_assume(s->import, "a realloc onto an address whose free came later is a free and a malloc");
    if (call->old)
        free_block(s, &old);
    allocate(s, &(struct hp_call){ .kind = HP_MALLOC, .thread = call->thread, .made = call->made, .size = call->size });
}

static void take_record(struct state *s, const unsigned char *bytes, unsigned word)
{
    uint64_t w[4];
    unsigned type = bytes[4];
    struct hp_call call = { .thread = load(bytes, 4) };

    for (unsigned i = 0; i < 4; i++)
        w[i] = load(bytes + 8 + i * word, word);
    if (type == UNUSED || type == MAGIC)
        return;
    if (type >= TYPES) {
        hp_import_offence(s->import, "unknown type of record");
        return;
    }
    call.kind = kinds[type];
    if (type == FREE) {
        call.old = w[PTR1];
        free_block(s, &call);
        return;
    }
    call.made = w[PTR2];
    call.size = w[SIZE];
    call.count = type == CALLOC;
    if (type == MEMALIGN || type == POSIX_MEMALIGN)
        call.alignment = w[SIZE2];
    if (type == POSIX_MEMALIGN && w[PTR1])
        call.made = 0;
    if (type == REALLOC) {
        call.old = w[PTR1];
        reallocate(s, &call);
    } else {
        allocate(s, &call);
    }
}

static void parse(hp_import *import, hp_source *source)
{
    const unsigned char *bytes;
    struct state s = { .import = import };
    size_t size = hp_source_peek(source, &bytes, HP_SOURCE_PEEK), record;
    unsigned word = word_bytes(bytes, size);
    char said[80];

    if (!word) {
        hp_import_offence(import, "the first record does not say the size of a word; taken for 8 bytes");
        word = 8;
    }
    record = word == 4 ? record_bytes_32(bytes, size) : RECORD_64;
    snprintf(said, sizeof said, "a 32-bit program, with records of %zu bytes", record);
    if (word == 4)
        hp_import_assume(import, said);
    hp_import_assume(import, "calloc is one element; the order is that of the records");
    while (!hp_import_failed(import) && (size = hp_source_peek(source, &bytes, record)) > 0) {
        hp_import_at_byte(import, hp_source_offset(source));
        if (size < record)
            hp_import_offence(import, "the file ends within a record");
        else
            take_record(&s, bytes, word);
        hp_source_skip(source, size);
        s.records++;
        while (s.count && s.records - s.held[0].record > WAIT_RECORDS)
            release(&s, 0);
    }
    while (s.count)
        release(&s, 0);
}

const struct hp_importer hp_import_glibc_trace = { "glibc-trace", "records of glibc's malloc tracing branch (.mtrace)", detect,
                                                   flags, parse, NULL };
