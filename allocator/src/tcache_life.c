#include "tcache.h"

#include <pthread.h>
#include <string.h>

#include "depot.h"
#include "os.h"
#include "place.h"

#define CACHES_AT_ONCE ((size_t)65536)   /* bytes mapped at a time for caches of further threads */

/* Bins without room: nothing is ever written to them. */
static const struct cell_tcache none = { .state = CELL_TCACHE_NONE };
static const struct cell_tcache exited CELL_LOOKS_ON = { .state = CELL_TCACHE_EXITED };
#define CACHE_NONE    ((struct cell_tcache *)&none)
#define CACHE_EXITED  ((struct cell_tcache *)&exited)

static struct cell_tcache cache_main CELL_FIRST;
static struct cell_watch watch_main __attribute__((aligned(CELL_PAGE)));
struct cell_spare cell_tcache_spare_main[CELL_TCACHE_BINS];

size_t cell_tcache_class_limit_now CELL_FIRST;
uint8_t cell_tcache_row_of_words[CELL_BINNED_MAX / CELL_WORD] CELL_FIRST_ROWS __attribute__((aligned(64)));
uint8_t cell_tcache_row_of_large[CELL_CLASS_MAX / CELL_CLASS_STEP] CELL_FIRST_ROWS;
uint8_t cell_tcache_row_of_freed[CELL_CLASS_MAX / CELL_CLASS_STEP + 1] CELL_FIRST_ROWS;
__thread struct cell_tcache *cell_tcache_mine __attribute__((tls_model("initial-exec"))) = CACHE_NONE;

/* Caches that no thread uses, and the part of a mapping from which none has been made yet. */
static struct {
    struct cell_lock lock;
    bool main_taken, key_made, environment_read;
    pthread_key_t key;
    struct cell_tcache *unused;
    char *next, *end;
    size_t mapped_bytes;
    size_t caches;                  /* in use */
} registry CELL_FIRST;

/* At the end of a thread. What it frees from here on goes straight to the heap. */
__attribute__((cold)) static void retire(void *argument)
{
    struct cell_tcache *cache = argument;
    struct cell_spare *spare = cache == &cache_main ? cell_tcache_spare_main : cache->spare;

    cell_tcache_mine = CACHE_EXITED;
    cell_tcache_empty(cache);
    for (size_t row = 0; cache->spare != NULL && row < CELL_TCACHE_BINS; row++)
        if (cache->spare[row].limit != 0)       /* a page of them that was never written to is not to come in */
            cache->spare[row].limit = 0;
    if (cache->watch != NULL)
        memset(cache->watch, 0, sizeof watch_main);
    memset(cache, 0, sizeof *cache);
    cache->spare = spare;
    cell_lock_acquire(&registry.lock);
    cache->next = registry.unused;
    registry.unused = cache;
    __atomic_store_n(&registry.caches, registry.caches - 1, __ATOMIC_RELAXED);
    cell_lock_release(&registry.lock);
}

/* Lock held. NULL: no memory. */
static struct cell_tcache *new_cache(void)
{
    struct cell_tcache *cache = registry.unused;

    if (!registry.main_taken) {
        registry.main_taken = true;
        cache_main.watch = &watch_main;
        return &cache_main;
    }
    if (cache != NULL) {
        registry.unused = cache->next;
        cache->next = NULL;
        return cache;
    }
    size_t spare_bytes = CELL_TCACHE_BINS * sizeof *cache->spare;
    if ((size_t)(registry.end - registry.next) < sizeof *cache + spare_bytes) {
        char *start = cell_os_map(CACHES_AT_ONCE);
        if (start == NULL)
            return NULL;
        registry.next = start;
        registry.end = start + CACHES_AT_ONCE;
        __atomic_store_n(&registry.mapped_bytes, registry.mapped_bytes + CACHES_AT_ONCE, __ATOMIC_RELAXED);
    }
    cache = (struct cell_tcache *)registry.next;
    registry.next += sizeof *cache;
    registry.end -= spare_bytes;            /* apart: of a thread that frees little, no page of them comes in */
    cache->spare = (struct cell_spare *)registry.end;
    return cache;
}

static void map_requests(void)
{
    for (size_t words = 0; words < CELL_BINNED_MAX / CELL_WORD; words++) {
        size_t request = words * CELL_WORD, row = cell_size_of_chunk(request) / CELL_ALIGN;

        if (cell_size_is_cell(request))
            row = cell_size_of_cell(request) / CELL_ALIGN;
        else if (cell_tcache_has_class(request))
            row = cell_tcache_row_of_class(cell_size_class_for(request));
        __atomic_store_n(&cell_tcache_row_of_words[words], (uint8_t)row, __ATOMIC_RELAXED);
    }
    for (size_t step = CELL_BINNED_MAX / CELL_CLASS_STEP; step < CELL_CLASS_MAX / CELL_CLASS_STEP; step++)
        __atomic_store_n(&cell_tcache_row_of_large[step], (uint8_t)cell_tcache_row_of_large_class(cell_size_class(step * CELL_CLASS_STEP) + 1),
                         __ATOMIC_RELAXED);
}

