/* reader.c - reads .hpt files and pipes frame by frame. Called by everything that looks at traces.
 *
 * Memory is bounded by one frame. A frame is delivered only after its checksum was found right, so that a file that
 * was cut off or damaged yields every whole frame before the fault, then one error that says where the fault is.
 */
#include "trace/codec.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

struct hp_reader {
    FILE *file;
    bool owns_file;
    char *path;
    struct hp_meta meta;
    struct hp_trailer trailer;
    bool ended;                         /* the trailer was read */
    struct hp_decoder *decoder;
    struct hp_bytes stored;
    struct hp_frame frame;
    bool in_frame;
    uint64_t position, after;           /* offsets of the current frame and of the first byte not read */
    uint64_t events, operations;        /* delivered; operations are the events that a slice counts */
    uint64_t next_event;                /* first event of the next frame */
    uint64_t next_id, time_ns;
    char *sites;                        /* NULL: the table was not met */
    int error;
    char text[512];
};

__attribute__((format(printf, 3, 4)))
static int fail(struct hp_reader *r, int error, const char *format, ...)
{
    va_list arguments;
    int n;

    if (r->error)
        return r->error;
    n = snprintf(r->text, sizeof r->text, "%s: ", r->path);
    va_start(arguments, format);
    if (n >= 0 && (size_t)n < sizeof r->text)
        vsnprintf(r->text + n, sizeof r->text - (size_t)n, format, arguments);
    va_end(arguments);
    return r->error = error;
}

static int fail_cut_off(struct hp_reader *r)
{
    if (r->operations == 0)
        return fail(r, HP_E_CUT_OFF, "cut off at byte %" PRIu64 ", before the first operation; record it again", r->after);
    return fail(r, HP_E_CUT_OFF, "cut off at byte %" PRIu64 "; whole up to event %" PRIu64 " (byte %" PRIu64
                "); record it again, or take that part: heaplay slice --ops :%" PRIu64 " %s -o PART.hpt", r->after, r->events,
                r->position, r->operations, r->path);
}

static int fail_corrupt(struct hp_reader *r, const char *what)
{
    return fail(r, HP_E_CORRUPT, "corrupt at byte %" PRIu64 " (after event %" PRIu64 "): %s; get a good copy of the file",
                r->position, r->events, what);
}

/* 1: all bytes are there; 0: the file ended before or within them; HP_E_IO. */
static int take(struct hp_reader *r, void *data, size_t size)
{
    size_t n = fread(data, 1, size, r->file);

    r->after += n;
    if (n < size && ferror(r->file))
        return fail(r, HP_E_IO, "cannot read at byte %" PRIu64 ": %s", r->after, strerror(errno));
    return n == size;
}

/* Compares a frame header with what may come now, before anything is allocated for it. */
static const char *frame_fault(const struct hp_reader *r)
{
    const struct hp_frame *f = &r->frame;

    if (f->tag != HP_TAG_META && f->tag != HP_TAG_EVENTS && f->tag != HP_TAG_SITES && f->tag != HP_TAG_TRAILER)
        return "unknown tag of a frame";
    if ((f->tag == HP_TAG_META) != (r->meta.command == NULL))
        return "frame out of place";
    if (f->stored_bytes > (f->tag == HP_TAG_EVENTS || f->tag == HP_TAG_SITES ? HP_STORED_MAX : HP_META_MAX))
        return "length of a frame beyond its bound";
    if (f->tag == HP_TAG_EVENTS ? f->events == 0 || f->events > HP_BLOCK_EVENTS : f->events != 0)
        return "number of events beyond its bound";
    if (f->first_event != r->next_event)
        return "frame missing or out of order";
    return NULL;
}

/* Reads and checks one whole frame into r->frame and r->stored: 1, or an error. */
static int take_frame(struct hp_reader *r)
{
    unsigned char header[HP_FRAME_SIZE];
    const char *fault;
    int got;

    r->position = r->after;
    got = take(r, header, sizeof header);
    if (got <= 0)
        return got < 0 ? got : fail_cut_off(r);
    hp_frame_load(&r->frame, header);
    fault = frame_fault(r);
    if (fault)
        return fail_corrupt(r, fault);
    r->stored.size = 0;
    if (hp_bytes_reserve(&r->stored, r->frame.stored_bytes + 1))
        return fail(r, HP_E_IO, "out of memory for a frame of %" PRIu32 " bytes", r->frame.stored_bytes);
    got = take(r, r->stored.data, r->frame.stored_bytes);
    if (got <= 0)
        return got < 0 ? got : fail_cut_off(r);
    r->stored.size = r->frame.stored_bytes;
    if (hp_frame_crc(header, r->stored.data, r->stored.size) != r->frame.crc)
        return fail_corrupt(r, "checksum of a frame is wrong");
    return 1;
}

