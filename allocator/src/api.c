/* api.c - the functions of cellmalloc.h: their fast paths, and the edges of their arguments.
 *
 * The way of free(p): here, to the bin of the thread's cache (tcache.h); when that is full, in a batch to the heap
 * that it lies in (arena.c, heap.c), which gives cells to their pool (pool.c) and merges chunks with their neighbours into bins.c or fit.c.
 */
#include "cellmalloc.h"

#include <errno.h>
#include <string.h>

#include "api.h"
#include "arena.h"
#include "harden.h"
#include "mapped.h"
#include "minmax.h"
#include "os.h"
#include "override.h"
#include "sizeclass.h"
#include "tcache.h"

/* How many cache lines the fast paths lie in must not depend on what lies before them. */
void *cell_malloc(size_t size) __attribute__((aligned(64)));
void cell_free(void *block) __attribute__((aligned(64)));

void *cell_api_or_enomem(void *block)
{
    if (CELL_UNLIKELY(block == NULL))
        errno = ENOMEM;
    return block;
}

int cell_api_fail(int error)
{
    errno = error;
    return -1;
}

/* M_PERTURB: caches are off then, so that every call comes through here and the fast paths need not ask. So with harden. */
static void *perturb_fresh(void *block)
{
    if (CELL_UNLIKELY(cell_option.perturb != 0) && block != NULL)
        memset(block, (int)~cell_option.perturb & 255, cell_usable_size(block));
    return block;
}

static void perturb_freed(void *block)
{
    if (CELL_UNLIKELY(cell_option.perturb != 0))
        memset(block, (int)cell_option.perturb, cell_heap_usable(&cell_heap_main, block));
}

static void *malloc_slow(size_t size) __attribute__((noinline));
static void *malloc_slow(size_t size)
{
    void *block = NULL;

    if (cell_tcache_start())
        block = cell_harden_is_on() ? cell_harden_alloc(size, CELL_ALIGN, false) : cell_tcache_alloc_slow(size);
    return cell_api_or_enomem(perturb_fresh(block));
}

/* No bin has any: from what has just proved to recur, or else from the heap. */
static void *malloc_unbinned(size_t size) __attribute__((noinline));
static void *malloc_unbinned(size_t size)
{
    struct cell_tcache *cache = cell_tcache_mine;

    if (cache->state != CELL_TCACHE_LIVE || cell_option.cache_bytes == 0 || size <= cell_tcache_limit() || cell_size_is_cell(size) ||
        cell_tcache_has_class(size) || size > CELL_REQUEST_MAX)
        return malloc_slow(size);
    size_t chunk = cell_size_of_chunk(size);
    void *block = cell_tcache_ask_recurring(chunk);
    if (block == NULL && size <= CELL_DEFERRED_MAX)
        block = cell_heap_take_small(cell_arena_at(cell_arena_for(chunk)), chunk);
    if (block != NULL)
        return block;
    cell_tcache_share_bins(cache);
    return cell_api_or_enomem(cell_tcache_alloc_large(size, CELL_ALIGN, NULL));
}

/* A request above all bins of one size: from the bin of its class, which has some once there are threads, or where it recurs. */
__attribute__((always_inline)) static inline void *pop_large(size_t size)
{
    struct cell_tcache *cache = cell_tcache_mine;
    size_t chunk = cell_size_of_large_chunk(size);

    if (size <= CELL_CLASS_MAX - CELL_WORD) {
        struct cell_recurring *slot = cell_tcache_named_slot(cache, chunk);
        return cell_tcache_pop(slot != NULL ? &slot->bin : &cache->slot[cell_tcache_row_for_large(size)].bin);
    }
    if (cache->watch == NULL || !cell_tcache_may_recur(chunk))
        return NULL;
    struct cell_recurring *slot = cell_recurring_find(cache->watch->slot, chunk);
    return slot->size == chunk ? cell_tcache_pop(&slot->bin) : NULL;
}

static inline void *pop_beyond(size_t size)
{
    return size > CELL_BINNED_MAX - CELL_WORD ? pop_large(size) : NULL;
}

void *cell_api_malloc_beyond(size_t size)
{
    void *block = pop_beyond(size);

    return CELL_LIKELY(block != NULL) ? block : malloc_unbinned(size);
}

void *cell_malloc(size_t size)
{
    void *block = cell_tcache_alloc(size);

    return CELL_LIKELY(block != NULL) ? block : cell_api_malloc_beyond(size);
}

