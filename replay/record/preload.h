/* preload.h - inside the recorded program: the next allocator's functions, a thread's state, and the fast path of logging.
 *
 * Runs in programs it knows nothing of: it allocates nothing, takes no lock on the fast path, keeps errno, and calls
 * the system directly and only on slow paths.
 */
#ifndef HP_PRELOAD_H
#define HP_PRELOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/single_threaded.h>
#include <time.h>

#include "record/shared.h"
#include "trace/trace.h"

#define HP_EXPORT     __attribute__((visibility("default")))
#define HP_LIKELY(x)  __builtin_expect(!!(x), 1)
#define HP_UNLIKELY(x) __builtin_expect(!!(x), 0)

#pragma GCC visibility push(hidden)      /* no look-ups of our own data */

/* The functions that the program would have called. */
struct hp_next {
    void *(*malloc)(size_t);
    void *(*calloc)(size_t, size_t);
    void *(*realloc)(void *, size_t);
    void *(*reallocarray)(void *, size_t, size_t);
    void (*free)(void *);
    void (*free_sized)(void *, size_t);
    void (*free_aligned_sized)(void *, size_t, size_t);
    void *(*aligned_alloc)(size_t, size_t);
    int (*posix_memalign)(void **, size_t, size_t);
    void *(*memalign)(size_t, size_t);
    void *(*valloc)(size_t);
    void *(*pvalloc)(size_t);
    size_t (*malloc_usable_size)(void *);
};
extern struct hp_next hp_next;

/* A thread's state. `epoch` differs from the process's when the thread has no ring yet, or after a fork. */
struct hp_self {
    uint64_t epoch;
    struct hp_ring *ring;
    struct hp_slot *slots;
    uintptr_t guard;        /* stack address of the call in progress: calls from deeper frames are the allocator's own */
    const void *deleting;   /* operator delete has logged this address; the free inside it is the same call */
    uint64_t new_size;      /* operator new in progress: the malloc inside it is logged as this call */
    uint64_t new_alignment;
    uint32_t new_kind;      /* 0: none */
    uint32_t busy;          /* in the slow path */
    uint32_t repeats;       /* of `now` before the clock is read again */
    uint64_t now;           /* stamp of the record before */
    uint64_t fork_number;
    uint32_t end_rounds;    /* of thread-specific destructors seen */
    uint64_t random;        /* state of the generator that samples objects; 0: not seeded */
    uintptr_t moving;       /* sampled object in a realloc: its old address, 1 when it had none, 0 when not sampled */
};
enum { HP_ARENA_BYTES = 64 * 1024 };
#define HP_NULL_DELETED ((const void *)1)   /* `deleting` while operator delete(NULL) runs */
extern __thread struct hp_self hp_self;

/* One page that the kernel wipes in a forked child, however it was forked. */
struct hp_wiped {
    uint64_t epoch;             /* 0: this process has not registered itself */
    _Atomic uint32_t lock;
};
extern struct hp_wiped *hp_wiped;
extern struct hp_shared *hp_shared;
extern bool hp_use_tsc;

bool  hp_preload_ready(struct hp_self *self);       /* slow path: attach, register, find a ring, wait for room */
void  hp_preload_log_wide(unsigned kind, const void *a, uint64_t b, uint64_t c);    /* when there is room */
void  hp_preload_resolve(void);
void *hp_preload_find(const char *name);            /* the definition that the program would call; NULL: none but ours */
extern bool hp_late;                                /* loaded into a running program: our names are found after the others */
int   hp_preload_begin(int fd);                     /* records from now on, into this memory: 0 or a negative errno */
void *hp_preload_arena(size_t size, size_t alignment);
extern char hp_preload_arena_bytes[HP_ARENA_BYTES];
size_t hp_preload_arena_size(const void *p);
uint64_t hp_preload_resident(const void *p);

