/* tcache.h - thread caches: blocks freed and not yet given back, so that most calls meet no lock and no search.
 *
 * One bin for each size that is cached, by cells and chunks alike: a stack of freed blocks, last in, first out. A cached
 * chunk is still marked in use, which defers its coalescing until the cache gives it back: when its bin is full, before the
 * heap would grow, when the heap has emptied, when the thread ends.
 *
 *      bin:  head -> block -> block -> block        room: how many more it takes
 *
 * While there is one thread, only what keeps coming back is cached above cache_limit (recurring.h): up to CELL_BINNED_MAX each
 * size has its row, beyond single sizes have slots, and classes of sizes rows. Once there are several, chunks up to
 * CELL_CLASS_MAX are cached by size class: a bin for each; above, a thread may get back what it has freed last (large.h).
 *
 * A bin is refilled, and overflows, in batches; tcache_limits.h says how many blocks it may hold.
 *
 * Invariants
 *   T1  A bin holds blocks of its size, and chunks with a remainder of CELL_ALIGN that was too small to split off; a class's
 *       bin holds chunks from its size to below the next class's. With one thread, rows below CELL_BINNED_MAX are no class's.
 *   T2  room + blocks in the bin == limit; a spare has its limit at most.
 *   T3  The sum of limit * size over all bins and spares is `capacity`.
 *   T4  No thread but its owner touches a cache.
 *   T5  Slot 0, of no size, is set aside: cells of sizes that the thread has freed and not asked for since it, or the heap by
 *       emptying, started anew; `limit` of them.
 *   T6  The bin of a size that recurs holds chunks of that size, and with such a remainder; bins of rows and slots count alike
 *       in T2 and T3.
 *   T7  A slot that `slot_of` names for a size watches that size, which has proved to recur.
 *   T8  A block among the large ones is a freed chunk of the size that its entry says; they do not count in T3.
 */
#ifndef CELL_TCACHE_H
#define CELL_TCACHE_H

#include "freed.h"
#include "heap.h"
#include "large.h"
#include "recurring.h"
#include "sizeclass.h"

#define CELL_TCACHE_SIZES     (CELL_BINNED_MAX / CELL_ALIGN)
#define CELL_TCACHE_PLAIN     (CELL_CLASS_MIN / CELL_ALIGN)         /* up to this row no size is ever rounded up */
#define CELL_CLASSES_BELOW    8u                                    /* classes up to CELL_BINNED_MAX ... */
#define CELL_ROWS_PER_CLASS   (CELL_TCACHE_PLAIN / CELL_CLASSES_BELOW)  /* ... which share its rows */
#define CELL_CLASS_STEP       (CELL_BINNED_MAX / 8)                 /* classes from CELL_BINNED_MAX on begin at multiples of it */
#define CELL_EXCESS_SHARE     8u    /* a cached chunk may be larger than what was asked for by this share */
#define CELL_TCACHE_BINS      (CELL_TCACHE_SIZES + CELL_CLASS_COUNT - CELL_CLASSES_BELOW)

_Static_assert(CELL_BINNED_MAX == 8u << (6 + CELL_CLASSES_BELOW / 8), "that class begins there");
_Static_assert(sizeof(struct cell_bin) <= CELL_ALIGN, "the offset of a bin is the size of its blocks");

enum cell_tcache_state { CELL_TCACHE_NONE, CELL_TCACHE_EXITED, CELL_TCACHE_LIVE };

/* Between threads, a wide bin that was full is set aside whole when one block more is freed; it comes back when the bin has run empty, or
 * is passed on when that is full again. No block is looked at (the two magazines of Bonwick and Adams, Magazines and Vmem, 2001). */
struct cell_spare {
    struct cell_freed *stack;
    uint32_t count, limit;          /* blocks; limit 0: the bin is not wide enough, and gives half of its blocks up when it is full */
};

/* What proves that sizes above cache_limit come back while there is one thread: for each row, and for single sizes beyond. Up to
 * CELL_CLASS_MAX, `slot_of` spares the fast paths the search for the slot of a size that has: its number, from 1, else 0. */