/* `said` is the size that the caller of a sized delete gives: a plain one costs nothing for it. */
static void free_slow(struct cell_tcache *cache, const struct cell_bin *bin, void *block, size_t said) __attribute__((noinline));
static void free_slow(struct cell_tcache *cache, const struct cell_bin *bin, void *block, size_t said)
{
    if (cell_harden_is_on()) {
        cell_harden_free(block, said);
        return;
    }
    perturb_freed(block);
    cell_tcache_free_slow(cache, cell_tcache_row_of_bin(cache, bin), block);
}

/* A chunk that neither its size nor its class has a row for. */
static void free_unbinned(void *block, struct cell_tcache *cache, size_t size, size_t said) __attribute__((noinline));
static void free_unbinned(void *block, struct cell_tcache *cache, size_t size, size_t said)
{
    if (cell_tcache_free_recurring(cache, block, size))
        return;
    cell_tcache_note_class(cache, size);
    if (cell_harden_is_on()) {
        cell_harden_free(block, said);
        return;
    }
    perturb_freed(block);
    cell_tcache_free_large(block, size);
}

static void free_elsewhere(void *block, size_t said) __attribute__((noinline));
static void free_elsewhere(void *block, size_t said)
{
    if (block == NULL)
        return;
    if (cell_harden_is_on()) {
        cell_harden_free(block, said);
        return;
    }
    perturb_freed(block);
    cell_heap_give(cell_arena_heap_of(block), block);
}

/* Ends the program: the block has been freed already, or is none. */
__attribute__((cold, noinline)) static _Noreturn void reject_free(const void *block)
{
    CELL_CHECK(!cell_freed_is_tagged(block), CELL_FATAL_DOUBLE_FREE);
    cell_heap_reject(cell_chunk_of_user(block));
}

/* Both checks end in one call: for two, every free would set a frame up. */
__attribute__((always_inline)) static inline void free_block(void *block, size_t said)
{
    const struct cell_segment *seg = &cell_heap_main.segment;
    size_t slot = cell_segment_slot_of(seg, block);
    struct cell_tcache *cache = cell_tcache_mine;

    if (CELL_UNLIKELY(!cell_segment_has_slot(seg, slot))) {
        free_elsewhere(block, said);
        return;
    }
    size_t size = cell_segment_kind_of_slot(seg, slot);         /* of a cell, and the offset of its bin */
    struct cell_bin *bin = cell_tcache_bin(cache, size);
    if (size <= CELL_PAGE_RESERVED_KIND) {
        if (CELL_UNLIKELY(!cell_heap_is_inuse(cell_chunk_of_user(block), &size)))
            goto misuse;
        bin = cell_tcache_bin(cache, size);
        if (CELL_UNLIKELY(size > __atomic_load_n(&cell_option.binned_size, __ATOMIC_RELAXED))) {
            bin = cell_tcache_bin_for_freed(cache, size);
            if (CELL_UNLIKELY(bin == NULL)) {
                free_unbinned(block, cache, size, said);
                return;
            }
        }
    }
    uintptr_t mark = cell_freed_mark(block);
    if (CELL_MISUSED(cell_freed_has_mark(block, mark)))
        goto misuse;
    if (CELL_UNLIKELY(!cell_tcache_push_marked(bin, block, mark)))
        free_slow(cache, bin, block, said);
    return;
misuse:
    reject_free(block);
}

void cell_free(void *block)
{
    free_block(block, CELL_SIZE_UNKNOWN);
}

void cell_api_delete_sized(void *block, size_t size)
{
    free_block(block, size);
}

void *cell_api_clear(void *block, size_t bytes, struct cell_zero_run zero)
{
    char *begin = block, *end = begin + bytes;
    char *zero_begin = zero.begin < begin ? begin : zero.begin > end ? end : zero.begin;
    char *zero_end = zero.end < zero_begin ? zero_begin : zero.end > end ? end : zero.end;

    memset(begin, 0, (size_t)(zero_begin - begin));
    memset(zero_end, 0, (size_t)(end - zero_end));
    return block;
}

