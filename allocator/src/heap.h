/* heap.h - one heap: the lock and the policy. Finds, splits, coalesces, grows and trims.
 *
 * Everything here takes the heap's lock itself; callers hold none. System calls that can wait are made outside of it
 * where their result does not decide (unmapping; between threads, bringing in the pages of a large block).
 *
 * Invariants, besides those of chunk.h, bins.h, fit.h, pool.h and segment.h
 *   H1  From base to top, chunks lie without a gap; a pool's page is the user part of one chunk.
 *   H2  A free chunk is in bins when below CELL_FIT_MIN, else in fit; the top is in neither and has no header.
 *   H3  The dirty list holds the free chunks that were worth purging when they were indexed, oldest first.
 *   H4  in_use is the sum of the sizes of all chunks in use, pools as a whole.
 */
#ifndef CELL_HEAP_H
#define CELL_HEAP_H

#include "bins.h"
#include "deferred.h"
#include "fit.h"
#include "lock.h"
#include "mapcache.h"
#include "place.h"
#include "pool.h"
#include "segment.h"
#include "tunables.h"

/* Header of a block mapped on its own; the user address follows the chunk's header word. */
struct cell_mapped {
    struct cell_link link;          /* all mapped blocks of the heap, circular */
    char *start;                    /* of the mapping */
    size_t size;
    char *populated_end;            /* beyond it, pages came in by faults alone; the mapping's end: nothing to learn */
    size_t guard;                   /* bytes without access at its end: harden.c */
    struct cell_chunk chunk;
};

#define CELL_MAPPED_PREFIX  (offsetof(struct cell_mapped, chunk) + CELL_CHUNK_USER)

/* Less is not split off a chunk that shrinks. */
#define CELL_CUT_MIN   (2 * CELL_CHUNK_MIN)

/* Bytes that the top never gives away: the word that the last chunk borrows. */
#define CELL_TOP_KEEP  CELL_ALIGN

struct cell_heap_counts {
    uint64_t splits, merges, pool_adds, pool_removes, grows, maps, unmaps, remaps, map_reuses, purges, purged_bytes;
};

/* What the last purge of a kind gave back, and what is needed to tell whether that was wanted again. */
struct cell_purge {
    size_t pages;
    uint64_t ms, brought_in;
};

struct cell_heap {
    struct cell_segment segment;    /* first: see cell_heap_whole */
    struct cell_lock lock;
    bool ready;
    struct cell_chunk *top;
    size_t top_dirty;               /* bytes above top that were in use once and not purged since */
    size_t footprint_limit;         /* of this heap alone; 0: none */
    size_t dirty_bytes;             /* of the dirty list and the top */
    size_t resident_peak;           /* pages */
    size_t footprint_peak;          /* bytes, mappings included */
    size_t in_use;                  /* bytes */
    struct cell_postponed *postponed;   /* for the pages of what whoever holds the lock is handing out; NULL: at once */
    uint64_t waits_from;            /* pages brought in when threads' waits for the lock were last counted anew, */
    uint32_t waits_then;            /* and how many there had been */
    size_t most_handed_out;         /* bytes of chunks and cells, what caches hold included, since the heap last emptied */
    size_t left_when_emptied;       /* of that, then */
    uint64_t filled_since_ms;       /* since when, and how often since, it had filled again before it emptied */
    uint32_t times_filled;
    uint32_t times_emptied;         /* read without the lock (relaxed) */
    size_t peak_returned_to;        /* the peak when room was last made for growth beyond it, */
    size_t unused_then;             /* what lay unused afterwards, */
    unsigned returns_to_peak;       /* and how often that had happened to this peak after much was freed */
    size_t purge_at;                /* dirty bytes at which to think about purging again */
    struct cell_purge much_purged, most_purged;     /* when much was free, and when most of the peak was */
    struct cell_link dirty;
    struct cell_fit fit;
    struct cell_pools pools;
    struct cell_link mapped;
    size_t mapped_bytes;            /* read without the lock (relaxed) */
    size_t mapped_count, mapped_peak;
    size_t map_threshold;           /* follows blocks that come and go; read without the lock (relaxed) */
    struct cell_heap_counts counts;
    struct cell_bins bins;          /* a small process has no page for what rare sizes need at its end */
    struct cell_deferred deferred;
    struct cell_mapcache map_cache;
};

extern struct cell_heap cell_heap_main;

static inline struct cell_chunk *cell_heap_first_chunk(const struct cell_heap *heap)
{
    return (struct cell_chunk *)(heap->segment.base + heap->segment.start + CELL_CHUNK_FIRST);
}

/* Where its large blocks are mapped: itself, or the first heap, if this is an arena (arena.h). */
static inline struct cell_heap *cell_heap_whole(const struct cell_heap *heap)
{
    return (struct cell_heap *)heap->segment.whole;
}

/* Whether cell_heap_init has been done; callable while another thread does it. */
static inline bool cell_heap_is_ready(const struct cell_heap *heap)
{
    return __atomic_load_n(&heap->ready, __ATOMIC_ACQUIRE);
}

/* Of memory that is all zero. False: no memory. `range` as cell_segment_init has it. */
bool cell_heap_init(struct cell_heap *heap, size_t range) CELL_AT_START;
/* The same of a heap in [from, to) of the range of `whole`: bytes from its base. */
bool cell_heap_init_part(struct cell_heap *heap, struct cell_heap *whole, size_t from, size_t to) __attribute__((cold));

