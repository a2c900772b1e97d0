/* encode.c - packs events into the columns of one frame and compresses each. Called by writer.c only.
 *
 * Each column holds one kind of byte, so that its statistics stay narrow; zstd then does the entropy coding. What
 * makes the columns small: ids of new objects are implicit, a free names its object by the distance back from the
 * newest object or by the difference to the object freed before it, sizes are places in a dictionary of the
 * frame's most frequent ones, times are differences in units of 64 ns.
 */
#include "trace/codec.h"

#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#define ZSTD_LEVEL  4
#define SLOTS       (1u << 17)          /* of the table that counts sizes: twice the events of a frame */

struct size_count {
    uint64_t size;
    uint32_t count, generation;
    uint32_t code;                      /* place in the dictionary, or HP_SIZE_ESCAPE */
};

struct hp_encoder {
    ZSTD_CCtx *zstd;
    struct hp_bytes column[HP_COLUMNS], out;
    struct size_count *slots;
    struct size_count **used;
    uint32_t used_count, generation;
    uint64_t old_before[HP_OLD_CONTEXTS];
    uint64_t next_id;
    uint32_t thread;
};

int hp_bytes_reserve(struct hp_bytes *bytes, size_t more)
{
    size_t room = bytes->room ? bytes->room : 4096;
    unsigned char *data;

    if (bytes->room - bytes->size >= more)
        return 0;
    while (room - bytes->size < more)
        room *= 2;
    data = realloc(bytes->data, room);
    if (!data)
        return HP_E_IO;
    bytes->data = data;
    bytes->room = room;
    return 0;
}

void hp_bytes_free(struct hp_bytes *bytes)
{
    free(bytes->data);
    memset(bytes, 0, sizeof *bytes);
}

struct hp_encoder *hp_encoder_new(void)
{
    struct hp_encoder *e = calloc(1, sizeof *e);

    if (!e)
        return NULL;
    e->zstd = ZSTD_createCCtx();
    e->slots = calloc(SLOTS, sizeof *e->slots);
    e->used = malloc(HP_BLOCK_EVENTS * sizeof *e->used);
    if (!e->zstd || !e->slots || !e->used) {
        hp_encoder_free(e);
        return NULL;
    }
    return e;
}

void hp_encoder_free(struct hp_encoder *e)
{
    if (!e)
        return;
    ZSTD_freeCCtx(e->zstd);
    for (int i = 0; i < HP_COLUMNS; i++)
        hp_bytes_free(&e->column[i]);
    hp_bytes_free(&e->out);
    free(e->slots);
    free(e->used);
    free(e);
}

/* The put functions rely on the room that hp_encoder_run reserved: at most 10 bytes an event and column. */
static void put_byte(struct hp_encoder *e, enum hp_column column, unsigned byte)
{
    e->column[column].data[e->column[column].size++] = (unsigned char)byte;
}

static void put_varint(struct hp_encoder *e, enum hp_column column, uint64_t v)
{
    e->column[column].size += hp_put_varint(e->column[column].data + e->column[column].size, v);
}

static void put_bits(struct hp_encoder *e, enum hp_column column, uint64_t v, unsigned bits)
{
    for (unsigned done = 0; done < bits; done += 8)
        put_byte(e, column, (unsigned)(v >> done) & 255);
}

static unsigned log2_floor(uint64_t v)
{
    return 63u - (unsigned)__builtin_clzll(v);
}

/* Below 128 the code is the number; above, it is the number's two highest bits, and the others follow as extra. */
static void put_number(struct hp_encoder *e, enum hp_column code, uint64_t v)
{
    unsigned lg;

    if (v < 128) {
        put_byte(e, code, (unsigned)v);
        return;
    }
    lg = log2_floor(v);
    put_byte(e, code, 128 + (lg - 7) * 2 + (unsigned)(v >> (lg - 1) & 1));
    put_bits(e, code + 1, v & ((UINT64_C(1) << (lg - 1)) - 1), lg - 1);
}

static void put_old(struct hp_encoder *e, uint64_t old_id, uint32_t thread)
{
    uint64_t distance = e->next_id - old_id, *before = &e->old_before[thread % HP_OLD_CONTEXTS];
    uint64_t difference = old_id - *before, zigzag = difference << 1 ^ (0 - (difference >> 63));
    unsigned lg;

    *before = old_id;
    if (distance <= HP_OLD_RECENT) {
        put_byte(e, HP_COL_OLD_CODE, (unsigned)distance - 1);
    } else if (zigzag < HP_OLD_NEAR - HP_OLD_RECENT) {
        put_byte(e, HP_COL_OLD_CODE, HP_OLD_RECENT + (unsigned)zigzag);
    } else {
        lg = log2_floor(distance);
        put_byte(e, HP_COL_OLD_CODE, HP_OLD_NEAR + lg - 6);
        put_bits(e, HP_COL_OLD_EXTRA, distance & ((UINT64_C(1) << lg) - 1), lg);
    }
}

static struct size_count *slot_of(struct hp_encoder *e, uint64_t size)
{
    uint32_t at = (uint32_t)(size * UINT64_C(0x9e3779b97f4a7c15) >> 40) % SLOTS;

    while (e->slots[at].generation == e->generation && e->slots[at].size != size)
        at = (at + 1) % SLOTS;
    if (e->slots[at].generation != e->generation) {
        e->slots[at] = (struct size_count){ size, 0, e->generation, HP_SIZE_ESCAPE };
        e->used[e->used_count++] = &e->slots[at];
    }
    return &e->slots[at];
}

