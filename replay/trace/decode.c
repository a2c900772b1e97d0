/* decode.c - unpacks the stored bytes of one frame into events: encode.c backwards. Called by reader.c only.
 *
 * The bytes come from outside. Their checksum was right, but whoever made them may be hostile or wrong, so each take
 * checks what it takes, and a frame counts as read only when every column was consumed to its end.
 */
#include "trace/codec.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

struct column {
    struct hp_bytes bytes;
    size_t at;
};

struct hp_decoder {
    ZSTD_DCtx *zstd;
    struct column column[HP_COLUMNS];
    uint64_t dictionary[HP_DICT_MAX];
    uint32_t dictionary_count;
    uint64_t old_before[HP_OLD_CONTEXTS];
    uint64_t next_id, time;
    uint64_t shift;
    uint32_t thread, left, flags;
    bool bad;                           /* some take failed since hp_decoder_begin */
};

struct hp_decoder *hp_decoder_new(void)
{
    struct hp_decoder *d = calloc(1, sizeof *d);

    if (d && !(d->zstd = ZSTD_createDCtx())) {
        free(d);
        d = NULL;
    }
    return d;
}

void hp_decoder_free(struct hp_decoder *d)
{
    if (!d)
        return;
    ZSTD_freeDCtx(d->zstd);
    for (int i = 0; i < HP_COLUMNS; i++)
        hp_bytes_free(&d->column[i].bytes);
    free(d);
}

static unsigned take_byte(struct hp_decoder *d, enum hp_column which)
{
    struct column *c = &d->column[which];

    if (c->at == c->bytes.size) {
        d->bad = true;
        return 0;
    }
    return c->bytes.data[c->at++];
}

static uint64_t take_varint(struct hp_decoder *d, enum hp_column which)
{
    struct column *c = &d->column[which];
    uint64_t v = 0;
    size_t n = c->at < c->bytes.size ? hp_get_varint(c->bytes.data + c->at, c->bytes.data + c->bytes.size, &v) : 0;

    d->bad |= n == 0;
    c->at += n;
    return v;
}

static uint64_t take_bits(struct hp_decoder *d, enum hp_column which, unsigned bits)
{
    uint64_t v = 0;

    for (unsigned done = 0; done < bits; done += 8)
        v |= (uint64_t)take_byte(d, which) << done;
    d->bad |= v >> bits != 0;
    return v;
}

static uint64_t take_number(struct hp_decoder *d, enum hp_column code)
{
    unsigned byte = take_byte(d, code), lg;

    if (byte < 128)
        return byte;
    lg = (byte - 128) / 2 + 7;
    if (lg > 63) {
        d->bad = true;
        return 0;
    }
    return UINT64_C(1) << lg | (uint64_t)(byte & 1) << (lg - 1) | take_bits(d, code + 1, lg - 1);
}

static uint64_t take_old(struct hp_decoder *d, uint32_t thread)
{
    unsigned code = take_byte(d, HP_COL_OLD_CODE), lg;
    uint64_t *before = &d->old_before[thread % HP_OLD_CONTEXTS], old_id;

    if (code < HP_OLD_RECENT) {
        old_id = d->next_id - code - 1;
    } else if (code < HP_OLD_NEAR) {
        uint64_t zigzag = code - HP_OLD_RECENT;
        old_id = *before + (zigzag >> 1 ^ (0 - (zigzag & 1)));
    } else {
        lg = code - HP_OLD_NEAR + 6;
        if (lg > 63) {
            d->bad = true;
            return 0;
        }
        old_id = d->next_id - (UINT64_C(1) << lg | take_bits(d, HP_COL_OLD_EXTRA, lg));
    }
    d->bad |= old_id == 0 || old_id >= d->next_id;
    *before = old_id;
    return old_id;
}

static uint64_t take_size(struct hp_decoder *d)
{
    unsigned code = take_byte(d, HP_COL_SIZE);

    if (code == HP_SIZE_ESCAPE)
        return take_number(d, HP_COL_SIZE_CODE);
    if (code >= d->dictionary_count) {
        d->bad = true;
        return 0;
    }
    return d->dictionary[code];
}

static uint64_t take_alignment(struct hp_decoder *d)
{
    unsigned code = take_byte(d, HP_COL_ALIGN);

    d->bad |= code > 64;
    return code && code <= 64 ? UINT64_C(1) << (code - 1) : 0;
}

