/* format.c - field table, numbers, checksum and text of the .hpt format; see format.h for the layout.
 * Called by writer, reader, codec, and by everything that prints kinds. Holds no state but a constant table. */
#include "trace/format.h"
#include "trace/trace.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    unsigned fields;
} kinds[HP_KIND_COUNT] = {
    [HP_MALLOC]             = { "malloc",             HP_F_ID | HP_F_SIZE },
    [HP_CALLOC]             = { "calloc",             HP_F_ID | HP_F_SIZE | HP_F_COUNT },
    [HP_REALLOC]            = { "realloc",            HP_F_ID | HP_F_OLD | HP_F_SIZE },
    [HP_REALLOCARRAY]       = { "reallocarray",       HP_F_ID | HP_F_OLD | HP_F_SIZE | HP_F_COUNT },
    [HP_FREE]               = { "free",               HP_F_OLD },
    [HP_FREE_SIZED]         = { "free_sized",         HP_F_OLD | HP_F_SIZE },
    [HP_FREE_ALIGNED_SIZED] = { "free_aligned_sized", HP_F_OLD | HP_F_SIZE | HP_F_ALIGN },
    [HP_ALIGNED_ALLOC]      = { "aligned_alloc",      HP_F_ID | HP_F_SIZE | HP_F_ALIGN },
    [HP_POSIX_MEMALIGN]     = { "posix_memalign",     HP_F_ID | HP_F_SIZE | HP_F_ALIGN },
    [HP_MEMALIGN]           = { "memalign",           HP_F_ID | HP_F_SIZE | HP_F_ALIGN },
    [HP_VALLOC]             = { "valloc",             HP_F_ID | HP_F_SIZE },
    [HP_PVALLOC]            = { "pvalloc",            HP_F_ID | HP_F_SIZE },
    [HP_USABLE_SIZE]        = { "malloc_usable_size", HP_F_OLD | HP_F_SIZE },
    [HP_NEW]                = { "new",                HP_F_ID | HP_F_SIZE },
    [HP_NEW_ALIGNED]        = { "new_aligned",        HP_F_ID | HP_F_SIZE | HP_F_ALIGN },
    [HP_DELETE]             = { "delete",             HP_F_OLD },
    [HP_DELETE_SIZED]       = { "delete_sized",       HP_F_OLD | HP_F_SIZE },
    [HP_DELETE_ALIGNED]     = { "delete_aligned",     HP_F_OLD | HP_F_SIZE | HP_F_ALIGN },
    [HP_THREAD_START]       = { "thread_start",       0 },
    [HP_THREAD_END]         = { "thread_end",         0 },
};

const char *hp_kind_name(unsigned kind)
{
    return kind < HP_KIND_COUNT ? kinds[kind].name : "?";
}

unsigned hp_kind_fields(unsigned kind)
{
    return kind < HP_KIND_COUNT ? kinds[kind].fields : 0;
}

bool hp_kind_allocates(unsigned kind)
{
    return (hp_kind_fields(kind) & HP_F_ID) != 0;
}

bool hp_kind_frees(unsigned kind)
{
    return (hp_kind_fields(kind) & HP_F_OLD) && kind != HP_USABLE_SIZE;
}

void hp_put_u32(unsigned char *at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(v >> 8 * i);
}

void hp_put_u64(unsigned char *at, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        at[i] = (unsigned char)(v >> 8 * i);
}

