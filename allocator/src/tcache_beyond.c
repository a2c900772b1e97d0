#include "arena.h"
#include "minmax.h"
#include "tcache.h"
#include "tcache_limits.h"

/* What no bin serves by itself: blocks above all classes, aligned ones, and those that are resized. */

#define ALIGNED_TRIED     8u
#define LUCK_KEPT         16u   /* from here on large blocks are kept: requests for what had just been freed, less those for others, */
#define LUCK_MAX          64u   /* which count up to here */
#define MOVED_MAX         ((size_t)4096)    /* bytes; copying more takes longer than the lock is held for a resize */

/* ---- large blocks ---------------------------------------------------------------------------------------------------- */

static bool may_be_kept_large(const struct cell_tcache *cache, size_t size)
{
    return size > CELL_BINNED_MAX && cell_tcache_class_limit() != 0 && cell_tcache_may_recur(size) &&
           cache->state == CELL_TCACHE_LIVE;
}

void *cell_tcache_take_large(size_t size, size_t alignment)
{
    struct cell_tcache *cache = cell_tcache_mine;
    void *block = NULL;

    if (!may_be_kept_large(cache, size))
        return NULL;
    if (cell_large_find(&cache->large, size, alignment, &block))
        cache->luck += cache->luck < LUCK_MAX;
    else
        cache->luck -= cache->luck != 0;
    return block;
}

static void give_back(void *block)
{
    cell_heap_give_chunk(cell_arena_heap_of(block), block, cell_heap_inuse_size(cell_chunk_of_user(block)));
}

bool cell_tcache_give_large_back(struct cell_tcache *cache)
{
    bool any = false;

    for (unsigned at = 0; at < CELL_LARGE_ENTRIES; at++) {
        void *block = cell_large_take_out(&cache->large, at);
        if (block != NULL)
            give_back(block);
        any |= block != NULL;
    }
    return any;
}

/* Large blocks may take as much again as what the bins may hold. */
static bool keep_large(struct cell_tcache *cache, void *block, size_t size)
{
    if (!may_be_kept_large(cache, size)) {
        if (cell_tcache_class_limit() != 0 && cell_large_bytes(&cache->large) != 0)       /* a limit has fallen */
            cell_tcache_give_large_back(cache);
        return false;
    }
    void *oldest = cell_large_make_way(&cache->large);
    if (oldest != NULL)
        give_back(oldest);
    bool kept = cache->luck >= LUCK_KEPT && cell_large_bytes(&cache->large) + size <= cell_tcache_budget(cache);
    cell_large_put(&cache->large, kept ? block : NULL, size);
    return kept;
}

void cell_tcache_free_large(void *block, size_t size)
{
    struct cell_tcache *cache = cell_tcache_mine;

    CELL_CHECK(!cell_freed_is_tagged(block), CELL_FATAL_DOUBLE_FREE);
    if (cache->state != CELL_TCACHE_LIVE || !keep_large(cache, block, size))
        cell_heap_give_chunk(cell_arena_heap_of(block), block, size);
    cell_tcache_follow(cache);
}

/* ---- alignment and resizing ---------------------------------------------------------------------------------------- */

/* The uppermost block that lies at a multiple of the alignment. Where all blocks of a size were asked for aligned, that is the first;
 * elsewhere few looks must do, since each may go to memory. */
static void *pop_aligned(struct cell_bin *bin, size_t alignment)
{
    struct cell_freed *above = NULL, *block = bin->head;

    for (unsigned tried = 0; block != NULL && tried < ALIGNED_TRIED; tried++) {
        struct cell_freed *below = cell_freed_next(block);
        if (((uintptr_t)block & (alignment - 1)) == 0) {
            if (above == NULL)
                bin->head = below;
            else
                cell_freed_set_next(above, below);
            cell_freed_untag(block);
            bin->room++;
            return block;
        }
        above = block;
        block = below;
    }
    return NULL;
}

/* The row whose bin serves a request above cache_limit of a program's one thread, if one does; 0: none has proved to recur. */
static size_t row_that_recurs(struct cell_tcache *cache, size_t size, size_t alignment, void **block)
{
    struct cell_recurring *slot = cell_tcache_recurring(cache, size);
    size_t row = cell_tcache_row_for_chunk(size);

    if (slot == NULL)
        return 0;
    if (slot->size == size && (*block = pop_aligned(&slot->bin, alignment)) != NULL)
        return cell_tcache_row_of_slot(cache, slot);
    if (row != 0 && (*block = pop_aligned(&cache->slot[row].bin, alignment)) != NULL)
        return row;
    return cell_tcache_class_limit() == 0 ? cell_tcache_ask(cache, size) : 0;
}

void *cell_tcache_alloc_aligned(size_t request, size_t alignment)
{
    struct cell_tcache *cache = cell_tcache_mine;
    size_t size = cell_size_of_chunk(request), row;
    void *block = NULL;

    cell_tcache_share_bins(cache);
    if (request <= cell_tcache_limit() || cell_tcache_has_class(request)) {
        row = request <= cell_tcache_limit() ? size / CELL_ALIGN : cell_tcache_row_of_class(cell_size_class_for(request));
        block = pop_aligned(cell_tcache_bin_of_row(cache, row), alignment);
    } else {
        row = row_that_recurs(cache, size, alignment, &block);
        block = block != NULL ? block : cell_tcache_take_large(size, alignment);
    }
    if (block != NULL)
        return block;
    size = row == 0 ? size : cell_tcache_size_of_row(cache, row);      /* so that its free finds the same bin */
    return cell_tcache_alloc_large(size - CELL_WORD, alignment, NULL);
}

/* Whether a request is rounded up to the class that a chunk of `size` bytes belongs to. */
static bool is_of_class(size_t size, size_t request)
{
    return cell_tcache_has_class(request) && size >= CELL_CLASS_MIN && cell_size_class(size) == cell_size_class_for(request);
}

void *cell_tcache_resize(void *block, size_t request)
{
    struct cell_heap *heap = cell_arena_heap_of(block);
    size_t limit = cell_tcache_class_limit(), size = cell_size_of_chunk(request);
    size_t have = size <= limit && cell_tcache_mine->state == CELL_TCACHE_LIVE ? cell_heap_chunk_size(heap, block) : 0;

    if (have != 0 && have <= limit) {
        if (is_of_class(have, request))
            return block;
        if (cell_min(have, size) <= MOVED_MAX && (size > have || have - size >= CELL_CUT_MIN))
            return NULL;
    }
    return cell_heap_resize(heap, block, request);
}