struct cell_watch {
    struct cell_demand row[CELL_TCACHE_BINS];
    struct cell_recurring slot[CELL_RECURRING_SLOTS];
    uint8_t slot_of[(CELL_CLASS_MAX - CELL_BINNED_MAX) / CELL_ALIGN];
};

_Static_assert(sizeof(struct cell_watch) <= CELL_PAGE, "small processes write to its one page");

struct cell_tcache {
    union {
        struct cell_bin bin;
        char pad[CELL_ALIGN];
    } slot[CELL_TCACHE_BINS];
    enum cell_tcache_state state;
    unsigned misses;                /* that found no room for a wider bin */
    unsigned victim;                /* where the search for room to take over goes on */
    uint32_t times_emptied;         /* the heap's, when this cache last gave all back for it */
    size_t capacity, budget;        /* bytes; the budget as it was when a bin last asked for more */
    uint64_t grown_at;              /* pages that the heap had brought in when it last had grown by much */
    uint32_t steady;                /* misses since, */
    uint16_t patience;              /* and how often its share has doubled for them */
    uint16_t luck;                  /* requests for a large block that had just been freed, less those for others */
    uint64_t consolidated_at;       /* pages that the heap had brought in then */
    union {
        struct cell_watch *watch;   /* of the first thread's cache while it is the only one, else NULL */
        struct cell_tcache *next;   /* unused caches */
    };
    struct cell_spare *spare;       /* for each bin, once bins are by size class; else NULL */
    uint64_t refills, flushes;
    struct cell_large large;
} __attribute__((aligned(64)));     /* threads' caches lie side by side, and share no cache line */

/* The calling thread's cache; never NULL. */
extern __thread struct cell_tcache *cell_tcache_mine __attribute__((tls_model("initial-exec")));

/* The bin for blocks of `size` bytes, a multiple of CELL_ALIGN. */
static inline struct cell_bin *cell_tcache_bin(struct cell_tcache *cache, size_t size)
{
    return (struct cell_bin *)((char *)cache + size);
}

extern size_t cell_tcache_class_limit_now;

/* The largest chunk that caches keep by its class; 0 while there has been one thread only. */
static inline size_t cell_tcache_class_limit(void)
{
    return __atomic_load_n(&cell_tcache_class_limit_now, __ATOMIC_RELAXED);
}

/* The row of chunks of a class from CELL_BINNED_MAX on. */
static inline size_t cell_tcache_row_of_large_class(unsigned size_class)
{
    return CELL_TCACHE_SIZES + size_class - CELL_CLASSES_BELOW;
}

/* The bin for chunks of a class: up to CELL_BINNED_MAX that of its smallest size. */
static inline size_t cell_tcache_row_of_class(unsigned size_class)
{
    return size_class <= CELL_CLASSES_BELOW ? cell_size_of_class(size_class) / CELL_ALIGN : cell_tcache_row_of_large_class(size_class);
}

/* The row of the class of requests above all bins of one size, up to CELL_CLASS_MAX - CELL_WORD, by the CELL_CLASS_STEP in which the last byte of
 * their chunk's size lies, whether or not it keeps any. */
extern uint8_t cell_tcache_row_of_large[CELL_CLASS_MAX / CELL_CLASS_STEP];

static inline size_t cell_tcache_row_for_large(size_t request)
{
    return __atomic_load_n(&cell_tcache_row_of_large[(request + CELL_WORD - 1) / CELL_CLASS_STEP], __ATOMIC_RELAXED);
}

/* The row of a chunk's size, or of the class that it is rounded up to; 0: there is none. */
static inline size_t cell_tcache_row_for_chunk(size_t size)
{
    if (size <= CELL_BINNED_MAX)
        return size / CELL_ALIGN;
    return size <= CELL_CLASS_MAX ? cell_tcache_row_for_large(size - CELL_WORD) : 0;
}

/* Whether a request is rounded up to a class, once there are several threads. Any request: near SIZE_MAX none is. */
static inline bool cell_tcache_has_class(size_t request)
{
    size_t limit = cell_tcache_class_limit();

    return request > CELL_CLASS_MIN - CELL_WORD && request < limit && limit - request >= CELL_WORD;
}