static void *calloc_beyond(size_t bytes) __attribute__((noinline));
static void *calloc_beyond(size_t bytes)
{
    if (bytes > CELL_REQUEST_MAX)
        return cell_api_or_enomem(NULL);
    if (bytes <= cell_option.small_limit || bytes <= cell_tcache_limit() || cell_tcache_has_class(bytes)) {
        void *block = cell_api_malloc_beyond(bytes);
        return block == NULL ? NULL : memset(block, 0, bytes);
    }

    struct cell_zero_run zero;
    if (cell_tcache_start() && cell_harden_is_on())
        return cell_api_or_enomem(cell_harden_alloc(bytes, CELL_ALIGN, true));
    void *block = pop_beyond(bytes);
    if (block == NULL && cell_option.cache_bytes != 0)
        block = cell_tcache_ask_recurring(cell_size_of_chunk(bytes));
    if (block != NULL)
        return memset(block, 0, bytes);
    block = cell_tcache_alloc_large(bytes, CELL_ALIGN, &zero);
    return block == NULL ? cell_api_or_enomem(NULL) : cell_api_clear(block, bytes, zero);
}

void *cell_calloc(size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes))
        return cell_api_or_enomem(NULL);
    void *block = cell_tcache_alloc(bytes);
    return CELL_LIKELY(block != NULL) ? memset(block, 0, bytes) : calloc_beyond(bytes);
}

void *cell_api_resize_in_place(struct cell_heap *heap, void *block, size_t size)
{
    return cell_segment_holds(&heap->segment, block) ? cell_heap_resize(heap, block, size) : cell_mapped_resize_in_place(heap, block, size);
}

/* Set once a block has been kept that is larger than its size asks for. */
static bool any_is_kept;

void *cell_api_keep(struct cell_heap *heap, void *block, size_t usable, size_t size)
{
    size_t least = cell_max(size, cell_option.small_limit + 1);     /* a chunk holds as much */

    __atomic_store_n(&any_is_kept, true, __ATOMIC_RELAXED);
    if (least < usable)
        cell_api_resize_in_place(heap, block, least);
    return block;
}

void *cell_realloc(void *block, size_t size)
{
    if (block == NULL)
        return cell_malloc(size);
    if (size == 0) {
        cell_free(block);
        return NULL;
    }
    if (size > CELL_REQUEST_MAX)
        return cell_api_or_enomem(NULL);

    if (cell_harden_is_on())
        return cell_api_or_enomem(cell_harden_realloc(block, size));
    size_t cell, usable = cell_heap_look(&cell_heap_main, block, &cell);
    if (cell != 0 && cell == cell_size_of_cell(size))
        return block;
    void *resized = cell == 0 ? cell_tcache_resize(block, size) : NULL;
    if (resized != NULL)
        return resized;
    void *moved = cell_malloc(size);
    if (moved == NULL && size <= usable)
        return cell_api_keep(cell_arena_heap_of(block), block, usable, size);
    if (moved == NULL)              /* what was to be moved may still fit where it is */
        return cell_heap_resize(cell_arena_heap_of(block), block, size);
    memcpy(moved, block, usable < size ? usable : size);
    cell_free(block);
    return moved;
}

void *cell_reallocarray(void *block, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes))
        return cell_api_or_enomem(NULL);
    return cell_realloc(block, bytes);
}

/* No chunk handed out for `size` bytes is as large as this: less than CELL_CUT_MIN is not split off it, and caches add a share.
 * Between threads, it may be any of a size class. */
static size_t chunk_bound(size_t size)
{
    size_t chunk = cell_size_of_chunk(size), bound = chunk + CELL_CUT_MIN;

    if (size <= CELL_CLASS_MIN - CELL_WORD)
        bound += chunk / CELL_EXCESS_SHARE;
    else if (size <= CELL_CLASS_MAX - CELL_WORD)
        bound = cell_size_of_class(cell_size_class_for(size) + 1) + CELL_ALIGN;
    return bound;
}

/* Whether a request of `size` bytes can have given the block: it is of the size's class, or, where classes are wide, near it.
 * Every cell and chunk is as large as its request makes it, mapped blocks may be a quarter and two pages larger. */
__attribute__((cold)) static bool may_have_asked(const void *block, size_t alignment, size_t size)
{
    const struct cell_segment *seg = &cell_heap_main.segment;
    size_t usable = cell_heap_usable(&cell_heap_main, block);

    if (size > usable)
        return false;
    if (__atomic_load_n(&any_is_kept, __ATOMIC_RELAXED))
        return true;
    if (!cell_segment_holds(seg, block))
        return usable - size <= size / 4 + 2 * cell_os_page_size() + alignment;
    if (seg->kind[cell_segment_page_of(seg, block)] >= CELL_PAGE_POOL)
        return usable == (cell_size_of_cell(size) + alignment - 1) / alignment * alignment;
    return usable + CELL_WORD >= cell_size_of_chunk(size) && usable + CELL_WORD < chunk_bound(size);
}