/* Between threads, classes up to the limit have bins; with one thread those that have proved to recur. */
static bool is_kept(size_t row, size_t size)
{
    size_t limit = cell_tcache_class_limit();

    if (cell_option.binned_size != CELL_BINNED_MAX)
        return false;
    if (limit != 0)
        return size <= limit;
    return cell_tcache_may_recur(size) && watch_main.row[row].proven;
}

/* Nothing is, at the start. */
static void map_freed(void)
{
    for (size_t i = CELL_BINNED_MAX / CELL_CLASS_STEP; i <= CELL_CLASS_MAX / CELL_CLASS_STEP; i++) {
        unsigned size_class = cell_size_class(i * CELL_CLASS_STEP);
        size_t row = cell_tcache_row_of_large_class(size_class);
        bool kept = is_kept(row, cell_size_of_class(size_class));
        __atomic_store_n(&cell_tcache_row_of_freed[i], (uint8_t)(kept ? row : 0), __ATOMIC_RELAXED);
    }
}

/* recurring_limit may have fallen. */
static void unname_slots(void)
{
    for (size_t size = CELL_CLASS_MAX; size > CELL_BINNED_MAX && !cell_tcache_may_recur(size); size -= CELL_ALIGN)
        __atomic_store_n(cell_tcache_slot_of(&watch_main, size), 0, __ATOMIC_RELAXED);
}

static void map_sizes(void)
{
    map_requests();
    map_freed();
    unname_slots();
}

void cell_tcache_map_sizes(void)
{
    cell_lock_acquire(&registry.lock);
    if (cell_heap_is_ready(&cell_heap_main))
        map_sizes();
    cell_lock_release(&registry.lock);
}

/* What threads would meet at the heap's lock for, their caches keep. A limit that falls leaves no class, but blocks of classes in the
 * bins: it is not 0 again. */
static void start_sharing(void)
{
    size_t limit = cell_option.cache_limit_threads, by_size = CELL_CLASS_MIN - CELL_WORD;

    cell_tunables_share(limit < by_size ? limit : by_size);
    size_t by_class = limit > by_size ? cell_size_of_class(cell_size_class(limit + CELL_WORD))
                    : cell_tcache_class_limit() != 0 ? CELL_CLASS_MIN : 0;
    if (by_class == cell_tcache_class_limit())
        return;
    __atomic_store_n(&cell_tcache_class_limit_now, by_class, __ATOMIC_RELAXED);
    map_sizes();
}

/* The first call of all sets the heap up; a thread's first gives it a cache. False: no memory. */
static bool start(void)
{
    cell_lock_acquire(&registry.lock);
    bool ready = cell_heap_is_ready(&cell_heap_main);
    if (!registry.environment_read)
        registry.environment_read = cell_tunables_load(ready);
    if (!ready && !cell_heap_init(&cell_heap_main, 0)) {
        cell_lock_release(&registry.lock);
        return false;
    }
    if (!ready)
        map_requests();
    bool first = !registry.main_taken && cell_os_single_threaded();     /* else it may end before the process */
    if (!first && cell_option.cache_limit != 0)
        start_sharing();
    struct cell_tcache *cache = cell_option.cache_bytes == 0 ? CACHE_EXITED : new_cache();
    if (cache != CACHE_EXITED && cache != NULL)
        __atomic_store_n(&registry.caches, registry.caches + 1, __ATOMIC_RELAXED);
    if (!registry.key_made && !first)
        registry.key_made = pthread_key_create(&registry.key, retire) == 0;
    bool is_given_back = first || registry.key_made;        /* where nobody would give the cache back, the thread goes without */
    cell_lock_release(&registry.lock);

    if (cache == NULL)
        cache = CACHE_EXITED;
    cell_tcache_mine = cache;
    if (cache == CACHE_EXITED)
        return true;
    cache->state = CELL_TCACHE_LIVE;
    cache->times_emptied = cell_heap_times_emptied(&cell_heap_main);
    if (!is_given_back || (!first && pthread_setspecific(registry.key, cache) != 0))
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

size_t cell_tcache_count(void)
{
    return __atomic_load_n(&registry.caches, __ATOMIC_RELAXED);
}

size_t cell_tcache_metadata_bytes(void)
{
    return sizeof cache_main + __atomic_load_n(&registry.mapped_bytes, __ATOMIC_RELAXED);
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
    registry.caches = cell_tcache_mine->state == CELL_TCACHE_LIVE;      /* the other threads are not in the child */
}