/* One column: its two sizes, then its bytes. Returns how much of the frame it took, 0 when it is malformed. */
static size_t load_column(struct hp_decoder *d, struct column *c, const unsigned char *at, const unsigned char *end,
                          size_t bound, int *error)
{
    const unsigned char *begin = at;
    uint64_t size = 0, stored = 0;
    size_t n;

    c->at = c->bytes.size = 0;
    for (int i = 0; i < 2; i++) {
        n = hp_get_varint(at, end, i ? &stored : &size);
        if (!n)
            return 0;
        at += n;
    }
    if (size > bound || stored > size || stored > (size_t)(end - at))
        return 0;
    if (hp_bytes_reserve(&c->bytes, size + 1)) {
        *error = HP_E_IO;
        return 0;
    }
    if (stored == size)
        memcpy(c->bytes.data, at, size);
    else if (ZSTD_decompressDCtx(d->zstd, c->bytes.data, size, at, stored) != size)
        return 0;
    c->bytes.size = size;
    return (size_t)(at - begin) + stored;
}

static void load_head(struct hp_decoder *d)
{
    uint64_t before = 0, count;

    d->next_id = take_varint(d, HP_COL_HEAD);
    d->time = take_varint(d, HP_COL_HEAD);
    d->shift = take_varint(d, HP_COL_HEAD);
    d->thread = (uint32_t)take_varint(d, HP_COL_HEAD);
    count = take_varint(d, HP_COL_HEAD);
    d->bad |= d->shift > 32 || count > HP_DICT_MAX || d->next_id == 0;
    d->dictionary_count = d->bad ? 0 : (uint32_t)count;
    for (uint32_t i = 0; i < d->dictionary_count; i++)
        d->dictionary[i] = before += take_varint(d, HP_COL_HEAD);
}

int hp_decoder_begin(struct hp_decoder *d, const unsigned char *stored, size_t size, uint32_t events,
                     const struct hp_block_start *start)
{
    const unsigned char *at = stored, *end = stored + size;
    int error = HP_E_CORRUPT;

    memset(d->old_before, 0, sizeof d->old_before);
    d->bad = false;
    d->left = events;
    d->flags = start->flags;
    for (int i = 0; i < HP_COLUMNS; i++) {
        size_t n = load_column(d, &d->column[i], at, end, (size_t)events * 10 + 4096, &error);
        if (!n)
            return error;
        at += n;
    }
    load_head(d);
    return d->bad || at != end || d->next_id != start->next_id ? HP_E_CORRUPT : 0;
}

static bool all_consumed(const struct hp_decoder *d)
{
    for (int i = 0; i < HP_COLUMNS; i++)
        if (d->column[i].at != d->column[i].bytes.size)
            return false;
    return true;
}

int hp_decoder_next(struct hp_decoder *d, struct hp_event *event)
{
    unsigned op, fields;

    if (d->left == 0)
        return d->bad || !all_consumed(d) ? HP_E_CORRUPT : 0;
    d->left--;
    memset(event, 0, sizeof *event);
    op = take_byte(d, HP_COL_OP);
    event->kind = op & HP_OP_KIND;
    fields = hp_kind_fields(event->kind);
    if (op & HP_OP_SWITCH) {
        uint64_t thread = take_varint(d, HP_COL_THREAD);
        d->bad |= thread > UINT32_MAX;
        d->thread = (uint32_t)thread;
    }
    event->thread = d->thread;
    d->bad |= event->kind >= HP_KIND_COUNT;
    if (fields & HP_F_SIZE)
        event->size = take_size(d);
    if (fields & HP_F_COUNT)
        event->count = take_number(d, HP_COL_COUNT_CODE);
    if (fields & HP_F_ALIGN)
        event->alignment = take_alignment(d);
    if ((fields & HP_F_OLD) && !(op & HP_OP_NULL)) {
        event->old_id = take_old(d, event->thread);
        if ((d->flags & HP_HAS_RESIDENT) && hp_kind_frees(event->kind))
            event->resident_bytes = take_number(d, HP_COL_RESIDENT_CODE);
    }
    if ((fields & HP_F_ID) && !(op & HP_OP_NONE))
        event->id = d->next_id++;
    if (d->flags & HP_HAS_TIME) {
        d->time += take_number(d, HP_COL_TIME_CODE);
        event->time_ns = d->time << d->shift;
    }
    return d->bad ? HP_E_CORRUPT : 1;
}

uint64_t hp_decoder_next_id(const struct hp_decoder *d)
{
    return d->next_id;
}