static int by_count(const void *a, const void *b)
{
    const struct size_count *x = *(struct size_count *const *)a, *y = *(struct size_count *const *)b;

    return x->count != y->count ? (x->count < y->count) - (x->count > y->count)
                                : (x->size > y->size) - (x->size < y->size);
}

static int by_size(const void *a, const void *b)
{
    const struct size_count *x = *(struct size_count *const *)a, *y = *(struct size_count *const *)b;

    return (x->size > y->size) - (x->size < y->size);
}

/* The most frequent sizes that occur at least twice, in ascending order, as differences. */
static void put_dictionary(struct hp_encoder *e, const struct hp_event *events, size_t count)
{
    uint32_t n = 0;
    uint64_t before = 0;

    e->generation++;
    e->used_count = 0;
    for (size_t i = 0; i < count; i++)
        if (hp_kind_fields(events[i].kind) & HP_F_SIZE)
            slot_of(e, events[i].size)->count++;
    qsort(e->used, e->used_count, sizeof *e->used, by_count);
    while (n < e->used_count && n < HP_DICT_MAX && e->used[n]->count > 1)
        n++;
    qsort(e->used, n, sizeof *e->used, by_size);
    put_varint(e, HP_COL_HEAD, n);
    for (uint32_t i = 0; i < n; i++) {
        e->used[i]->code = i;
        put_varint(e, HP_COL_HEAD, e->used[i]->size - before);
        before = e->used[i]->size;
    }
}

static void put_event(struct hp_encoder *e, const struct hp_event *event, uint32_t flags)
{
    unsigned fields = hp_kind_fields(event->kind), op = event->kind;

    op |= (fields & HP_F_ID) && !event->id ? HP_OP_NONE : 0;
    op |= (fields & HP_F_OLD) && !event->old_id ? HP_OP_NULL : 0;
    op |= event->thread != e->thread ? HP_OP_SWITCH : 0;
    put_byte(e, HP_COL_OP, op);
    if (op & HP_OP_SWITCH)
        put_varint(e, HP_COL_THREAD, event->thread);
    e->thread = event->thread;
    if (fields & HP_F_SIZE) {
        uint32_t code = slot_of(e, event->size)->code;
        put_byte(e, HP_COL_SIZE, code);
        if (code == HP_SIZE_ESCAPE)
            put_number(e, HP_COL_SIZE_CODE, event->size);
    }
    if (fields & HP_F_COUNT)
        put_number(e, HP_COL_COUNT_CODE, event->count);
    if (fields & HP_F_ALIGN)
        put_byte(e, HP_COL_ALIGN, event->alignment ? 1 + log2_floor(event->alignment) : 0);
    if (event->old_id) {
        put_old(e, event->old_id, event->thread);
        if ((flags & HP_HAS_RESIDENT) && hp_kind_frees(event->kind))
            put_number(e, HP_COL_RESIDENT_CODE, event->resident_bytes);
    }
    if (event->id)
        e->next_id++;
}

/* Sizes before and after, then the bytes: as they are when zstd does not make them fewer. */
static int put_column(struct hp_encoder *e, const struct hp_bytes *column)
{
    size_t bound = ZSTD_compressBound(column->size), stored;
    unsigned char *at;

    if (hp_bytes_reserve(&e->out, bound + 20))
        return HP_E_IO;
    at = e->out.data + e->out.size + 20;
    stored = column->size ? ZSTD_compressCCtx(e->zstd, at, bound, column->data, column->size, ZSTD_LEVEL) : 0;
    if (ZSTD_isError(stored))
        return HP_E_IO;
    if (stored >= column->size) {
        stored = column->size;
        if (stored)
            memcpy(at, column->data, stored);
    }
    e->out.size += hp_put_varint(e->out.data + e->out.size, column->size);
    e->out.size += hp_put_varint(e->out.data + e->out.size, stored);
    memmove(e->out.data + e->out.size, at, stored);
    e->out.size += stored;
    return 0;
}

int hp_encoder_run(struct hp_encoder *e, const struct hp_event *events, size_t count,
                   const struct hp_block_start *start, const struct hp_bytes **out)
{
    uint64_t time = events[0].time_ns >> HP_TIME_SHIFT;

    e->out.size = 0;
    for (int i = 0; i < HP_COLUMNS; i++) {
        e->column[i].size = 0;
        if (hp_bytes_reserve(&e->column[i], count * 10 + 4096))
            return HP_E_IO;
    }
    memset(e->old_before, 0, sizeof e->old_before);
    e->next_id = start->next_id;
    e->thread = events[0].thread;
    put_varint(e, HP_COL_HEAD, start->next_id);
    put_varint(e, HP_COL_HEAD, time);
    put_varint(e, HP_COL_HEAD, HP_TIME_SHIFT);
    put_varint(e, HP_COL_HEAD, e->thread);
    put_dictionary(e, events, count);
    for (size_t i = 0; i < count; i++) {
        put_event(e, &events[i], start->flags);
        if (start->flags & HP_HAS_TIME) {
            put_number(e, HP_COL_TIME_CODE, (events[i].time_ns >> HP_TIME_SHIFT) - time);
            time = events[i].time_ns >> HP_TIME_SHIFT;
        }
    }
    for (int i = 0; i < HP_COLUMNS; i++)
        if (put_column(e, &e->column[i]))
            return HP_E_IO;
    *out = &e->out;
    return 0;
}
