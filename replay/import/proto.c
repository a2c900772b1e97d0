/* proto.c - Tracefile messages of protocol buffers: repeated TraceLine, each a malloc, free, realloc or calloc.
 *
 * Wire form: 0x0a, length, TraceLine; a TraceLine is one tag (malloc 0x0a, free 0x12, realloc 0x1a, calloc 0x22), length and
 * up to three varint fields. Read line by line, in constant memory. Ids are used again after a free; an absent id is NULL.
 */
#include "import/import.h"

#define LINE_MAX_BYTES 64u

static const uint8_t kinds[] = { 0, HP_MALLOC, HP_FREE, HP_REALLOC, HP_CALLOC };

/* Bytes that the number takes, 0: it is cut off or too large. */
static size_t take(const unsigned char *at, size_t size, uint64_t *v)
{
    *v = 0;
    for (size_t i = 0; i < size && i < 10; i++) {
        if (i == 9 && at[i] > 1)
            return 0;
        *v |= (uint64_t)(at[i] & 127) << 7 * i;
        if (!(at[i] & 128))
            return i + 1;
    }
    return 0;
}

static int detect(const unsigned char *bytes, size_t size)
{
    return size >= 4 && bytes[0] == 0x0a && bytes[1] >= 2 && bytes[1] < LINE_MAX_BYTES
        && (bytes[2] & 7) == 2 && bytes[2] >= 0x0a && bytes[2] <= 0x22 && bytes[3] == bytes[1] - 2 ? 2 : 0;
}

static uint32_t flags(const unsigned char *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    return 0;
}

/* The fields 1 to 3 of the inner message; bit n of *present is set when field n is there. */
static bool take_fields(const unsigned char *at, size_t size, uint64_t field[4], unsigned *present)
{
    for (*present = 0; size;) {
        uint64_t tag;
        size_t n = take(at, size, &tag), m;
        if (!n || (tag & 7) != 0 || tag >> 3 < 1 || tag >> 3 > 3)
            return false;
        m = take(at + n, size - n, &field[tag >> 3]);
        if (!m)
            return false;
        *present |= 1u << (tag >> 3);
        at += n + m;
        size -= n + m;
    }
    return true;
}

/* The meaning of the fields by kind. An id may be 0: blocks are named id + 1. */
static const char *make_call(unsigned which, const uint64_t field[4], unsigned present, struct hp_call *call)
{
    uint64_t id = field[1] + 1;

    call->kind = kinds[which];
    if ((present & 2 && field[1] == UINT64_MAX) || (which == 3 && present & 4 && field[2] == UINT64_MAX))
        return "an id is too large";
    if (which == 2) {
        call->old = present & 2 ? id : 0;
        call->size = field[2];
        call->alignment = field[3];
        if (present & 4)
            call->kind = present & 8 ? HP_FREE_ALIGNED_SIZED : HP_FREE_SIZED;
        else
            call->alignment = 0;
        return NULL;
    }
    call->made = present & 2 ? id : 0;
    if (which == 1) {
        call->size = field[2];
        call->alignment = field[3];
        if (field[3])
            call->kind = HP_MEMALIGN;
    } else if (which == 3) {
        call->old = present & 4 ? field[2] + 1 : 0;
        call->size = field[3];
    } else {
        call->count = field[2];
        call->size = field[3];
    }
    return NULL;
}

static const char *parse_line(const unsigned char *line, size_t size, struct hp_call *call)
{
    uint64_t field[4] = { 0 }, length;
    unsigned present, which = line[0] >> 3;
    size_t n = size > 1 ? take(line + 1, size - 1, &length) : 0;

    if (!n || length != size - 1 - n)
        return "a line of the trace that does not hold exactly one call";
    if ((line[0] & 7) != 2 || which < 1 || which > 4)
        return "unknown kind of call";
    if (!take_fields(line + 1 + n, (size_t)length, field, &present))
        return "an unknown or broken field of a call";
    return make_call(which, field, present, call);
}

static void parse(hp_import *import, hp_source *source)
{
    const unsigned char *bytes;
    size_t size;

    hp_import_assume(import, "one thread; blocks that were never freed have frees at the end, put there by the recorder");
    while (!hp_import_failed(import) && (size = hp_source_peek(source, &bytes, 2 * LINE_MAX_BYTES)) > 0) {
        struct hp_call call = { 0 };
        const char *fault = "no field of a trace; what follows was skipped";
        uint64_t tag, length = 0;
        size_t n = take(bytes, size, &tag), m = n ? take(bytes + n, size - n, &length) : 0;
        hp_import_at_byte(import, hp_source_offset(source));
        if (m && tag == 2 << 3) {
            hp_source_skip(source, n + m);      /* max_simultaneous_allocs */
            continue;
        }
        if (m && tag == 0x0a && length <= LINE_MAX_BYTES && length > 0 && n + m + length <= size) {
            fault = parse_line(bytes + n + m, (size_t)length, &call);
            hp_source_skip(source, n + m + (size_t)length);
        } else {
            hp_import_offence(import, m && tag == 0x0a && length <= LINE_MAX_BYTES ? "the file ends within a line" : fault);
            return;
        }
        if (fault)
            hp_import_offence(import, fault);
        else
            hp_import_call(import, &call);
    }
}

const struct hp_importer hp_import_proto = { "proto", "Tracefile messages of protocol buffers (.trace.gz)", detect, flags,
                                             parse, NULL };
