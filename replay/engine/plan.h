/* plan.h - the compiled trace (plan) and the job page: all that heaplay and its worker say to each other.
 *
 * trace/compile.c writes a plan into a memfd, or into an unlinked file when it is larger than the memory it may take;
 * the worker executes it. The job page is another memfd: the parent fills the upper part before exec, the worker the
 * lower part before it exits.
 *
 * A plan is cut into sections, stretches of recorded order in which every thread has a stream; most plans have one. All
 * threads meet between two sections, with the clocks stopped, and the worker reads the next section.
 *
 *     | hp_plan | streams of section 0, participants | ... of section 1 | ... | drain | hp_section[] | hp_stream[] |
 *
 * Invariants
 *  1. An operation is one struct hp_op, 16 bytes; nothing else of the plan is read in the loop.
 *  2. Slot 0 holds NULL for ever: free(NULL), realloc(NULL) need no case of their own.
 *  3. Two accesses to a slot are ordered by the stream or by WAIT and EPOCH operations, in any interleaving.
 *  4. WAIT and EPOCH_WAIT name only what comes earlier in recorded order: a plan cannot deadlock.
 *  5. Positions and epochs count from the begin of their section.
 */
#ifndef HP_PLAN_H
#define HP_PLAN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "allocs/backend.h"
#include "measure/counters.h"
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

static inline bool hp_op_makes(unsigned code)
{
    return code <= OP_REALLOCARRAY ? code != OP_REALLOC_FREE
                                   : (code >= OP_ALIGNED_ALLOC && code != OP_USABLE_SIZE && code <= OP_NEW_ALIGNED);
}

static inline bool hp_op_consumes(unsigned code)
{
    return code == OP_REALLOC || code == OP_REALLOC_FREE || code == OP_REALLOCARRAY ||
           (code >= OP_FREE && code <= OP_FREE_ALIGNED_SIZED) || code >= OP_DELETE;
}

/* slot: block made, consumed or looked at. aux: log2 of the alignment. size: bytes asked for.
 * OP_CALLOC and OP_REALLOCARRAY: element size in the low half of `size`, count in the high half.
 * OP_REALLOC*: bytes of the old block, rounded down to hi << aux, so that only the new part is touched.
 * In a plan for touch policy "recorded", hi of every operation that makes a block holds what was resident of it when it was
 * freed (hp_touched_pack), and aux of OP_REALLOC* 1 + log2 of the old block's bytes, 0 for none. */
struct hp_op {
    uint32_t slot;
    uint8_t  code;
    uint8_t  aux;
    uint16_t hi;
    uint64_t size;
};
_Static_assert(sizeof(struct hp_op) == 16, "an operation is 16 bytes");

/* 11 bits and an exponent of 5: rounded down by less than 0.1 %. */
#define HP_TOUCHED_WHOLE UINT16_MAX

static inline uint16_t hp_touched_pack(uint64_t bytes)
{
    unsigned shift = 0;

    while (bytes >> shift > 2047)
        shift++;
    return shift > 31 ? HP_TOUCHED_WHOLE : (uint16_t)(shift << 11 | bytes >> shift);
}

static inline uint64_t hp_touched_unpack(uint16_t packed)
{
    return packed == HP_TOUCHED_WHOLE ? UINT64_MAX : (uint64_t)(packed & 2047) << (packed >> 11);
}

#define HP_PLAN_MAGIC    0x6e616c50u    /* "Plan" */
#define HP_PLAN_VERSION  2u
#define HP_MAX_THREADS   1024u
#define HP_MAX_POINTS    1024u          /* of the memory curve */
#define HP_MAX_LOOPS     1000u

/* What one thread does in a section. */
struct hp_stream {
    uint64_t first;         /* byte offset of its first hp_op in the plan */
    uint64_t count;         /* hp_op in it, those of the harness included */
    uint64_t calls;         /* calls in it */
    uint64_t before;        /* hp_op of the same thread in earlier sections */
};

struct hp_section {
    uint64_t first, bytes;  /* in the plan: its streams, then its epoch table */
    uint64_t epoch_table;   /* byte offset of uint32_t participants[epochs] */
    uint64_t epochs;
    uint32_t stream;        /* index of thread 0's stream */
    uint32_t threads;       /* streams it has; threads beyond do nothing in it */
};

/* At offset 0 of the plan. */
struct hp_plan {
    uint32_t magic, version;
    uint32_t threads;       /* 1: everything in recorded order */
    uint32_t slots;         /* size of the slot table, slot 0 included */
    uint64_t bytes;         /* of the whole plan */
    uint64_t calls;         /* in all streams */
    uint64_t requested_total;   /* bytes that all calls together ask for, 16-byte rounded (for the bump allocator) */
    uint64_t largest_bytes; /* largest single block */
    uint64_t live_max;      /* most blocks live at once */
    uint64_t peak_live_bytes;
    uint64_t peak_call;     /* number of calls done, in recorded order, when live bytes peaked first */
    uint64_t epoch_calls;   /* window: an epoch's length in recorded calls; 0: no epochs */
    uint64_t epochs_most;   /* in one section */
    uint64_t section_most;  /* bytes of the largest section */
    uint64_t section_table, stream_table;   /* byte offsets of the two arrays */
    uint32_t sections;
    uint32_t streamed;      /* too large for memory: sections are read one by one */
    uint64_t edges, edges_dropped;      /* cross-thread waits emitted; those found redundant */
    uint64_t curve_step;    /* calls between two points of the curve */
    uint32_t points;
    uint32_t paced;         /* OP_PACE is present */
    uint64_t live_bytes[HP_MAX_POINTS];  /* requested bytes live after (i + 1) * curve_step calls, recorded order */
    struct hp_stream drain; /* frees every survivor, oldest first */
};

