#include "tcache.h"

#include <pthread.h>
#include <string.h>

#include "depot.h"
#include "os.h"

#define BUDGET_MIN        ((size_t)8192)    /* bytes that a cache may hold however small the heap is */
#define BUDGET_THREADS    ((size_t)262144)  /* the same where threads would otherwise meet at the heap's lock */
#define CELLS_AT_FIRST    8u                /* a page holds them anyway */
#define CHUNKS_AT_FIRST   1u
#define VICTIMS_TRIED     8u
#define CACHES_AT_ONCE    ((size_t)65536)   /* bytes mapped at a time for caches of further threads */

static struct cell_tcache cache_none = { .state = CELL_TCACHE_NONE };
static struct cell_tcache cache_exited = { .state = CELL_TCACHE_EXITED };
static struct cell_tcache cache_main;

__thread struct cell_tcache *cell_tcache_mine __attribute__((tls_model("initial-exec"))) = &cache_none;

/* Caches that no thread uses, and the part of a mapping from which none has been made yet. */
static struct {
    struct cell_lock lock;
    bool main_taken, key_made, environment_read;
    pthread_key_t key;
    struct cell_tcache *unused;
    char *next, *end;
    size_t mapped_bytes;
} registry;

/* ---- a cache's life --------------------------------------------------------------------------------------------- */

static void flush_bin(struct cell_bin *bin, size_t keep);

static void flush_all(struct cell_tcache *cache)
{
    for (size_t i = 1; i < CELL_TCACHE_BINS; i++)
        flush_bin(&cache->slot[i].bin, 0);
}

/* At the end of a thread. What it frees from here on goes straight to the heap. */
static void retire(void *argument)
{
    struct cell_tcache *cache = argument;

    cell_tcache_mine = &cache_exited;
    flush_all(cache);
    memset(cache, 0, sizeof *cache);
    cell_lock_acquire(&registry.lock);
    cache->next = registry.unused;
    registry.unused = cache;
    cell_lock_release(&registry.lock);
}

/* Lock held. NULL: no memory. */
static struct cell_tcache *new_cache(void)
{
    struct cell_tcache *cache = registry.unused;

    if (!registry.main_taken) {
        registry.main_taken = true;
        return &cache_main;
    }
    if (cache != NULL) {
        registry.unused = cache->next;
        return cache;
    }
    if ((size_t)(registry.end - registry.next) < sizeof *cache) {
        char *start = cell_os_map(CACHES_AT_ONCE);
        if (start == NULL)
            return NULL;
        registry.next = start;
        registry.end = start + CACHES_AT_ONCE;
        __atomic_store_n(&registry.mapped_bytes, registry.mapped_bytes + CACHES_AT_ONCE, __ATOMIC_RELAXED);
    }
    cache = (struct cell_tcache *)registry.next;
    registry.next += sizeof *cache;
    return cache;
}

/* The first call of all sets the heap up; a thread's first gives it a cache. False: no memory. */
static bool start(void)
{
    cell_lock_acquire(&registry.lock);
    if (!registry.environment_read)
        registry.environment_read = cell_tunables_load();
    if (!cell_heap_is_ready(&cell_heap_main) && !cell_heap_init(&cell_heap_main, 0)) {
        cell_lock_release(&registry.lock);
        return false;
    }
    bool first = !registry.main_taken;
    if (!first && cell_tcache_limit() < cell_option.cache_limit_threads)
        __atomic_store_n(&cell_option.cache_limit, cell_option.cache_limit_threads, __ATOMIC_RELAXED);
    struct cell_tcache *cache = cell_option.cache_bytes == 0 ? &cache_exited : new_cache();
    if (!registry.key_made && !first)
        registry.key_made = pthread_key_create(&registry.key, retire) == 0;
    cell_lock_release(&registry.lock);

    if (cache == NULL)
        cache = &cache_exited;
    cell_tcache_mine = cache;
    if (cache == &cache_exited)
        return true;
    cache->next = NULL;
    cache->state = CELL_TCACHE_LIVE;
    if (!first && pthread_setspecific(registry.key, cache) != 0)
        retire(cache);
    return true;
}