static bool take_value(const unsigned char *at, size_t size, uint64_t *v)
{
    return hp_get_varint(at, at + size, v) == size && size;
}

/* One field of META; unknown tags are skipped, so that later versions can add some. */
static bool load_field(struct hp_reader *r, uint64_t tag, const unsigned char *at, size_t size)
{
    char **texts[] = { NULL, &r->meta.command, &r->meta.origin, &r->meta.host };
    uint64_t v = 0;

    if (tag >= 1 && tag <= 3) {
        if (*texts[tag])
            return false;
        return (*texts[tag] = hp_utf8_clean((const char *)at, size)) != NULL;
    }
    if (tag >= 4 && tag <= 9 && !take_value(at, size, &v))
        return false;
    if (tag == 4)
        r->meta.start_unix_ns = v;
    else if (tag == 5)
        r->meta.pid = (uint32_t)v;
    else if (tag == 6)
        r->meta.parent_pid = (uint32_t)v;
    else if (tag == 7)
        r->meta.flags = (uint32_t)v;
    else if (tag == 8)
        r->meta.sample = (uint32_t)v;
    else if (tag == 9)
        r->meta.time_step_ns = v;
    return true;
}

static int load_meta(struct hp_reader *r)
{
    const unsigned char *at = r->stored.data, *end = at + r->stored.size;
    uint64_t tag, size;
    size_t n;

    while (at < end) {
        if (!(n = hp_get_varint(at, end, &tag)) || !(at += n, n = hp_get_varint(at, end, &size)))
            return fail_corrupt(r, "malformed field in META");
        at += n;
        if (size > (size_t)(end - at) || !load_field(r, tag, at, size))
            return fail_corrupt(r, "malformed field in META");
        at += size;
    }
    if (!r->meta.command || !r->meta.origin || !r->meta.host)
        return fail_corrupt(r, "META lacks command, origin or host");
    return 0;
}

static int load_sites(struct hp_reader *r)
{
    const unsigned char *at = r->stored.data, *end = at + r->stored.size;
    uint64_t size;
    size_t n = hp_get_varint(at, end, &size);

    if (!n || size > HP_SITES_MAX || r->sites)
        return fail_corrupt(r, "table of call sites malformed, or a second one");
    r->sites = malloc(size + 1);
    if (!r->sites)
        return fail(r, HP_E_IO, "out of memory for %" PRIu64 " bytes of call sites", size);
    if (ZSTD_decompress(r->sites, size, at + n, (size_t)(end - at) - n) != size)
        return fail_corrupt(r, "table of call sites malformed");
    r->sites[size] = '\0';
    return 1;
}

static int load_trailer(struct hp_reader *r)
{
    struct hp_trailer *t = &r->trailer;
    uint64_t status = 0, *values[] = { &t->events, &t->allocations, &t->frees, &t->threads, &t->lost_events,
                                       &t->inversions, &t->end_ns, &status };
    const unsigned char *at = r->stored.data, *end = at + r->stored.size;

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        size_t n = hp_get_varint(at, end, values[i]);
        if (!n)
            return fail_corrupt(r, "malformed trailer");
        at += n;
    }
    t->exit_status = (int32_t)(uint32_t)status;
    if (at != end || status > UINT32_MAX || t->events != r->events)
        return fail_corrupt(r, "the trailer contradicts the events");
    if (fgetc(r->file) != EOF) {
        r->position = r->after;
        return fail_corrupt(r, "bytes after the trailer");
    }
    r->ended = true;
    return 0;
}