/* The rows of a cache: its bins by size and class, and behind them the slots of sizes that recur. */
static inline size_t cell_tcache_rows(const struct cell_tcache *cache)
{
    return CELL_TCACHE_BINS + (cache->watch != NULL ? CELL_RECURRING_SLOTS : 0);
}

static inline struct cell_bin *cell_tcache_bin_of_row(const struct cell_tcache *cache, size_t row)
{
    return (struct cell_bin *)(row >= CELL_TCACHE_BINS ? &cache->watch->slot[row - CELL_TCACHE_BINS].bin : &cache->slot[row].bin);
}

/* Whether the blocks of `row` are cells. */
static inline bool cell_tcache_is_cell_row(size_t row)
{
    return row <= cell_option.small_limit / CELL_ALIGN;
}

static inline size_t cell_tcache_row_of_slot(const struct cell_tcache *cache, const struct cell_recurring *slot)
{
    return CELL_TCACHE_BINS + (size_t)(slot - cache->watch->slot);
}

/* Of a bin of this cache; a slot begins with its own. */
static inline size_t cell_tcache_row_of_bin(const struct cell_tcache *cache, const struct cell_bin *bin)
{
    size_t offset = (size_t)((const char *)bin - (const char *)cache);

    if (offset < sizeof cache->slot)
        return offset / CELL_ALIGN;
    return cell_tcache_row_of_slot(cache, (const struct cell_recurring *)bin);
}

/* Bytes of a block in the bin of `row`, at least. */
static inline size_t cell_tcache_size_of_row(const struct cell_tcache *cache, size_t row)
{
    if (row >= CELL_TCACHE_BINS)
        return cache->watch->slot[row - CELL_TCACHE_BINS].size;
    return row <= CELL_TCACHE_SIZES ? row * CELL_ALIGN
                                    : cell_size_of_class((unsigned)(row - CELL_TCACHE_SIZES + CELL_CLASSES_BELOW));
}

/* Blocks of `row` that are set aside. */
static inline size_t cell_tcache_spare_count(const struct cell_tcache *cache, size_t row)
{
    return cache->spare != NULL ? cache->spare[row].count : 0;
}

/* Blocks that may be. */
static inline size_t cell_tcache_spare_limit(const struct cell_tcache *cache, size_t row)
{
    return cache->spare != NULL ? cache->spare[row].limit : 0;
}

/* Whether a chunk of `size` bytes is kept where its size recurs. */
static inline bool cell_tcache_may_recur(size_t size)
{
    return size <= cell_option.recurring_limit + CELL_WORD + CELL_ALIGN - 1;
}

/* The slot for chunks of `size` bytes above CELL_BINNED_MAX, if it watches that size. NULL: none recurs. */
static inline struct cell_recurring *cell_tcache_recurring(const struct cell_tcache *cache, size_t size)
{
    if (CELL_UNLIKELY(cache->watch == NULL) || !cell_tcache_may_recur(size))
        return NULL;
    return cell_recurring_find(cache->watch->slot, size);
}

/* What names the slot of chunks of `size` bytes, above CELL_BINNED_MAX, up to CELL_CLASS_MAX. */
static inline uint8_t *cell_tcache_slot_of(struct cell_watch *watch, size_t size)
{
    return &watch->slot_of[size / CELL_ALIGN - CELL_BINNED_MAX / CELL_ALIGN - 1];
}

/* The slot that is named for such a size. NULL: none is. */
static inline struct cell_recurring *cell_tcache_named_slot(const struct cell_tcache *cache, size_t size)
{
    if (cache->watch == NULL)
        return NULL;
    size_t number = __atomic_load_n(cell_tcache_slot_of(cache->watch, size), __ATOMIC_RELAXED);
    return number == 0 ? NULL : cache->watch->slot + number - 1;
}

/* With one thread: a chunk of `size` bytes is freed that no bin takes. It counts for the class that a request for as much would be
 * rounded up to. */
static inline void cell_tcache_note_class(const struct cell_tcache *cache, size_t size)
{
    if (cache->watch != NULL && size > CELL_BINNED_MAX && size <= CELL_CLASS_MAX && cell_tcache_may_recur(size))
        cell_demand_free(&cache->watch->row[cell_tcache_row_for_chunk(size)], CELL_CLASS_FREED_MAX);
}