/* Up to `wanted` blocks of one size, pushed on the stack; returns how many. Cells come from the fullest pool. With
 * ..._without_growing nothing is taken for which a page would have to be brought in. */
size_t cell_heap_take_cells(struct cell_heap *heap, unsigned pool_class, size_t wanted, struct cell_freed **stack);
size_t cell_heap_take_chunks(struct cell_heap *heap, size_t size, size_t wanted, struct cell_freed **stack);
size_t cell_heap_take_chunks_without_growing(struct cell_heap *heap, size_t size, size_t wanted,
                                             struct cell_freed **stack);

/* CELL_STAY: the top does not give what it would have to bring a page in for. */
enum cell_growth { CELL_GROW, CELL_STAY };

/* One block of a chunk or mapping of its own; `zero` (may be NULL) receives the run of bytes that are known to be zero. */
void *cell_heap_alloc(struct cell_heap *heap, size_t request, size_t alignment, enum cell_growth growth, struct cell_zero_run *zero);
/* The same for a chunk of `size` bytes, smaller than CELL_FIT_MIN: the oldest that fits exactly, also one that waits for its coalescing;
 * else, once all that wait have coalesced, the best fit, if that is smaller than a page. NULL: cell_heap_alloc() is to look for it. */
void *cell_heap_take_small(struct cell_heap *heap, size_t size);
/* The block itself with its new size, in place or (mapped blocks) moved by the system; NULL: neither is possible. */
void *cell_heap_resize(struct cell_heap *heap, void *block, size_t request);

/* One block, whatever serves it. Ends the program when a block is not one of this heap's. */
void cell_heap_give(struct cell_heap *heap, void *block);
/* The same for a block that is known to be a chunk in use of `size` bytes within the range; it may wait before it coalesces. */
void cell_heap_give_chunk(struct cell_heap *heap, void *block, size_t size);
/* Lets what waits coalesce. */
void cell_heap_coalesce(struct cell_heap *heap) __attribute__((cold));
/* The upper `count` blocks of a stack, those pushed last. `others` gets those that are not this heap's; NULL: all are. */
void cell_heap_free_upper(struct cell_heap *heap, struct cell_freed **stack, size_t count, struct cell_freed **others);

/* How often most of what had been handed out has been given back, in any arena. */
static inline uint32_t cell_heap_times_emptied(const struct cell_heap *heap)
{
    return __atomic_load_n(&heap->times_emptied, __ATOMIC_RELAXED);
}

/* The size of a chunk of the range in use; 0: the block is a cell or mapped. Ends the program when it is not one of this heap's. */
size_t cell_heap_chunk_size(const struct cell_heap *heap, const void *block);
/* The size that the bin of a block of the range goes by: of the cell, or of the whole chunk. */
size_t cell_heap_size_of(const struct cell_heap *heap, const void *block);
/* Whether a block of the range, a cell or else a chunk, has ever been handed out; cells must lie at their places. */
bool cell_heap_is_carved(struct cell_heap *heap, const void *block) __attribute__((cold));
/* Ends the program: `c` is not the header of a block in use. */
_Noreturn void cell_heap_reject(const struct cell_chunk *c);

/* Sets the chunk's size. False: `c` is not the header of a block in use. */
static inline bool cell_heap_is_inuse(const struct cell_chunk *c, size_t *size)
{
    size_t head = cell_chunk_head(c);

    *size = head & CELL_SIZE_MASK;
    return !CELL_MISUSED(!cell_chunk_is_sealed_inuse(c, head));
}

/* The size itself; ends the program instead. */
static inline size_t cell_heap_inuse_size(const struct cell_chunk *c)
{
    size_t size;

    if (CELL_UNLIKELY(!cell_heap_is_inuse(c, &size)))
        cell_heap_reject(c);
    return size;
}

/* As below, of an address that is not a block's of the range: a mapped block's, or else the program ends. */
size_t cell_heap_usable_elsewhere(const void *block) __attribute__((noinline));

/* Bytes that the program may use in a block, and the size of the cell that it is, or 0. Ends the program when it is none in use. */
static inline size_t cell_heap_look(const struct cell_heap *heap, const void *block, size_t *cell)
{
    size_t slot = cell_segment_slot_of(&heap->segment, block);

    *cell = 0;
    if (CELL_UNLIKELY(!cell_segment_has_slot(&heap->segment, slot)))
        return cell_heap_usable_elsewhere(block);
    CELL_CHECK(!cell_freed_is_tagged(block), CELL_FATAL_DOUBLE_FREE);
    size_t kind = cell_segment_kind_of_slot(&heap->segment, slot);
    if (kind <= CELL_PAGE_RESERVED_KIND)
        return cell_heap_inuse_size(cell_chunk_of_user(block)) - CELL_WORD;
    return *cell = kind;
}

/* The same where a call more does not matter. */
size_t cell_heap_usable(const struct cell_heap *heap, const void *block) __attribute__((noinline));

/* Gives free pages back but for `keep` bytes at the top; true when any were. */
bool cell_heap_trim(struct cell_heap *heap, size_t keep) __attribute__((cold));
/* Why the heap is not sound, or NULL. Takes time proportional to the heap. */
const char *cell_heap_defect(struct cell_heap *heap);

/* Around fork(): no thread may be inside while the process is copied. */
void cell_heap_lock(struct cell_heap *heap);
void cell_heap_unlock(struct cell_heap *heap);
void cell_heap_reset_lock(struct cell_heap *heap);

#endif