static int start(struct hp_reader *r)
{
    unsigned char preamble[HP_PREAMBLE_SIZE] = { 0 };
    uint32_t version;
    int got = take(r, preamble, sizeof preamble);

    if (got < 0)
        return got;
    if (r->after == 0)
        return fail(r, HP_E_NOT_A_TRACE, "the file is empty; record or import a trace first");
    if (memcmp(preamble, HP_MAGIC, r->after < HP_MAGIC_SIZE ? r->after : HP_MAGIC_SIZE))
        return fail(r, HP_E_NOT_A_TRACE,
                    "not a .hpt trace (wrong first bytes); 'heaplay import' reads the formats of other tools");
    if (!got)
        return fail_cut_off(r);
    version = hp_get_u32(preamble + HP_MAGIC_SIZE);
    if (version > HP_FORMAT_VERSION)
        return fail(r, HP_E_VERSION, "format version %" PRIu32 " at byte %u, this heaplay reads up to %u; use a newer one",
                    version, HP_MAGIC_SIZE, HP_FORMAT_VERSION);
    r->position = HP_MAGIC_SIZE;
    if (version == 0)
        return fail_corrupt(r, "version 0 does not exist");
    if (!(r->decoder = hp_decoder_new()))
        return fail(r, HP_E_IO, "out of memory for the reader");
    got = take_frame(r);
    return got < 0 ? got : load_meta(r);
}

hp_reader *hp_reader_open(const char *path, int *error_code, char *error, size_t error_size)
{
    struct hp_reader *r = calloc(1, sizeof *r);

    if (!r || !(r->path = strdup(path))) {
        free(r);
        snprintf(error, error_size, "%s: out of memory for the reader", path);
        *error_code = HP_E_IO;
        return NULL;
    }
    r->next_id = 1;
    r->owns_file = strcmp(path, "-") != 0;
    r->file = r->owns_file ? fopen(path, "rb") : stdin;
    if (!r->file)
        fail(r, HP_E_IO, "cannot open: %s", strerror(errno));
    else
        start(r);
    *error_code = r->error;
    if (r->error) {
        snprintf(error, error_size, "%s", r->text);
        hp_reader_close(r);
        return NULL;
    }
    return r;
}

/* Moves on to the next frame: 1 events follow, 0 end, or an error. */
static int next_frame(struct hp_reader *r)
{
    struct hp_block_start begin = { r->next_id, r->meta.flags };
    int got = take_frame(r);

    if (got < 0)
        return got;
    while (r->frame.tag == HP_TAG_SITES)
        if ((got = load_sites(r)) < 0 || (got = take_frame(r)) < 0)
            return got;
    if (r->frame.tag == HP_TAG_TRAILER)
        return load_trailer(r);
    got = hp_decoder_begin(r->decoder, r->stored.data, r->stored.size, r->frame.events, &begin);
    if (got == HP_E_IO)
        return fail(r, HP_E_IO, "out of memory for a frame of %" PRIu32 " events", r->frame.events);
    if (got < 0)
        return fail_corrupt(r, "columns of a frame are malformed");
    r->next_event += r->frame.events;
    r->in_frame = true;
    return 1;
}

int hp_reader_next(hp_reader *r, struct hp_event *event)
{
    int got;

    if (r->error || r->ended)
        return r->error;
    for (;;) {
        if (!r->in_frame && (got = next_frame(r)) <= 0)
            return got;
        got = hp_decoder_next(r->decoder, event);
        if (got == 1 && event->time_ns >= r->time_ns) {
            r->time_ns = event->time_ns;
            r->events++;
            r->operations += event->kind < HP_THREAD_START;
            return 1;
        }
        if (got != 0)
            return fail_corrupt(r, got == 1 ? "time decreases" : "columns of a frame are malformed");
        r->next_id = hp_decoder_next_id(r->decoder);
        r->in_frame = false;
    }
}

const struct hp_meta *hp_reader_meta(const hp_reader *r)
{
    return &r->meta;
}

const struct hp_trailer *hp_reader_trailer(const hp_reader *r)
{
    return r->ended ? &r->trailer : NULL;
}

const char *hp_reader_sites(const hp_reader *r)
{
    return r->sites;
}

const char *hp_reader_error(const hp_reader *r)
{
    return r->text;
}

uint64_t hp_reader_position(const hp_reader *r)
{
    return r->position;
}

void hp_reader_close(hp_reader *r)
{
    if (!r)
        return;
    if (r->owns_file && r->file)
        fclose(r->file);
    hp_decoder_free(r->decoder);
    hp_bytes_free(&r->stored);
    free(r->meta.command);
    free(r->meta.origin);
    free(r->meta.host);
    free(r->sites);
    free(r->path);
    free(r);
}