/* The largest request that caches keep by its size; it rises when a second thread starts. */
static inline size_t cell_tcache_limit(void)
{
    return __atomic_load_n(&cell_option.cache_limit, __ATOMIC_RELAXED);
}

/* NULL: the bin is empty. */
static inline void *cell_tcache_pop(struct cell_bin *bin)
{
    if (CELL_UNLIKELY(bin->head == NULL))
        return NULL;
    bin->room++;
    return cell_freed_pop(&bin->head);
}

/* False: the bin is full. `mark` is the block's, which must not have it yet. */
static inline int cell_tcache_push_marked(struct cell_bin *bin, void *block, uintptr_t mark)
{
    if (CELL_UNLIKELY(bin->room == 0))
        return 0;
    bin->room--;
    cell_freed_set_next_marked(block, bin->head, mark);
    bin->head = block;
    return 1;
}

/* The same; ends the program when the block has its mark already: it is freed a second time. */
static inline int cell_tcache_push(struct cell_bin *bin, void *block)
{
    uintptr_t mark = cell_freed_mark(block);

    CELL_CHECK(!cell_freed_has_mark(block, mark), CELL_FATAL_DOUBLE_FREE);
    return cell_tcache_push_marked(bin, block, mark);
}

/* The row that serves a request, by its words, rounded up: that of its cell or chunk, or of its class once there are threads. Before
 * the first call, when no cache holds anything, 0. */
extern uint8_t cell_tcache_row_of_words[CELL_BINNED_MAX / CELL_WORD];

/* The row of the bin that keeps freed chunks of a class from CELL_BINNED_MAX on, by their size in CELL_CLASS_STEP; 0: none does. */
extern uint8_t cell_tcache_row_of_freed[CELL_CLASS_MAX / CELL_CLASS_STEP + 1];

/* The same of any chunk that is larger than what has a bin for its size alone. */
static inline size_t cell_tcache_row_for_freed(size_t size)
{
    if (CELL_UNLIKELY(size > CELL_CLASS_MAX))
        return 0;
    return __atomic_load_n(&cell_tcache_row_of_freed[size / CELL_CLASS_STEP], __ATOMIC_RELAXED);
}

/* The bin that takes a freed chunk of a size that has none for itself alone: that of its slot or class. NULL: none does, or the slot is not
 * named. */
__attribute__((always_inline)) static inline struct cell_bin *cell_tcache_bin_for_freed(struct cell_tcache *cache, size_t size)
{
    if (CELL_UNLIKELY(size - CELL_BINNED_MAX - 1 >= CELL_CLASS_MAX - CELL_BINNED_MAX))      /* cache_limit may be small */
        return NULL;
    struct cell_recurring *slot = cell_tcache_named_slot(cache, size);
    if (slot != NULL) {
        slot->demand.freed = 1;
        return &slot->bin;
    }
    size_t row = cell_tcache_row_for_freed(size);
    return row == 0 ? NULL : cell_tcache_bin(cache, row * CELL_ALIGN);
}

/* The fast path of malloc. NULL: the bin for the request is empty, or there is none. */
__attribute__((always_inline)) static inline void *cell_tcache_alloc(size_t request)
{
    if (CELL_UNLIKELY(request > CELL_BINNED_MAX - CELL_WORD))
        return NULL;
    size_t row = __atomic_load_n(&cell_tcache_row_of_words[(request + CELL_WORD - 1) / CELL_WORD], __ATOMIC_RELAXED);
    return cell_tcache_pop(&cell_tcache_mine->slot[row].bin);
}

/* Of the first thread's cache. */
extern struct cell_spare cell_tcache_spare_main[CELL_TCACHE_BINS];

/* Has requests and freed chunks find the rows that serve them, after a tunable or what has proved to recur has changed. */
void cell_tcache_map_sizes(void);
/* Before anything else: sets the heap up, and gives the calling thread its cache. False: no memory. */
bool cell_tcache_start(void);
/* Gives the calling thread's cache up for good: every call of it takes the slow path from here on. */
void cell_tcache_retire(void) __attribute__((cold));
/* Threads that have a cache. */
size_t cell_tcache_count(void);