bool cell_tcache_start(void)
{
    return cell_tcache_mine->state != CELL_TCACHE_NONE || start();
}

void cell_tcache_retire(void)
{
    struct cell_tcache *cache = cell_tcache_mine;

    if (cache->state != CELL_TCACHE_LIVE)
        return;
    if (registry.key_made)
        pthread_setspecific(registry.key, NULL);
    retire(cache);
}

/* ---- filling and emptying bins ----------------------------------------------------------------------------------- */

static size_t held(const struct cell_bin *bin)
{
    return bin->limit - bin->room;
}

/* Takes the oldest blocks out of a bin, all but `keep`; returns them. */
static struct cell_freed *split_off(struct cell_bin *bin, size_t keep)
{
    struct cell_freed *rest = bin->head, *last = rest;

    bin->room = bin->limit - (uint32_t)keep;
    if (keep == 0) {
        bin->head = NULL;
        return rest;
    }
    for (size_t i = 1; i < keep; i++)
        last = cell_freed_next(last);
    rest = cell_freed_next(last);
    cell_freed_set_next(last, NULL);
    return rest;
}

static void flush_bin(struct cell_bin *bin, size_t keep)
{
    if (held(bin) > keep)
        cell_heap_free_stack(&cell_heap_main, split_off(bin, keep));
}

/* A full bin passes all its blocks on to whichever thread wants them, without a look at one; when that is not to be, it
 * gives the older half back to the heap. */
static void overflow(struct cell_bin *bin, size_t size)
{
    if (cell_depot_put(size, bin->head, held(bin))) {
        bin->head = NULL;
        bin->room = bin->limit;
    } else {
        flush_bin(bin, bin->limit / 2);
    }
}

static bool is_cell_size(size_t size)
{
    return size <= cell_option.small_limit;
}

/* Gives what waits in the depot for any thread back; true when that was anything. */
static bool drain_depot(size_t size)
{
    struct cell_freed *stack;
    bool any = false;

    while (cell_depot_take(size, &stack) != 0) {
        any = true;
        cell_heap_free_stack(&cell_heap_main, stack);
    }
    return any;
}

/* Chunks that wait here may be what the heap lacks for `size` bytes: their coalescing can be deferred no longer. Not for
 * every page, though: what is given back must weigh little against the need and the growth since, else the same blocks
 * would come and go. */
static bool consolidate(struct cell_tcache *cache, size_t size)
{
    uint64_t brought_in = cell_segment_brought_in(&cell_heap_main.segment);
    size_t grown = (size_t)(brought_in - cache->consolidated_at) << CELL_PAGE_SHIFT;
    bool any = false;

    if (cache->state != CELL_TCACHE_LIVE || (cache->capacity / 2 > grown && cache->capacity / 16 > size))
        return false;
    cache->consolidated_at = brought_in;
    for (size_t i = cell_size_chunk_min() / CELL_ALIGN; i < CELL_TCACHE_BINS; i++) {
        struct cell_bin *bin = &cache->slot[i].bin;
        any |= bin->head != NULL;
        flush_bin(bin, 0);
        any |= drain_depot(i * CELL_ALIGN);
    }
    cache->flushes += any;
    return any;
}

void cell_tcache_flush(void)
{
    if (cell_tcache_mine->state == CELL_TCACHE_LIVE)
        flush_all(cell_tcache_mine);
    for (size_t i = 1; i < CELL_TCACHE_BINS; i++)
        drain_depot(i * CELL_ALIGN);
    cell_heap_coalesce(&cell_heap_main);
}

