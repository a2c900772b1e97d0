/* writer.c - writes .hpt files: preamble, META, frames of events as they fill, TRLR. Called by recorder and importers.
 *
 * Every event is checked before it is taken: ids are dense, times do not decrease, fields that a kind does not use
 * are 0. The first error sticks: later calls return it again, and hp_writer_close reports it.
 */
#include "trace/codec.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

struct hp_writer {
    FILE *file;
    bool owns_file;
    char *path;
    struct hp_encoder *encoder;
    struct hp_event *events;
    size_t count;
    uint64_t first_event;               /* events in the frames that are written */
    uint64_t first_id, next_id;         /* next id at the start of the frame, and now */
    uint64_t time_ns;
    uint64_t allocations, frees;
    uint32_t threads;                   /* highest thread number + 1 */
    uint32_t flags;
    int error;
    char text[512];
};

__attribute__((format(printf, 3, 4)))
static int fail(struct hp_writer *w, int error, const char *format, ...)
{
    va_list arguments;

    if (w->error)
        return w->error;
    va_start(arguments, format);
    vsnprintf(w->text, sizeof w->text, format, arguments);
    va_end(arguments);
    return w->error = error;
}

static int put(struct hp_writer *w, const void *data, size_t size)
{
    if (size && fwrite(data, 1, size, w->file) != size)
        return fail(w, HP_E_IO, "%s: cannot write: %s; check the space left", w->path, strerror(errno));
    return 0;
}

static int put_frame(struct hp_writer *w, uint32_t tag, uint32_t events, const void *stored, size_t size)
{
    unsigned char header[HP_FRAME_SIZE];
    struct hp_frame frame = { tag, (uint32_t)size, w->first_event, events, 0 };

    hp_frame_store(header, &frame);
    frame.crc = hp_frame_crc(header, stored, size);
    hp_frame_store(header, &frame);
    if (put(w, header, sizeof header) || put(w, stored, size))
        return w->error;
    if (fflush(w->file))
        return fail(w, HP_E_IO, "%s: cannot write: %s; check the space left", w->path, strerror(errno));
    return 0;
}

/* META: tag (varint), length (varint), bytes; a reader skips tags it does not know. */
static size_t put_text(unsigned char *at, unsigned tag, const char *text)
{
    size_t size = strlen(text), n = hp_put_varint(at, tag);

    n += hp_put_varint(at + n, size);
    memcpy(at + n, text, size);
    return n + size;
}

static size_t put_value(unsigned char *at, unsigned tag, uint64_t v)
{
    at[0] = (unsigned char)tag;
    at[1] = (unsigned char)hp_put_varint(at + 2, v);
    return 2u + at[1];
}

/* Command lines can be longer than a META frame may be: each text is cut at a quarter of it. */
static char *clean_text(const char *text)
{
    return hp_utf8_clean(text ? text : "", text ? strnlen(text, HP_META_MAX / 16) : 0);
}

static int put_meta(struct hp_writer *w, const struct hp_meta *meta)
{
    char *texts[3] = { clean_text(meta->command), clean_text(meta->origin), clean_text(meta->host) };
    unsigned char *buffer = malloc(HP_META_MAX);
    size_t n = 0;
    int error = HP_E_IO;

    if (buffer && texts[0] && texts[1] && texts[2]) {
        for (unsigned i = 0; i < 3; i++)
            n += put_text(buffer + n, i + 1, texts[i]);
        n += put_value(buffer + n, 4, meta->start_unix_ns);
        n += put_value(buffer + n, 5, meta->pid);
        n += put_value(buffer + n, 6, meta->parent_pid);
        n += put_value(buffer + n, 7, meta->flags);
        if (meta->flags & HP_SAMPLED)
            n += put_value(buffer + n, 8, meta->sample);
        if (meta->time_step_ns)
            n += put_value(buffer + n, 9, meta->time_step_ns);
        error = put_frame(w, HP_TAG_META, 0, buffer, n);
    }
    for (int i = 0; i < 3; i++)
        free(texts[i]);
    free(buffer);
    return error;
}

static int start(struct hp_writer *w, const struct hp_meta *meta)
{
    unsigned char preamble[HP_PREAMBLE_SIZE];

    w->encoder = hp_encoder_new();
    w->events = malloc(HP_BLOCK_EVENTS * sizeof *w->events);
    if (!w->encoder || !w->events)
        return fail(w, HP_E_IO, "%s: out of memory for the writer", w->path);
    memcpy(preamble, HP_MAGIC, HP_MAGIC_SIZE);
    hp_put_u32(preamble + HP_MAGIC_SIZE, meta->flags & HP_HAS_SITES ? 2 : 1);
    if (put(w, preamble, sizeof preamble) || put_meta(w, meta))
        return fail(w, HP_E_IO, "%s: out of memory for the writer", w->path);
    return 0;
}

static void release(struct hp_writer *w)
{
    if (w->owns_file && w->file)
        fclose(w->file);
    hp_encoder_free(w->encoder);
    free(w->events);
    free(w->path);
    free(w);
}

hp_writer *hp_writer_open(const char *path, const struct hp_meta *meta, char *error, size_t error_size)
{
    struct hp_writer *w = calloc(1, sizeof *w);

    if (!w || !(w->path = strdup(path))) {
        snprintf(error, error_size, "%s: out of memory for the writer", path);
        free(w);
        return NULL;
    }
    w->next_id = w->first_id = 1;
    w->flags = meta->flags;
    w->owns_file = strcmp(path, "-") != 0;
    w->file = w->owns_file ? fopen(path, "wb") : stdout;
    if (!w->file)
        fail(w, HP_E_IO, "%s: cannot create: %s", path, strerror(errno));
    else
        start(w, meta);
    if (w->error) {
        snprintf(error, error_size, "%s", w->text);
        release(w);
        return NULL;
    }
    return w;
}