void cell_free_sized(void *block, size_t size)
{
    if (block != NULL && !cell_harden_is_on())
        CELL_CHECK(may_have_asked(block, CELL_ALIGN, size), CELL_FATAL_SIZED_FREE);
    cell_api_delete_sized(block, size);
}

void cell_free_aligned_sized(void *block, size_t alignment, size_t size)
{
    CELL_CHECK(((uintptr_t)block & (alignment - 1)) == 0, CELL_FATAL_SIZED_FREE);
    if (block != NULL && !cell_harden_is_on())
        CELL_CHECK(may_have_asked(block, alignment, size), CELL_FATAL_SIZED_FREE);
    cell_api_delete_sized(block, size);
}

/* ---- alignment ------------------------------------------------------------------------------------------------- */

static bool is_power_of_two(size_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

/* `alignment` is a power of two. */
static void *alloc_aligned(size_t alignment, size_t size)
{
    if (size > CELL_REQUEST_MAX || alignment > CELL_REQUEST_MAX / 2)
        return NULL;
    if (alignment <= CELL_ALIGN)
        return cell_malloc(size);
    if (cell_tcache_start() && cell_harden_is_on())
        return perturb_fresh(cell_harden_alloc(size, alignment, false));
    /* A cell lies at a multiple of its size from the start of a page; what comes when there is no page for a pool may not. */
    size_t rounded = ((size == 0 ? 1 : size) + alignment - 1) & ~(alignment - 1);
    if (cell_size_is_cell(rounded)) {
        void *block = cell_malloc(rounded);
        if (((uintptr_t)block & (alignment - 1)) == 0)
            return block;
        cell_free(block);
    }
    return perturb_fresh(cell_tcache_alloc_aligned(size, alignment));
}

void *cell_aligned_alloc(size_t alignment, size_t size)
{
    if (!is_power_of_two(alignment)) {
        errno = EINVAL;
        return NULL;
    }
    return cell_api_or_enomem(alloc_aligned(alignment, size));
}

size_t cell_api_round_alignment(size_t alignment)
{
    size_t rounded = CELL_ALIGN;

    if (alignment > CELL_REQUEST_MAX / 2 + 1)
        return 0;
    while (rounded < alignment)
        rounded *= 2;
    return rounded;
}

void *cell_memalign(size_t alignment, size_t size)
{
    size_t rounded = cell_api_round_alignment(alignment);

    if (rounded == 0) {
        errno = EINVAL;
        return NULL;
    }
    return cell_api_or_enomem(alloc_aligned(rounded, size));
}

int cell_posix_memalign(void **block, size_t alignment, size_t size)
{
    if (!is_power_of_two(alignment) || alignment % sizeof(void *) != 0)
        return EINVAL;
    void *made = cell_api_or_enomem(alloc_aligned(alignment, size));
    if (made == NULL)
        return ENOMEM;
    *block = made;
    return 0;
}

void *cell_valloc(size_t size)
{
    return cell_api_or_enomem(alloc_aligned(cell_os_page_size(), size));
}

void *cell_pvalloc(size_t size)
{
    size_t page = cell_os_page_size();

    if (size > CELL_REQUEST_MAX - page)
        return cell_api_or_enomem(NULL);
    return cell_api_or_enomem(alloc_aligned(page, (size + page - 1) & ~(page - 1)));
}

size_t cell_usable_size(const void *block)
{
    if (block == NULL)
        return 0;
    return cell_harden_is_on() ? cell_harden_requested(block) : cell_heap_look(&cell_heap_main, block, &(size_t){ 0 });
}

size_t cell_good_size(size_t size)
{
    if (size > CELL_REQUEST_MAX - 2 * CELL_PAGE || cell_harden_is_on() || !cell_tcache_start())
        return size;
    if (cell_size_is_cell(size))
        return cell_size_of_cell(size);
    if (size >= cell_mapped_threshold(&cell_heap_main))
        return cell_mapped_good_size(size);
    return cell_size_of_chunk(size) - CELL_WORD;
}

CELL_OVERRIDE_C_NAMES