/* When the bin is empty or full, or the request is not for a cache. NULL: no memory. */
void *cell_tcache_alloc_slow(size_t request);
/* A request for a chunk of `size` bytes found none in its row or slot. Returns one, and fetches more, if the size or its class has
 * proved to recur; NULL: it has not, or there is no memory. */
void *cell_tcache_ask_recurring(size_t size);
/* The row or slot that may serve a request for a chunk of `size` bytes, which none could; 0: none has proved to recur. */
size_t cell_tcache_ask(struct cell_tcache *cache, size_t size);
/* Has bins by size class take over, for cell_tcache_share_bins(). */
void cell_tcache_start_sharing(struct cell_tcache *cache) __attribute__((noinline, cold));
/* A chunk of `size` bytes is freed that no row is for. True: it goes into the bin of its size, which recurs. */
bool cell_tcache_free_recurring(struct cell_tcache *cache, void *block, size_t size);
/* Between threads, a chunk of exactly `size` bytes above all classes that has just been freed; NULL: there is none. */
void *cell_tcache_take_large(size_t size, size_t alignment);
/* Frees a chunk in use of `size` bytes that no bin serves. */
void cell_tcache_free_large(void *block, size_t size);
/* Gives the cache's large blocks back to the heap; true when there was one. */
bool cell_tcache_give_large_back(struct cell_tcache *cache);
/* A block of at least `request` bytes from the heap itself; `zero` as in heap.h. */
void *cell_tcache_alloc_large(size_t request, size_t alignment, struct cell_zero_run *zero);
/* One at an alignment beyond CELL_ALIGN: from the bin that serves the request, if one near its top lies at such an address. */
void *cell_tcache_alloc_aligned(size_t request, size_t alignment);
/* The block itself with its new size, as in heap.h; NULL: it is to be moved, which between threads may cost less than the lock. */
void *cell_tcache_resize(void *block, size_t request);
/* `row` is the bin's: the block's size in CELL_ALIGN, or cell_tcache_row_of_class(). */
void  cell_tcache_free_slow(struct cell_tcache *cache, size_t row, void *block);

/* Gives all but the `keep` newest of a row's blocks back to the heap; `keep` is its bin's limit at most. */
void  cell_tcache_flush_row(struct cell_tcache *cache, size_t row, size_t keep);
/* Gives all that the cache holds back to the heap. */
void  cell_tcache_empty(struct cell_tcache *cache);
/* Gives all that the calling thread's cache and the depot hold back to the heap. */
void  cell_tcache_flush(void) __attribute__((cold));
/* The same, and closes all bins of the calling thread's cache: each opens again when its size is wanted. */
void  cell_tcache_give_all_back(struct cell_tcache *cache) __attribute__((cold));

/* To be called when blocks have been given back. When the heap has emptied, what the cache may hold was its share of a larger one,
 * and what it does hold lies all over that one's pages: it starts anew. */
static inline void cell_tcache_follow(struct cell_tcache *cache)
{
    if (CELL_UNLIKELY(cache->times_emptied != cell_heap_times_emptied(&cell_heap_main)) && cache->state == CELL_TCACHE_LIVE)
        cell_tcache_give_all_back(cache);
}

/* To be called before a bin is chosen: once a second thread has started, bins by size class take over. */
static inline void cell_tcache_share_bins(struct cell_tcache *cache)
{
    if (CELL_UNLIKELY(cache->watch != NULL) && cell_tcache_class_limit() != 0)
        cell_tcache_start_sharing(cache);
}

size_t cell_tcache_bytes(const struct cell_tcache *cache);
size_t cell_tcache_metadata_bytes(void);
bool  cell_tcache_is_valid(const struct cell_tcache *cache);

/* Around fork(), as in heap.h. */
void cell_tcache_lock(void) __attribute__((cold));
void cell_tcache_unlock(void) __attribute__((cold));
void cell_tcache_reset_lock(void) __attribute__((cold));

#endif
