/* shared.h - the memory that a recorded program and the collector share.
 *
 * The collector makes one memfd; every recorded process maps all of it. Layout: header, process slots, ring headers,
 * ring data. preload*.c write, collector.c reads; nobody else includes this.
 *
 * Invariants
 *  1. One thread writes to a ring (and signal handlers on top of it); one collector reads from it.
 *  2. A record is one slot of 16 bytes, or two. The producer reserves it (one instruction adds to `reserved`, so that a
 *     signal handler that interrupts it gets the slots behind), reads the clock, fills the slots and commits them by
 *     storing word `stamp` of the first with the phase of this lap. A slot is valid when its phase is that of its
 *     position's lap; the collector looks at a second slot only behind a valid first one.
 *  3. The clock is read after the reservation: a ring without an open reservation at time T has no future record
 *     with a stamp before T. This is what lets the collector merge rings into one order. While a process has one thread
 *     there is nothing to merge, and most of its records repeat the stamp before (HP_CLOCK_EVERY).
 *  4. consumed <= committed <= reserved <= consumed + HP_RING_SLOTS. Positions never restart, also when a ring goes
 *     from one thread to another.
 *  5. ring state: FREE -> CLAIMED -> ACTIVE by a thread, ACTIVE -> CLOSED by the same thread, -> FREE by the collector.
 */
#ifndef HP_RECORD_SHARED_H
#define HP_RECORD_SHARED_H

#include <stdatomic.h>
#include <stdint.h>

#define HP_SHARED_MAGIC    0x32305952414c5048ull   /* "HPLARY02" */
#define HP_SHARED_ENV      "HEAPLAY_RECORD"        /* fd:inode:path */
#define HP_RING_SLOTS      32768u
#define HP_RING_COUNT      1024u
#define HP_RING_SLACK      256u                    /* slots kept back for nested signal handlers */
#define HP_PROCESS_COUNT   1024u
#define HP_COMMAND_BYTES   640
#define HP_SITE_COUNT      65536u                  /* call sites that are told apart, 0 is unknown */
#define HP_SITE_DEPTH      32u                     /* most frames of one */
#define HP_PATH_BYTES      256

/* Kinds of raw records: those of enum hp_kind, and these. */
enum hp_raw_kind {
    HP_RAW_REALLOC_BEGIN = 100, /* a: old address. Its end is HP_REALLOC or HP_REALLOCARRAY of the same thread */
    HP_RAW_FORK,                /* a: number of the fork, about to happen in this thread */
    HP_RAW_SKIPPED,             /* written by the collector into a reservation that was abandoned; b: 1 when it was lost */
    HP_RAW_MORE,                /* the second slot of a record */
    HP_RAW_SITE,                /* b: the site of the thread's next allocation */
    HP_RAW_FRAME,               /* a: a return address of site b, which is new; innermost first */
    HP_RAW_MODULE,              /* a: base, b: bytes, c: length of the path, which follows */
    HP_RAW_PATH,                /* b, c: 16 bytes of it */
};

#define HP_STAMP_KIND_MASK  0x7fu
#define HP_STAMP_PHASE      0x80u
#define HP_STAMP_SHIFT      8
#define HP_CLOCK_EVERY      4u      /* records to a reading of the clock while the process has one thread */

/* A record is an address a, a size b, and c: count, alignment or resident bytes. Mostly b is small and c is 0; else `more`
 * is at least HP_MORE, and a second slot holds c << 8 | phase << 7 | HP_RAW_MORE and b. */
struct hp_slot {
    _Atomic uint64_t stamp; /* ticks since the header's epoch << 8 | phase << 7 | kind */
    uint64_t word;          /* a << 16 | more: b, or HP_MORE | the highest byte of c */
};
#define HP_MORE             0xff00u
#define HP_MORE_BITS        16
_Static_assert(sizeof(struct hp_slot) == 16, "four slots to a cache line");

enum hp_ring_state { HP_RING_FREE, HP_RING_CLAIMED, HP_RING_ACTIVE, HP_RING_CLOSED };