static size_t budget(void)
{
    size_t share = (cell_segment_resident(&cell_heap_main.segment) << CELL_PAGE_SHIFT) / cell_option.cache_share;
    size_t minimum = cell_os_single_threaded() ? BUDGET_MIN : BUDGET_THREADS;

    share = share > minimum ? share : minimum;
    return share < cell_option.cache_bytes ? share : cell_option.cache_bytes;
}

/* Halves the limit of one bin other than `bin`, in turn. */
static void take_over_room(struct cell_tcache *cache, const struct cell_bin *bin)
{
    for (size_t tried = 0; tried < VICTIMS_TRIED; tried++) {
        cache->victim = cache->victim % (CELL_TCACHE_BINS - 1) + 1;
        struct cell_bin *other = &cache->slot[cache->victim].bin;
        if (other == bin || other->limit < 2)
            continue;
        uint32_t limit = other->limit / 2;
        flush_bin(other, limit);
        other->room -= other->limit - limit;
        cache->capacity -= (other->limit - limit) * cache->victim * CELL_ALIGN;
        other->limit = limit;
        return;
    }
}

/* Doubles the limit of a bin in demand, as far as the budget goes; false: not at all. */
static bool widen(struct cell_tcache *cache, struct cell_bin *bin, size_t size)
{
    uint32_t at_first = is_cell_size(size) ? CELLS_AT_FIRST : CHUNKS_AT_FIRST;
    uint32_t limit = bin->limit == 0 ? at_first : bin->limit * 2;
    size_t more = (limit - bin->limit) * size;

    if (limit > 2 * cell_option.batch && bin->limit != 0)
        return false;
    if (cache->capacity + more > budget())
        take_over_room(cache, bin);
    if (cache->capacity + more > budget() && bin->limit != 0)
        return false;
    cache->capacity += more;
    bin->room += limit - bin->limit;
    bin->limit = limit;
    return true;
}