/* Every so many objects one is recorded; 0: all. */
extern uint32_t hp_sample_every;
bool hp_preload_sample(uint32_t every);             /* 0: all objects; false: no memory */
bool hp_preload_is_sampled(unsigned kind, const void *a, uint64_t b, uint64_t c);

/* Frames of a call site; 0: sites are not recorded. */
extern uint32_t hp_site_depth;
void hp_preload_sites(uint32_t depth);
void hp_preload_log_site(void);

#pragma GCC visibility pop

static inline uint64_t hp_preload_touched(const void *p)
{
    return HP_UNLIKELY(hp_shared && hp_shared->touch) ? hp_preload_resident(p) : 0;
}

static inline bool hp_preload_in_arena(const void *p)
{
    return (uintptr_t)p - (uintptr_t)hp_preload_arena_bytes < HP_ARENA_BYTES;
}

/* Is this the free or delete that an operator delete has logged already? */
static inline bool hp_preload_deleted(const struct hp_self *self, const void *p)
{
    return HP_UNLIKELY(self->deleting != NULL) && self->deleting == (p ? p : HP_NULL_DELETED);
}

static inline uint64_t hp_preload_clock(void)
{
    struct timespec t;

    if (HP_HAVE_TSC && HP_LIKELY(hp_use_tsc))
        return hp_shared_tsc();
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* One instruction, so that a signal handler in between gets another slot. */
static inline uint64_t hp_preload_reserve(struct hp_ring *ring, uint64_t slots)
{
#if defined(__x86_64__)
    __asm__ volatile("xaddq %0, %1" : "+r"(slots), "+m"(ring->reserved) : : "memory", "cc");
    return slots;
#else
    return __atomic_fetch_add(&ring->reserved, slots, __ATOMIC_SEQ_CST);
#endif
}

/* Reading the clock takes longer than all the rest. One thread's records need no stamps to be in order. */
static inline uint64_t hp_preload_now(struct hp_self *self)
{
    if (HP_LIKELY(self->repeats) && HP_LIKELY(__libc_single_threaded)) {
        self->repeats--;
        return self->now;
    }
    self->repeats = HP_CLOCK_EVERY - 1;
    return self->now = hp_preload_clock() - hp_shared->epoch_ticks;
}

/* Inlined where b and c are constants, which leaves little of it. */
__attribute__((always_inline))
static inline void hp_preload_put(unsigned kind, const void *a, uint64_t b, uint64_t c)
{
    struct hp_self *self = &hp_self;
    struct hp_slot *slot;
    uint64_t position, now;

    if (HP_UNLIKELY(self->epoch != hp_wiped->epoch) || HP_UNLIKELY(self->ring->reserved >= self->ring->limit))
        if (!hp_preload_ready(self))
            return;
    if (HP_UNLIKELY(b >= HP_MORE || c)) {
        hp_preload_log_wide(kind, a, b, c);
        return;
    }
    position = hp_preload_reserve(self->ring, 1);
    slot = &self->slots[position % HP_RING_SLOTS];
    now = hp_preload_now(self);
    slot->word = (uint64_t)(uintptr_t)a << HP_MORE_BITS | b;
    atomic_store_explicit(&slot->stamp, now << HP_STAMP_SHIFT | hp_shared_phase(position) | kind, memory_order_release);
}

static inline bool hp_preload_has_site(unsigned kind)
{
    return kind <= HP_REALLOCARRAY || (kind >= HP_ALIGNED_ALLOC && kind <= HP_PVALLOC) || kind == HP_NEW ||
           kind == HP_NEW_ALIGNED;
}

__attribute__((always_inline))
static inline void hp_preload_log(unsigned kind, const void *a, uint64_t b, uint64_t c)
{
    if (HP_UNLIKELY(hp_sample_every != 0) && !hp_preload_is_sampled(kind, a, b, c))
        return;
    if (HP_UNLIKELY(hp_site_depth != 0) && hp_preload_has_site(kind))
        hp_preload_log_site();
    hp_preload_put(kind, a, b, c);
}

#endif
