/* plan.h - the compiled trace (plan) and the job page: all that heaplay and its worker say to each other.
 *
 * trace/compile.c writes a plan into a memfd; the worker maps it read-only and executes it. The job page is a second
 * memfd: the parent fills the upper part before exec, the worker the lower part before it exits.
 *
 * Invariants
 *  1. An operation is one struct hp_op, 16 bytes; nothing else of the plan is read in the loop.
 *  2. Slot 0 holds NULL for ever: free(NULL), realloc(NULL) need no case of their own.
 *  3. Two accesses to a slot are ordered by the stream or by WAIT and EPOCH operations, in any interleaving.
 *  4. WAIT and EPOCH_WAIT name only what comes earlier in recorded order: a plan cannot deadlock.
 */
#ifndef HP_PLAN_H
#define HP_PLAN_H

#include <stdint.h>
#include "allocs/backend.h"
#include "measure/resident.h"

enum hp_op_code {
    OP_MALLOC = 0, OP_CALLOC, OP_CALLOC_ONE, OP_REALLOC, OP_REALLOC_NEW, OP_REALLOC_FREE, OP_REALLOCARRAY,
    OP_FREE, OP_FREE_SIZED, OP_FREE_ALIGNED_SIZED, OP_ALIGNED_ALLOC, OP_POSIX_MEMALIGN, OP_MEMALIGN, OP_VALLOC,
    OP_PVALLOC, OP_USABLE_SIZE, OP_NEW, OP_NEW_ALIGNED, OP_DELETE, OP_DELETE_SIZED, OP_DELETE_ALIGNED,
    OP_CODE_CALLS,                      /* codes below are calls, codes from here on belong to the harness */
    OP_WAIT = OP_CODE_CALLS,            /* until thread `slot` has published at least `size` */
    OP_EPOCH_DONE,                      /* this thread has no more operations in epoch `size` */
    OP_EPOCH_WAIT,                      /* until all epochs up to and with `size` are done */
    OP_PACE,                            /* not before `size` ns (already scaled) after the start */
    OP_CODE_COUNT,
    OP_PUBLISH = 0x80                   /* flag: publish this operation's position afterwards */
};

/* slot: block made, consumed or looked at. aux: log2 of the alignment. size: bytes asked for.
 * OP_CALLOC and OP_REALLOCARRAY: element size in the low half of `size`, count in the high half.
 * OP_REALLOC*: bytes of the old block, rounded down to hi << aux, so that only the new part is touched. */
struct hp_op {
    uint32_t slot;
    uint8_t  code;
    uint8_t  aux;
    uint16_t hi;
    uint64_t size;
};
_Static_assert(sizeof(struct hp_op) == 16, "an operation is 16 bytes");

#define HP_PLAN_MAGIC    0x6e616c50u    /* "Plan" */
#define HP_PLAN_VERSION  1u
#define HP_MAX_THREADS   1024u
#define HP_MAX_POINTS    1024u          /* of the memory curve */
#define HP_MAX_LOOPS     1000u

struct hp_stream {
    uint64_t first;         /* byte offset of its first hp_op in the plan */
    uint64_t count;         /* hp_op in it, those of the harness included */
    uint64_t calls;         /* calls in it */
};

/* At offset 0 of the plan; streams follow page-aligned. */
struct hp_plan {
    uint32_t magic, version;
    uint32_t threads;       /* streams; 1: everything in recorded order */
    uint32_t slots;         /* size of the slot table, slot 0 included */
    uint64_t bytes;         /* of the whole plan */
    uint64_t calls;         /* in all streams */
    uint64_t requested_total;   /* bytes that all calls together ask for, 16-byte rounded (for the bump allocator) */
    uint64_t largest_bytes; /* largest single block */
    uint64_t live_max;      /* most blocks live at once */
    uint64_t peak_live_bytes;
    uint64_t peak_call;     /* number of calls done, in recorded order, when live bytes peaked first */
    uint64_t epoch_calls;   /* window: an epoch's length in recorded calls; 0: no epochs */
    uint64_t epochs;
    uint64_t epoch_table;   /* byte offset of uint32_t participants[epochs] */
    uint64_t edges, edges_dropped;      /* cross-thread waits emitted; those found redundant */
    uint64_t curve_step;    /* calls between two points of the curve */
    uint32_t points;
    uint32_t paced;         /* OP_PACE is present */
    uint64_t live_bytes[HP_MAX_POINTS];  /* requested bytes live after (i + 1) * curve_step calls, recorded order */
    struct hp_stream drain; /* frees every survivor, oldest first */
    struct hp_stream stream[HP_MAX_THREADS];
};