static size_t fetch(struct cell_tcache *cache, size_t size, size_t wanted, struct cell_freed **stack)
{
    if (is_cell_size(size))
        return cell_heap_take_cells(&cell_heap_main, (unsigned)(size / CELL_ALIGN), wanted, stack);

    size_t taken = cell_heap_take_chunks_without_growing(&cell_heap_main, size, wanted, stack);
    if (taken == 0 && consolidate(cache, size))
        taken = cell_heap_take_chunks_without_growing(&cell_heap_main, size, wanted, stack);
    if (taken == 0)
        taken = cell_heap_take_chunks(&cell_heap_main, size, wanted, stack);
    return taken;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* A batch from another thread may be more than the bin would take by itself. */
static void make_room(struct cell_tcache *cache, struct cell_bin *bin, size_t size, size_t blocks)
{
    if (blocks <= bin->room)
        return;
    uint32_t more = (uint32_t)blocks - bin->room;
    cache->capacity += more * size;
    bin->limit += more;
    bin->room += more;
}

static void *refill(struct cell_tcache *cache, size_t size)
{
    struct cell_bin *bin = cell_tcache_bin(cache, size);
    struct cell_freed *stack = NULL;

    if (cache->state != CELL_TCACHE_LIVE)
        return fetch(cache, size, 1, &stack) == 0 ? NULL : cell_freed_pop(&stack);

    cache->refills++;
    size_t taken = cell_depot_take(size, &stack);
    if (taken == 0) {
        widen(cache, bin, size);
        taken = fetch(cache, size, min_size((bin->limit + 1) / 2, cell_option.batch), &stack);
    }
    if (taken == 0)
        return NULL;
    void *block = cell_freed_pop(&stack);
    make_room(cache, bin, size, taken - 1);
    bin->head = stack;
    bin->room -= (uint32_t)(taken - 1);
    return block;
}

/* ---- the slow paths ------------------------------------------------------------------------------------------------ */

void *cell_tcache_alloc_large(size_t request, struct cell_zero_run *zero)
{
    if (!cell_tcache_start())
        return NULL;

    void *block = cell_heap_alloc_without_growing(&cell_heap_main, request, zero);
    if (block == NULL && consolidate(cell_tcache_mine, request))
        block = cell_heap_alloc_without_growing(&cell_heap_main, request, zero);
    return block != NULL ? block : cell_heap_alloc(&cell_heap_main, request, zero);
}

void *cell_tcache_alloc_aligned(size_t request, size_t alignment)
{
    if (!cell_tcache_start())
        return NULL;
    return cell_heap_alloc_aligned(&cell_heap_main, request, alignment);
}

void *cell_tcache_alloc_slow(size_t request)
{
    if (!cell_tcache_start())
        return NULL;
    if (request > CELL_REQUEST_MAX)
        return NULL;
    if (cell_option.cache_bytes == 0)
        cell_tcache_retire();

    bool cell = cell_size_is_cell(request);
    size_t size = cell ? cell_size_of_cell(request) : cell_size_of_chunk(request);
    if (cell || request <= cell_tcache_limit()) {
        /* A request that is rounded up here looked into another bin before it came. */
        void *block = cell_tcache_pop(cell_tcache_bin(cell_tcache_mine, size));
        if (block == NULL)
            block = refill(cell_tcache_mine, size);
        if (block != NULL)
            return block;
    } else if (size < CELL_FIT_MIN) {
        void *block = cell_heap_alloc_small(&cell_heap_main, request);
        if (block != NULL)
            return block;
    }
    return cell_tcache_alloc_large(request, NULL);
}

void cell_tcache_free_slow(struct cell_tcache *cache, size_t size, void *block)
{
    cell_tcache_start();
    if (cell_option.cache_bytes == 0)
        cell_tcache_retire();
    cache = cell_tcache_mine;
    if (cache->state != CELL_TCACHE_LIVE) {
        cell_heap_give(&cell_heap_main, block);
        return;
    }
    struct cell_bin *bin = cell_tcache_bin(cache, size);
    if (bin->room == 0 && !widen(cache, bin, size)) {
        cache->flushes++;
        overflow(bin, size);
    }
    if (!cell_tcache_push(bin, block))
        cell_heap_give(&cell_heap_main, block);
}

/* ---- looking inside ------------------------------------------------------------------------------------------------- */

size_t cell_tcache_bytes(const struct cell_tcache *cache)
{
    size_t bytes = 0;

    for (size_t i = 1; i < CELL_TCACHE_BINS; i++)
        bytes += held(&cache->slot[i].bin) * i * CELL_ALIGN;
    return bytes;
}

size_t cell_tcache_metadata_bytes(void)
{
    return sizeof cache_main + __atomic_load_n(&registry.mapped_bytes, __ATOMIC_RELAXED);
}

bool cell_tcache_is_valid(const struct cell_tcache *cache)
{
    size_t capacity = 0;

    for (size_t i = 1; i < CELL_TCACHE_BINS; i++) {
        const struct cell_bin *bin = &cache->slot[i].bin;
        size_t blocks = 0;
        for (const struct cell_freed *block = bin->head; block != NULL; block = cell_freed_next(block)) {
            size_t excess = cell_heap_size_of(&cell_heap_main, block) - i * CELL_ALIGN;
            if (++blocks > bin->limit || excess > CELL_ALIGN || (excess != 0 && is_cell_size(i * CELL_ALIGN)))
                return false;                                           /* T1 */
        }
        if (blocks + bin->room != bin->limit)                           /* T2 */
            return false;
        capacity += bin->limit * i * CELL_ALIGN;
    }
    return capacity == cache->capacity;                                 /* T3 */
}

void cell_tcache_lock(void)
{
    cell_lock_acquire(&registry.lock);
    cell_depot_lock();
}

void cell_tcache_unlock(void)
{
    cell_depot_unlock();
    cell_lock_release(&registry.lock);
}

void cell_tcache_reset_lock(void)
{
    cell_depot_reset_lock();
    cell_lock_reset(&registry.lock);
}
