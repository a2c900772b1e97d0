/* compile_order.h - streams of operations and what orders them across threads. Owned and called by compile.c.
 *
 * A position is an index in a thread's stream of the current section. known[t][u] = n says: whatever thread t does next happens after the
 * first n operations of thread u. An access to a block last touched by another thread emits a WAIT only when that
 * is not yet known (transitive reduction), and learns all that the other thread knew at that position.
 *
 * Epochs (stretches of epoch_calls calls in recorded order) bound how far threads may run ahead: no thread enters
 * epoch e before everybody has left epoch e - 2. Without them a producer would outrun its consumer and the replay
 * would hold more memory than the program ever did.
 *
 * A section ends for all threads at once: what is in an earlier one has happened, and nothing of it is remembered. Memory
 * follows the longest section and the blocks that live, not the trace.
 */
#ifndef HP_COMPILE_ORDER_H
#define HP_COMPILE_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "engine/plan.h"

struct hp_snapshot {        /* what a thread knew from `position` on */
    uint32_t  position;
    uint32_t  threads;          /* entries of known; the others are 0 */
    uint32_t *known;
};

struct hp_order_thread {
    struct hp_op *op;               /* of this section */
    size_t        count, room;
    uint64_t      calls;            /* of this section */
    uint64_t      before;           /* operations in earlier sections */
    uint32_t     *known;            /* [HP_MAX_THREADS], allocated with the first operation */
    struct hp_snapshot *snapshot;   /* ring, newest at (first + used - 1) */
    size_t        snapshot_first, snapshot_used, snapshot_room;
    uint64_t      epoch;
    bool          started;          /* in this section */
    struct { uint64_t epoch, position; } left[4];   /* positions at which it left its last epochs */
    uint32_t     *free_slot;        /* slots this thread may take again, last in first out */
    size_t        free_used, free_room;
    uint32_t      line_next, line_end;  /* rest of its newest cache line of slots */
};

struct hp_shared_slot {
    uint32_t slot;
    uint64_t free_from;             /* the epoch in which everybody has left the one in which it was freed */
};

struct hp_order {
    struct hp_order_thread thread[HP_MAX_THREADS];
    uint32_t  threads;              /* streams in use: highest index + 1 */
    uint32_t  slots;
    uint32_t  section;              /* number of the current one */
    uint64_t  section_begin;        /* number of its first call */
    uint64_t  operations;           /* in it, in all streams */
    uint64_t  epoch_calls;          /* 0: no epochs */
    uint64_t  epochs;               /* of this section */
    uint32_t *participants;         /* [epochs] */
    size_t    participants_room;
    struct hp_shared_slot *shared;   /* slots freed by another thread than their home, FIFO */
    size_t    shared_first, shared_used, shared_room;
    uint64_t  edges, edges_dropped;
};

void hp_order_init(struct hp_order *o, uint64_t epoch_calls);
void hp_order_release(struct hp_order *o);
/* All return false when memory runs out. */
bool hp_order_enter(struct hp_order *o, uint32_t thread, uint64_t call);    /* before each call */
/* Both in the current section. */
bool hp_order_after(struct hp_order *o, uint32_t thread, uint32_t other, uint32_t position);
bool hp_order_append(struct hp_order *o, uint32_t thread, struct hp_op op);
bool hp_order_end_section(struct hp_order *o);                  /* streams and participants are complete */
void hp_order_next_section(struct hp_order *o, uint64_t call);  /* they have been written and are let go */
uint32_t hp_order_take_slot(struct hp_order *o, uint32_t thread);           /* 0: slot numbers are used up */
bool hp_order_give_slot(struct hp_order *o, uint32_t thread, uint32_t home, uint32_t slot);

#endif