uint32_t hp_get_u32(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

uint64_t hp_get_u64(const unsigned char *at)
{
    return hp_get_u32(at) | (uint64_t)hp_get_u32(at + 4) << 32;
}

size_t hp_put_varint(unsigned char *at, uint64_t v)
{
    size_t n = 0;

    for (; v >= 128; v >>= 7)
        at[n++] = (unsigned char)(v | 128);
    at[n++] = (unsigned char)v;
    return n;
}

size_t hp_get_varint(const unsigned char *at, const unsigned char *end, uint64_t *v)
{
    uint64_t value = 0;

    for (size_t n = 0; n < 10 && at + n < end; n++) {
        if (n == 9 && at[n] > 1)
            return 0;
        value |= (uint64_t)(at[n] & 127) << 7 * n;
        if (at[n] < 128) {
            *v = value;
            return n + 1;
        }
    }
    return 0;
}

void hp_frame_store(unsigned char out[HP_FRAME_SIZE], const struct hp_frame *frame)
{
    hp_put_u32(out, frame->tag);
    hp_put_u32(out + 4, frame->stored_bytes);
    hp_put_u64(out + 8, frame->first_event);
    hp_put_u32(out + 16, frame->events);
    hp_put_u32(out + 20, frame->crc);
}

void hp_frame_load(struct hp_frame *frame, const unsigned char in[HP_FRAME_SIZE])
{
    frame->tag = hp_get_u32(in);
    frame->stored_bytes = hp_get_u32(in + 4);
    frame->first_event = hp_get_u64(in + 8);
    frame->events = hp_get_u32(in + 16);
    frame->crc = hp_get_u32(in + 20);
}

uint32_t hp_frame_crc(const unsigned char header[HP_FRAME_SIZE], const void *stored, size_t size)
{
    return hp_crc32c(hp_crc32c(0, header, HP_FRAME_SIZE - 4), stored, size);
}

/* CRC-32C (Castagnoli, reflected 0x82f63b78), eight bytes at a time through eight tables. */
static uint32_t crc_table[8][256];
static pthread_once_t crc_once = PTHREAD_ONCE_INIT;

static void crc_prepare(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? c >> 1 ^ 0x82f63b78u : c >> 1;
        crc_table[0][i] = c;
    }
    for (int t = 1; t < 8; t++)
        for (int i = 0; i < 256; i++)
            crc_table[t][i] = crc_table[t - 1][i] >> 8 ^ crc_table[0][crc_table[t - 1][i] & 255];
}

uint32_t hp_crc32c(uint32_t crc, const void *data, size_t size)
{
    const unsigned char *at = data;

    pthread_once(&crc_once, crc_prepare);
    crc = ~crc;
    for (; size >= 8; at += 8, size -= 8) {
        uint32_t low = crc ^ hp_get_u32(at), high = hp_get_u32(at + 4);
        crc = crc_table[7][low & 255] ^ crc_table[6][low >> 8 & 255] ^ crc_table[5][low >> 16 & 255]
            ^ crc_table[4][low >> 24] ^ crc_table[3][high & 255] ^ crc_table[2][high >> 8 & 255]
            ^ crc_table[1][high >> 16 & 255] ^ crc_table[0][high >> 24];
    }
    for (; size; at++, size--)
        crc = crc >> 8 ^ crc_table[0][(crc ^ *at) & 255];
    return ~crc;
}

/* Length of the valid UTF-8 sequence at text, 0 when there is none. */
static size_t utf8_length(const unsigned char *text, size_t size)
{
    static const uint32_t smallest[5] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t n = *text < 0x80 ? 1 : *text >> 5 == 6 ? 2 : *text >> 4 == 14 ? 3 : *text >> 3 == 30 ? 4 : 0;
    uint32_t point;

    if (n == 0 || n > size)
        return 0;
    if (n == 1)
        return 1;
    point = *text & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if (text[i] >> 6 != 2)
            return 0;
        point = point << 6 | (text[i] & 63);
    }
    return point < smallest[n] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000) ? 0 : n;
}

char *hp_utf8_clean(const char *text, size_t size)
{
    char *out = malloc(size * 3 + 1);
    size_t used = 0;

    if (!out)
        return NULL;
    for (size_t i = 0; i < size && text[i];) {
        size_t n = utf8_length((const unsigned char *)text + i, size - i);
        if (n) {
            memcpy(out + used, text + i, n);
        } else {
            memcpy(out + used, "\xef\xbf\xbd", 3);
        }
        used += n ? n : 3;
        i += n ? n : 1;
    }
    out[used] = 0;
    return out;
}
