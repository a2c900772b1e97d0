/* format.h - the constants of the .hpt format and its smallest pieces: field table, numbers, checksum.
 *
 * Owned by trace/: only writer, reader, codec and the tests of the format include it. traces/FORMAT.md describes the
 * same in words; replay/tests/test_format.c holds the two together.
 *
 *   file   = magic (8) version (4) frame(META) frame(EVTS)* frame(TRLR)
 *   frame  = tag (4) stored_bytes (4) first_event (8) events (4) crc32c (4) | stored bytes
 *
 * Invariants
 *   1 All integers outside columns are little-endian and fixed in width.
 *   2 A frame's checksum covers its header up to the checksum, then its stored bytes.
 *   3 A frame of events can be decoded alone: nothing carries over from the frame before it.
 *   4 No length that was read from a file is allocated before it was compared with a bound from this header.
 */
#ifndef HP_FORMAT_H
#define HP_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HP_MAGIC            "\x89HPT\r\n\x1a\n"
#define HP_MAGIC_SIZE       8u
#define HP_FORMAT_VERSION   2u                  /* that is read; written is 1, and 2 with call sites */
#define HP_PREAMBLE_SIZE    12u                 /* magic and version */
#define HP_FRAME_SIZE       24u                 /* header of a frame */
#define HP_BLOCK_EVENTS     65536u              /* most events in a frame */
#define HP_STORED_MAX       (8u << 20)          /* most stored bytes in a frame */
#define HP_META_MAX         (1u << 20)          /* most stored bytes of the META frame */
#define HP_SITES_MAX        (64u << 20)         /* most bytes of the table of call sites, unpacked */
#define HP_TIME_SHIFT       6u                  /* times are kept in units of 1 << 6 = 64 ns */

#define HP_TAG(a, b, c, d)  ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)
#define HP_TAG_META         HP_TAG('M', 'E', 'T', 'A')
#define HP_TAG_EVENTS       HP_TAG('E', 'V', 'T', 'S')
#define HP_TAG_SITES        HP_TAG('S', 'I', 'T', 'E')
#define HP_TAG_TRAILER      HP_TAG('T', 'R', 'L', 'R')

/* Which fields of hp_event a kind uses. */
#define HP_F_ID     1u
#define HP_F_OLD    2u
#define HP_F_SIZE   4u
#define HP_F_COUNT  8u
#define HP_F_ALIGN  16u

unsigned hp_kind_fields(unsigned kind);

/* One frame header, decoded. */
struct hp_frame {
    uint32_t tag, stored_bytes;
    uint64_t first_event;
    uint32_t events, crc;
};
void hp_frame_store(unsigned char out[HP_FRAME_SIZE], const struct hp_frame *frame);
void hp_frame_load(struct hp_frame *frame, const unsigned char in[HP_FRAME_SIZE]);
uint32_t hp_frame_crc(const unsigned char header[HP_FRAME_SIZE], const void *stored, size_t size);

uint32_t hp_crc32c(uint32_t crc, const void *data, size_t size);

/* Fixed-width little-endian and variable-length (7 bits a byte, low group first) numbers. */
void     hp_put_u32(unsigned char *at, uint32_t v);
void     hp_put_u64(unsigned char *at, uint64_t v);
uint32_t hp_get_u32(const unsigned char *at);
uint64_t hp_get_u64(const unsigned char *at);
size_t   hp_put_varint(unsigned char *at, uint64_t v);                              /* writes at most 10 bytes */
size_t   hp_get_varint(const unsigned char *at, const unsigned char *end, uint64_t *v);   /* 0: malformed */

/* Returns a new string in which every byte that is not part of valid UTF-8 became U+FFFD; NULL in, "" out. */
char    *hp_utf8_clean(const char *text, size_t size);

#endif
