/* validate.h - reads a trace to its end and says whether its events make sense together. */
#ifndef HP_VALIDATE_H
#define HP_VALIDATE_H

#include "trace/trace.h"

struct hp_validation {
    uint64_t events, operations, live_at_end;
    uint64_t allocations, frees;        /* as the trailer counts: a realloc is both */
    uint64_t made, moved, freed;        /* made - freed: live_at_end; a realloc of a block is moved, neither of the others */
    uint32_t threads;
    uint64_t last_ns;
    char     text[512];     /* the first fault: what, where, what to do; "" when there is none */
};

/* 0 when the trace is whole and consistent, else the hp_error of the first fault. Memory follows the live blocks. */
int hp_validate(hp_reader *reader, struct hp_validation *result);

/* True when the event leaves its old block dead: a free, or a realloc that moved, or one that freed (size 0). */
bool hp_event_consumes(const struct hp_event *event);
/* Bytes that the event asks for; a product that does not fit is UINT64_MAX. */
uint64_t hp_event_bytes(const struct hp_event *event);

#endif