/* The rest needs the whole plan mapped. */
static inline const struct hp_section *hp_plan_section(const struct hp_plan *p, uint32_t section)
{
    return (const struct hp_section *)((const char *)p + p->section_table) + section;
}

static inline struct hp_stream hp_plan_stream(const struct hp_plan *p, uint32_t section, uint32_t thread)
{
    const struct hp_section *s = hp_plan_section(p, section);
    struct hp_stream none = { .first = s->first };

    return thread < s->threads ? ((const struct hp_stream *)((const char *)p + p->stream_table))[s->stream + thread]
                               : none;
}

static inline const struct hp_op *hp_plan_op(const struct hp_plan *p, uint64_t offset)
{
    return (const struct hp_op *)((const char *)p + offset);
}

enum hp_mode    { HP_MODE_TIMED = 0, HP_MODE_ACCOUNT, HP_MODE_VERIFY, HP_MODE_LATENCY, HP_MODE_WATCHED };
enum hp_touch   { HP_TOUCH_NONE = 0, HP_TOUCH_FIRST, HP_TOUCH_PAGE, HP_TOUCH_LINE, HP_TOUCH_ALL,
                  HP_TOUCH_RECORDED, HP_TOUCH_COUNT };

enum hp_worker_state {
    HP_WORKER_STARTED = 0,  /* what the parent leaves there: the worker never got going */
    HP_WORKER_OK,
    HP_WORKER_IDENTITY,     /* the calls would not have gone to the named library */
    HP_WORKER_WRONG,        /* the allocator broke its contract: NULL, overlap, ... */
    HP_WORKER_SYSTEM,       /* the system refused something the harness needs */
};

#define HP_DRAIN_POINTS 5   /* RSS after drain at 0, 0.1, 1 and 5 s, then after malloc_trim */

/* Between the worker and the outside sampler: each waits for the other twice. */
enum hp_watch_state { HP_WATCH_OFF = 0, HP_WATCH_READY, HP_WATCH_GO, HP_WATCH_DONE, HP_WATCH_OVER };

/* Of one thread in the watched run; on cache lines of its own. */
struct hp_progress {
    _Atomic uint64_t calls;
    _Atomic int64_t  live_bytes, usable_bytes;  /* what this thread has added and taken off */
    char             gap[40];
};

struct hp_job {
    /* filled by the parent */
    uint32_t magic, mode, backend, touch;
    uint32_t loops, stack_offset, slot_offset, carry_survivors, drain_waits;
    uint32_t look_only;                     /* account mode: up to the peak of live bytes, and nothing but what is resident then */
    uint64_t touch_lines;
    uint64_t latency_seed, latency_stride;  /* one call in stride on average, by a hash of seed and position */
    char     library[4096];                 /* path of the library that must answer; empty: the C library */
    char     prefix[64];                    /* of the library's names: the worker loads it; empty: it was preloaded */

    /* filled by the worker */
    uint32_t state, has_trim;
    char     message[512];
    char     substituted[512];              /* calls that the library lacks and what stands in for them */
    char     answered_by[4096];             /* path of the object that malloc came from */
    uint64_t pass_ns[HP_MAX_LOOPS];
    uint64_t user_ns, system_ns;            /* CPU time of the first pass, all threads */
    int64_t  minor_faults, major_faults;
    uint64_t counter[HP_HARDWARE_EVENTS];   /* events of the first pass in user space, all threads */
    int32_t  counter_error[HP_HARDWARE_EVENTS]; /* errno of those that are missing, else 0 */
    int64_t  start_kib, baseline_kib;       /* resident before the first call; baseline: with all pages of files brought in */
    int64_t  peak_kib, end_kib;             /* resident; peak by the kernel's high-water mark */
    int64_t  drain_kib[HP_DRAIN_POINTS];
    int64_t  pass_end_kib[HP_MAX_LOOPS];    /* resident after each pass */
    uint64_t usable_at_peak, usable_peak;
    int64_t  rss_at_peak_kib;               /* resident when live bytes peaked first (account mode) */
    uint64_t violation_call;                /* HP_WORKER_WRONG: number of the call, from 0; UINT64_MAX: none */
    uint64_t stall_ns[HP_MAX_THREADS];
    uint64_t thread_ns[HP_MAX_THREADS];     /* from the gate to the thread's end */
    uint32_t points;
    uint32_t latency_taken;                 /* may exceed HP_LATENCY_ROOM: the rest was not kept */
    int64_t  rss_kib[HP_MAX_POINTS];        /* aligned with live_bytes of the plan */
    uint64_t usable_bytes[HP_MAX_POINTS];
    _Atomic uint32_t watch;                 /* enum hp_watch_state; watched mode only */
    char     gap[60];
    struct hp_progress progress[HP_MAX_THREADS];
};

/* One timed call; an array of HP_LATENCY_ROOM follows the job page. */
struct hp_latency {
    uint64_t thread : 16, position : 48;    /* of the operation in the plan: in the stream of all sections */
    uint32_t ns;
    uint32_t control_ns;            /* the clock read twice with nothing between, just before */
};
#define HP_LATENCY_ROOM  (1u << 20)
#define HP_JOB_PAGES     (sizeof(struct hp_job) + HP_LATENCY_ROOM * sizeof(struct hp_latency))
#define HP_JOB_MAGIC 0x626f4a34u

#endif
