/* resolve.h - raw records of one process, in time order, become the events of one trace.
 *
 * Owns the process's table of live blocks and its writer. The collector decides the order; this decides the meaning:
 * addresses become object ids, the two ends of a realloc one event, an address that is handed out while its block is
 * still live an inversion that waits for the free.
 */
#ifndef HP_RECORD_RESOLVE_H
#define HP_RECORD_RESOLVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record/shared.h"
#include "record/sites.h"
#include "record/table.h"
#include "trace/trace.h"

enum { HP_NESTED_REALLOCS = 4 };

enum { HP_CHUNK_SLOTS = 8192 };

/* One record, put together from its slots (shared.h). */
struct hp_record {
    uint64_t stamp, a, b, c;
};

/* Slots copied out of a ring, waiting to be merged. The drain appends, the merge consumes from the other end. */
struct hp_chunk {
    struct hp_chunk *next;
    struct hp_slot slots[HP_CHUNK_SLOTS];
};

/* As many chunks as a huge page holds. */
struct hp_slab {
    struct hp_slab *next;
    unsigned used;
    struct hp_chunk chunks[15];
};
_Static_assert(sizeof(struct hp_slab) <= 2 << 20, "a slab is a huge page");

/* One thread's ring, as seen by the collector. The drain writes `checked` and what follows it, under the lock. */
struct hp_stream {
    struct hp_ring *ring;
    struct hp_slot *slots;
    struct hp_process *process;
    struct hp_chunk *head;      /* holds the slot at `position`, or the one before it */
    uint64_t begin;             /* position of the first slot of this stream */
    uint64_t position;          /* next slot to merge */
    uint64_t ready;             /* slots before it may be merged: `checked` at the last look */
    uint64_t checked;           /* slots before it are committed and copied */
    struct hp_chunk *tail;
    uint64_t safe_until;        /* ticks: no slot with an earlier stamp will still come */
    uint64_t last;              /* ticks: newest stamp consumed */
    uint64_t parked_address;    /* the next slot hands out this live address: wait for its free */
    uint64_t parked_since;      /* stamp of that slot */
    uint32_t thread;
    bool parked;
    bool at_boundary;           /* all of `head` is merged */
    bool ended;                 /* the ring was CLOSED, or its thread is gone: free it once it is drained */
    bool end_written;
    unsigned depth;             /* reallocs begun */
    uint16_t site;              /* of the next allocation */
    struct hp_block moving[HP_NESTED_REALLOCS];
};

struct hp_collector;

/* Counts of one trace. */
struct hp_counts {
    uint64_t events, allocations, frees, threads;
    uint64_t operations;        /* events without the starts and ends of threads */
    uint64_t lost;
    uint64_t inversions;        /* repaired by waiting for the free */
    uint64_t unknown_frees;     /* of blocks from before the recording, or from the loader: left out */
    uint64_t implied_frees;     /* a block's address came back though its free was never seen: written as freed */
    uint64_t inherited;         /* blocks re-established after a fork */
};

/* One process image, one trace. */
struct hp_process {
    struct hp_process *next;
    struct hp_collector *collector;
    struct hp_process_slot *slot;
    uint64_t serial, parent_serial, fork_number, start_ticks, adopted_ticks;
    uint32_t pid, parent_pid;
    int pidfd;
    unsigned parked;            /* streams */
    bool first;                 /* of the recording: the program that was started */
    bool gone;                  /* dead, or replaced by exec: nothing more will come */
    uint64_t gone_at_scan;      /* a later scan has seen all of its rings */
    bool waits_for_parent;      /* for the snapshot of a fork */
    bool write_failed;
    int32_t exit_status;
    struct hp_table live;
    struct hp_sites *sites;     /* NULL: none are recorded */
    uint64_t next_id;
    uint64_t last_ns;
    double ns_per_tick;
    uint32_t flags;             /* HP_HAS_* */
    uint64_t first_start_ns;
    bool start_held;            /* THREAD_START of thread 0 waits for the first other event: no empty traces of children */
    hp_writer *writer;
    char *path;
    char error[512];
    struct hp_counts counts;
    bool (*open_writer)(struct hp_process *);
    struct hp_block *inherited; /* sorted by age; written as allocations when the writer opens */
    size_t inherited_count;
};

enum hp_resolved { HP_RESOLVED, HP_PARKED };

/* Takes one raw record; `patient` false turns an inversion that cannot be repaired into an implied free. */
enum hp_resolved hp_resolve_record(struct hp_stream *stream, const struct hp_record *record, bool patient, uint64_t *freed);
void hp_resolve_thread_end(struct hp_stream *stream);
bool hp_resolve_open(struct hp_process *process);
int  hp_resolve_by_age(const void *a, const void *b);

#endif