int hp_writer_flush(hp_writer *w)
{
    struct hp_block_start begin = { w->first_id, w->flags };
    const struct hp_bytes *stored;

    if (w->error || w->count == 0)
        return w->error;
    if (hp_encoder_run(w->encoder, w->events, w->count, &begin, &stored))
        return fail(w, HP_E_IO, "%s: out of memory for the writer", w->path);
    if (put_frame(w, HP_TAG_EVENTS, (uint32_t)w->count, stored->data, stored->size))
        return w->error;
    w->first_event += w->count;
    w->first_id = w->next_id;
    w->count = 0;
    return 0;
}

static const char *fault_of(const struct hp_writer *w, const struct hp_event *e)
{
    unsigned fields = hp_kind_fields(e->kind);

    if (e->kind >= HP_KIND_COUNT)
        return "unknown kind";
    if (e->id && (!(fields & HP_F_ID) || e->id != w->next_id))
        return "id must be 0 or the next one";
    if (e->old_id && (!(fields & HP_F_OLD) || e->old_id >= w->next_id))
        return "old id must name an object made before";
    if ((e->size && !(fields & HP_F_SIZE)) || (e->count && !(fields & HP_F_COUNT)))
        return "size or count given to a call that has none";
    if (e->alignment && (!(fields & HP_F_ALIGN) || (e->alignment & (e->alignment - 1))))
        return "alignment must be a power of two, and only for calls that have one";
    if (e->thread == UINT32_MAX)
        return "thread number beyond 4294967294";
    if (w->flags & HP_HAS_TIME ? e->time_ns < w->time_ns : e->time_ns != 0)
        return w->flags & HP_HAS_TIME ? "time decreases" : "time in a trace without HP_HAS_TIME";
    if (e->resident_bytes && (!(w->flags & HP_HAS_RESIDENT) || !e->old_id || !hp_kind_frees(e->kind)))
        return "resident bytes without HP_HAS_RESIDENT or without a block that is freed";
    return NULL;
}

int hp_writer_append(hp_writer *w, const struct hp_event *event)
{
    const char *fault;

    if (w->error)
        return w->error;
    fault = fault_of(w, event);
    if (fault)
        return fail(w, HP_E_INVALID, "%s: event %" PRIu64 " (%s, id %" PRIu64 ", old id %" PRIu64 ", size %" PRIu64
                    ") refused: %s", w->path, w->first_event + w->count, hp_kind_name(event->kind), event->id,
                    event->old_id, event->size, fault);
    w->events[w->count++] = *event;
    w->time_ns = event->time_ns;
    w->next_id += event->id != 0;
    w->allocations += event->id != 0;
    w->frees += event->old_id && hp_kind_frees(event->kind);
    if (event->thread >= w->threads)
        w->threads = event->thread + 1;
    return w->count == HP_BLOCK_EVENTS ? hp_writer_flush(w) : 0;
}

const char *hp_writer_error(const hp_writer *w)
{
    return w->text;
}

void hp_writer_count(const hp_writer *w, struct hp_trailer *trailer)
{
    trailer->events = w->first_event + w->count;
    trailer->allocations = w->allocations;
    trailer->frees = w->frees;
    trailer->threads = w->threads;
    trailer->end_ns = w->time_ns;
}

/* Its size (varint), then one zstd frame. */
int hp_writer_sites(hp_writer *w, const char *text)
{
    size_t size = strlen(text), room = ZSTD_compressBound(size), n = 0;
    unsigned char *stored = malloc(10 + room);

    hp_writer_flush(w);
    if (!stored)
        fail(w, HP_E_IO, "%s: out of memory for the call sites", w->path);
    if (!(w->flags & HP_HAS_SITES) || size > HP_SITES_MAX)
        fail(w, HP_E_INVALID, "%s: %zu bytes of call sites where %u are allowed; record fewer frames of each", w->path, size,
             w->flags & HP_HAS_SITES ? HP_SITES_MAX : 0);
    if (!w->error) {
        size_t head = hp_put_varint(stored, size);

        n = ZSTD_compress(stored + head, room, text, size, ZSTD_CLEVEL_DEFAULT);
        if (ZSTD_isError(n) || head + n > HP_STORED_MAX)
            fail(w, HP_E_INVALID, "%s: the call sites do not fit into a frame; record fewer frames of each", w->path);
        else
            put_frame(w, HP_TAG_SITES, 0, stored, head + n);
    }
    free(stored);
    return w->error;
}

int hp_writer_close(hp_writer *w, const struct hp_trailer *trailer)
{
    unsigned char stored[10 * 8];
    size_t n = 0;
    int error;

    hp_writer_flush(w);
    if (!w->error && trailer) {
        const uint64_t values[] = { trailer->events, trailer->allocations, trailer->frees, trailer->threads,
                                    trailer->lost_events, trailer->inversions, trailer->end_ns,
                                    (uint32_t)trailer->exit_status };
        if (trailer->events != w->first_event)
            fail(w, HP_E_INVALID, "%s: the trailer counts %" PRIu64 " events, %" PRIu64 " were written", w->path,
                 trailer->events, w->first_event);
        for (size_t i = 0; i < sizeof values / sizeof *values; i++)
            n += hp_put_varint(stored + n, values[i]);
        if (!w->error)
            put_frame(w, HP_TAG_TRAILER, 0, stored, n);
    }
    if (w->owns_file) {
        if (fclose(w->file) && !w->error)
            w->error = HP_E_IO;
        w->file = NULL;
    }
    error = w->error;
    release(w);
    return error;
}
