/* codec.h - turns up to HP_BLOCK_EVENTS events into the stored bytes of one EVTS frame, and back.
 * Known to writer and reader only. */
#ifndef HP_CODEC_H
#define HP_CODEC_H

#include "trace/format.h"
#include "trace/trace.h"

/* Columns of a frame, in the order in which they are stored. NUMBER columns come in pairs: code bytes, extra bytes. */
enum hp_column {
    HP_COL_HEAD = 0,        /* varints: next id, time, shift, then the dictionary of sizes */
    HP_COL_OP,              /* a byte an event: kind and three flags */
    HP_COL_THREAD,          /* varint at each change of thread */
    HP_COL_SIZE,            /* a byte for each size: place in the dictionary, or HP_SIZE_ESCAPE */
    HP_COL_SIZE_CODE, HP_COL_SIZE_EXTRA,
    HP_COL_OLD_CODE, HP_COL_OLD_EXTRA,
    HP_COL_TIME_CODE, HP_COL_TIME_EXTRA,
    HP_COL_COUNT_CODE, HP_COL_COUNT_EXTRA,
    HP_COL_ALIGN,           /* a byte: 0 for 0, else 1 + log2 */
    HP_COL_RESIDENT_CODE, HP_COL_RESIDENT_EXTRA,
    HP_COLUMNS
};

#define HP_OP_KIND      31u         /* mask of the kind in an op byte */
#define HP_OP_NONE      32u         /* nothing was made: the call failed, or realloc freed */
#define HP_OP_NULL      64u         /* the old block is NULL */
#define HP_OP_SWITCH    128u        /* another thread than the event before */
#define HP_SIZE_ESCAPE  255u
#define HP_DICT_MAX     255u
#define HP_OLD_RECENT   96u         /* codes below: distance - 1 back from the newest object */
#define HP_OLD_NEAR     160u        /* codes from HP_OLD_RECENT to here: zigzag difference to the old object before */
#define HP_OLD_CONTEXTS 64u         /* "the old object before" is kept per thread modulo this */

struct hp_bytes {
    unsigned char *data;
    size_t size, room;
};
int  hp_bytes_reserve(struct hp_bytes *bytes, size_t more);     /* 0 or HP_E_IO: out of memory */
void hp_bytes_free(struct hp_bytes *bytes);

/* What an encoder needs to know about the events before the frame. */
struct hp_block_start {
    uint64_t next_id;       /* id that the next allocation gets */
    uint32_t flags;         /* HP_HAS_* of the trace */
};

struct hp_encoder;
struct hp_encoder *hp_encoder_new(void);
void hp_encoder_free(struct hp_encoder *encoder);
/* Returns 0 and sets *out (valid until the next call), or HP_E_IO when out of memory. The events must be valid. */
int  hp_encoder_run(struct hp_encoder *encoder, const struct hp_event *events, size_t count,
                    const struct hp_block_start *start, const struct hp_bytes **out);

struct hp_decoder;
struct hp_decoder *hp_decoder_new(void);
void hp_decoder_free(struct hp_decoder *decoder);
/* Takes the stored bytes of a frame of `events` events: 0, HP_E_CORRUPT or HP_E_IO. */
int  hp_decoder_begin(struct hp_decoder *decoder, const unsigned char *stored, size_t size, uint32_t events,
                      const struct hp_block_start *start);
/* 1 with an event, 0 at the end of a frame that was consumed entirely, HP_E_CORRUPT; *next_id follows along. */
int  hp_decoder_next(struct hp_decoder *decoder, struct hp_event *event);
uint64_t hp_decoder_next_id(const struct hp_decoder *decoder);

#endif