enum hp_mode    { HP_MODE_TIMED = 0, HP_MODE_ACCOUNT, HP_MODE_VERIFY, HP_MODE_LATENCY, HP_MODE_IDENTITY };
enum hp_touch   { HP_TOUCH_NONE = 0, HP_TOUCH_FIRST, HP_TOUCH_PAGE, HP_TOUCH_LINE, HP_TOUCH_ALL, HP_TOUCH_COUNT };

enum hp_worker_state {
    HP_WORKER_STARTED = 0,  /* what the parent leaves there: the worker never got going */
    HP_WORKER_OK,
    HP_WORKER_IDENTITY,     /* the calls would not have gone to the named library */
    HP_WORKER_WRONG,        /* the allocator broke its contract: NULL, overlap, ... */
    HP_WORKER_SYSTEM,       /* the system refused something the harness needs */
};

#define HP_DRAIN_POINTS 5   /* RSS after drain at 0, 0.1, 1 and 5 s, then after malloc_trim */

struct hp_job {
    /* filled by the parent */
    uint32_t magic, mode, backend, touch;
    uint32_t loops, stack_offset, carry_survivors, drain_waits;
    uint64_t touch_lines;
    uint64_t latency_seed, latency_stride;  /* one call in stride on average, by a hash of seed and position */
    char     library[4096];                 /* real path of the library that must answer; empty: the C library */

    /* filled by the worker */
    uint32_t state, has_trim;
    char     message[512];
    char     substituted[512];              /* calls that the library lacks and what stands in for them */
    char     answered_by[4096];             /* path of the object that malloc came from */
    uint64_t pass_ns[HP_MAX_LOOPS];
    uint64_t user_ns, system_ns;            /* CPU time of the first pass, all threads */
    int64_t  minor_faults, major_faults;
    int64_t  baseline_kib, peak_kib, end_kib;   /* resident; peak by the kernel's high-water mark */
    int64_t  drain_kib[HP_DRAIN_POINTS];
    int64_t  pass_end_kib[HP_MAX_LOOPS];    /* resident after each pass */
    uint64_t usable_at_peak, usable_peak;
    uint64_t violation_call;                /* HP_WORKER_WRONG: number of the call, from 0; UINT64_MAX: none */
    uint64_t stall_ns[HP_MAX_THREADS];
    uint64_t thread_ns[HP_MAX_THREADS];     /* from the gate to the thread's end */
    uint32_t points;
    uint32_t latency_taken;                 /* may exceed HP_LATENCY_ROOM: the rest was not kept */
    int64_t  rss_kib[HP_MAX_POINTS];        /* aligned with live_bytes of the plan */
    uint64_t usable_bytes[HP_MAX_POINTS];
};

/* One timed call; an array of HP_LATENCY_ROOM follows the job page. */
struct hp_latency {
    uint32_t thread, position;      /* of the operation in the plan */
    uint32_t ns;
    uint32_t control_ns;            /* the clock read twice with nothing between, just before */
};
#define HP_LATENCY_ROOM  (1u << 20)
#define HP_JOB_PAGES     (sizeof(struct hp_job) + HP_LATENCY_ROOM * sizeof(struct hp_latency))
#define HP_JOB_MAGIC 0x626f4a32u

#endif