struct hp_ring {
    _Alignas(64) _Atomic uint32_t state;
    uint32_t process;                   /* index of its process slot */
    uint64_t serial;                    /* of its process */
    uint32_t thread;                    /* dense within the process */
    uint32_t tid;
    _Alignas(64) uint64_t reserved;     /* by the producer; the collector reads it */
    uint64_t limit;                     /* the slow path is taken when reserved reaches it; the collector may put 0 */
    _Alignas(64) _Atomic uint64_t consumed;
    _Atomic uint32_t wake;              /* futex of a producer that waits for room */
    _Atomic uint32_t waiting;
};

enum hp_process_state { HP_PROCESS_FREE, HP_PROCESS_CLAIMED, HP_PROCESS_READY, HP_PROCESS_ADOPTED };

struct hp_process_slot {
    _Alignas(64) _Atomic uint32_t state;
    uint32_t pid, parent_pid;
    uint32_t own_malloc;                /* 1: the program brings a malloc of its own, which is called instead of ours */
    uint64_t serial;                    /* of all processes of this recording, from 1 */
    uint64_t parent_serial;             /* of the process it was forked from; 0: a new image */
    uint64_t fork_number;               /* HP_RAW_FORK of the parent */
    uint64_t start_ticks;
    uint64_t start_unix_ns;
    _Atomic uint64_t lost;
    _Atomic uint32_t threads;
    char command[HP_COMMAND_BYTES];
    char allocator[HP_PATH_BYTES];
};

/* What producers are to do. */
enum hp_control { HP_CONTROL_RECORD, HP_CONTROL_STOP, HP_CONTROL_WAIT };

struct hp_shared {
    uint64_t magic;
    uint32_t use_tsc;                   /* rdtsc, or else CLOCK_MONOTONIC in ns */
    uint32_t children;                  /* 0: only the first image of the first process */
    uint32_t touch;                     /* 1: mincore of blocks when they are freed */
    uint32_t sites;                     /* frames of a call site; 0: none are recorded */
    uint32_t sample;                    /* one object of so many is recorded; 0: all */
    uint32_t collector_pid;
    uint64_t pid_namespace;             /* inode: pids of another one mean nothing to the collector */
    uint64_t epoch_ticks;
    _Alignas(64) _Atomic uint32_t control;
    _Alignas(64) _Atomic uint32_t doorbell;     /* futex of the collector */
    _Atomic uint32_t sleeping;
    _Atomic uint64_t heartbeat;
    _Alignas(64) _Atomic uint64_t next_serial;
    _Atomic uint32_t rings_used;        /* rings beyond this index were never claimed */
    _Atomic uint32_t processes_used;
    _Atomic uint64_t refused;           /* processes that could not be recorded */
    _Atomic uint64_t lost_no_ring;      /* events of threads that found no ring */
    _Alignas(64) struct hp_process_slot processes[HP_PROCESS_COUNT];
    _Alignas(64) struct hp_ring rings[HP_RING_COUNT];
    _Alignas(4096) struct hp_slot slots[HP_RING_COUNT][HP_RING_SLOTS];
};

static inline uint64_t hp_shared_phase(uint64_t position)
{
    return (position / HP_RING_SLOTS) & 1u ? 0 : HP_STAMP_PHASE;
}

/* Of a slot that is valid: does a second one belong to it? */
static inline int hp_shared_is_wide(const struct hp_slot *slot)
{
    return (slot->word & (HP_MORE | 0xff)) >= HP_MORE &&
           (atomic_load_explicit(&slot->stamp, memory_order_relaxed) & HP_STAMP_KIND_MASK) != HP_RAW_MORE;
}

#if defined(__x86_64__)
#define HP_HAVE_TSC 1
/* The processor may read its counter before what comes first has been done: a free could be stamped before the block had come from
 * another thread, and so before its allocation. */
static inline uint64_t hp_shared_tsc(void)
{
    uint32_t low, high;

    __asm__ volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high) : : "memory");
    return (uint64_t)high << 32 | low;
}
#else
#define HP_HAVE_TSC 0
static inline uint64_t hp_shared_tsc(void)
{
    return 0;
}
#endif

#endif
