#include "tcache_limits.h"

#include "minmax.h"
#include "os.h"

#define BUDGET_MIN        ((size_t)32768)    /* bytes that a cache may hold however small the heap is */
#define BUDGET_THREAD_MAX ((size_t)131072)   /* the same for each of a few threads */
#define BUDGET_THREAD_MIN ((size_t)16384)   /* ... for each of many */
#define BUDGET_THREADS    ((size_t)1048576)  /* ... for all of them */
#define MANY_THREADS      32u
#define MISSES_PER_ROOM   8u                /* at the limit, this many go by before a bin may take over another's room */
#define BIN_BYTES_MAX     ((size_t)65536)   /* of one size, of a program with one thread */
#define BIN_BATCHES_MAX   32u
#define BIN_BYTES_THREADS ((size_t)32768)   /* ... with several: more does not spare many more locks */
#define BIN_BATCHES_THREADS 2u
#define BATCH_BYTES_THREADS ((size_t)8192)  /* that each lock is good for, where blocks are small */
#define SPARE_MIN         32u               /* blocks; of fewer, to look at half takes less than to set them aside and fetch them back */
#define CELLS_AT_FIRST    8u                /* a page holds them anyway */
#define CHUNKS_AT_FIRST   1u
#define VICTIMS_TRIED     8u
#define STEADY            256u              /* after so many, in a heap that has not grown by a share of itself, caches may hold */
#define STEADY_SHARE      16u               /* twice as much; after 16 times as many, twice that */
#define PATIENCE_MAX      2u

/* Misses in a heap that does not grow mean that sizes vary by more than the cache can even out; what it holds more comes from what
 * lies free. One that grows wants its free blocks itself. */
static void learn_steadiness(struct cell_tcache *cache)
{
    uint64_t brought_in = cell_segment_brought_in(&cell_heap_main.segment);

    if (brought_in - cache->grown_at > cell_segment_resident(&cell_heap_main.segment) / STEADY_SHARE) {
        cache->grown_at = brought_in;
        cache->steady = cache->patience = 0;
    } else if (cache->patience < PATIENCE_MAX && ++cache->steady >= STEADY << 4 * cache->patience) {
        cache->steady = 0;
        cache->patience++;
    }
}

/* Threads share alike. Beyond MANY_THREADS what all hold together falls as their number rises:
 * each runs more seldom, and what its cache holds lies there for longer. */
size_t cell_tcache_budget(const struct cell_tcache *cache)
{
    size_t resident = cell_segment_resident(&cell_heap_main.segment) << CELL_PAGE_SHIFT;
    bool single = cell_os_single_threaded();
    size_t threads = cell_tcache_count();
    size_t parts = cell_max(threads, threads * threads / MANY_THREADS);
    unsigned doubled = single ? cache->patience : cache->patience != 0 && threads <= MANY_THREADS;
    size_t share = (resident << doubled) / (single ? cell_option.cache_share : cell_option.cache_share_threads * parts);
    size_t minimum = single ? BUDGET_MIN
                            : cell_max(BUDGET_THREAD_MIN, cell_min(BUDGET_THREAD_MAX, BUDGET_THREADS / (threads + 1)));

    return cell_min(cell_max(share, minimum), cell_option.cache_bytes);
}

/* Nothing is set aside any more of what the bin of `row` is full of. */
static void close_spare(struct cell_tcache *cache, size_t row)
{
    size_t limit = cell_tcache_spare_limit(cache, row);

    if (limit == 0)
        return;
    cache->capacity -= limit * cell_tcache_size_of_row(cache, row);
    cache->spare[row].limit = 0;
}

/* Takes from one bin other than `bin`, in turn: its spare, or else half of its limit. */
static void take_over_room(struct cell_tcache *cache, const struct cell_bin *bin)
{
    for (size_t tried = 0; tried < VICTIMS_TRIED; tried++) {
        cache->victim = cache->victim % (cell_tcache_rows(cache) - 1) + 1;
        struct cell_bin *other = cell_tcache_bin_of_row(cache, cache->victim);
        if (other == bin || other->limit < 2)
            continue;
        uint32_t limit = cell_tcache_spare_limit(cache, cache->victim) != 0 ? other->limit : other->limit / 2;
        cell_tcache_flush_row(cache, cache->victim, limit);
        close_spare(cache, cache->victim);
        other->room -= other->limit - limit;
        cache->capacity -= (other->limit - limit) * cell_tcache_size_of_row(cache, cache->victim);
        other->limit = limit;
        return;
    }
}

size_t cell_tcache_batch(size_t size)
{
    if (cell_os_single_threaded() || cell_option.batch == 1)
        return cell_option.batch;
    return cell_max(cell_option.batch, BATCH_BYTES_THREADS / size);
}

static bool is_too_wide(size_t blocks, size_t size)
{
    bool single = cell_os_single_threaded();

    return blocks > (single ? BIN_BATCHES_MAX : BIN_BATCHES_THREADS) * cell_tcache_batch(size) ||
           blocks * size > (single ? BIN_BYTES_MAX : BIN_BYTES_THREADS);
}

/* The first block of a small size is beyond any budget: with none at all, each call would take the lock. */
bool cell_tcache_widen(struct cell_tcache *cache, struct cell_bin *bin, size_t row)
{
    uint32_t at_first = cell_tcache_is_cell_row(row) ? CELLS_AT_FIRST : CHUNKS_AT_FIRST;
    uint32_t more = bin->limit == 0 ? at_first : bin->limit;
    size_t size = cell_tcache_size_of_row(cache, row), bytes = more * size, spare = cell_tcache_spare_limit(cache, row);

    if (bin->limit != 0 && is_too_wide(bin->limit + spare + more, size))
        return false;
    if (cache->capacity + bytes > cache->budget) {
        if (cache->misses++ % MISSES_PER_ROOM == 0) {
            learn_steadiness(cache);
            cache->budget = cell_tcache_budget(cache);
            if (cache->capacity + bytes > cache->budget)
                take_over_room(cache, bin);
        }
        if (cache->capacity + bytes > cache->budget && (bin->limit != 0 || row > CELL_TCACHE_PLAIN))
            return false;
    }
    cache->capacity += bytes;
    if (cache->spare != NULL && bin->limit >= SPARE_MIN && is_too_wide(2 * (bin->limit + more), size)) {
        cache->spare[row].limit += more;
        return bin->room != 0;
    }
    bin->room += more;
    bin->limit += more;
    return true;
}

void cell_tcache_close_bin(struct cell_tcache *cache, size_t row)
{
    struct cell_bin *bin = cell_tcache_bin_of_row(cache, row);

    cell_tcache_flush_row(cache, row, 0);
    close_spare(cache, row);
    cache->capacity -= bin->limit * cell_tcache_size_of_row(cache, row);
    bin->room = bin->limit = 0;
}

void cell_tcache_make_room(struct cell_tcache *cache, struct cell_bin *bin, size_t row, size_t blocks)
{
    if (blocks <= bin->room)
        return;
    uint32_t more = (uint32_t)blocks - bin->room;
    cache->capacity += more * cell_tcache_size_of_row(cache, row);
    bin->limit += more;
    bin->room += more;
}
