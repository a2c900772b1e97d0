#include "heap.h"

#include <string.h>

#include "footprint.h"
#include "index.h"
#include "mapped.h"
#include "minmax.h"
#include "os.h"
#include "place.h"
#include "pool_pages.h"
#include "sizeclass.h"
#include "space.h"

#define POSTPONED_MIN  (2 * CELL_PAGE)  /* bytes of a block whose pages are not brought in while others wait, */
#define WAITS_SEEN     16u      /* once threads have waited so often while so many pages came in */
#define WAITS_WINDOW   4096u
#define FREES_PER_LOCK 32u      /* others wait no longer than for this many at a time */

struct cell_heap cell_heap_main CELL_FIRST_HEAP;
uint64_t cell_chunk_secret CELL_FIRST;
uintptr_t cell_freed_secret[2] CELL_FIRST;

/* ---- start ---------------------------------------------------------------------------------------------------- */

static void make_secrets(void)
{
    if (cell_freed_secret[1] != 0)
        return;
    cell_chunk_secret = cell_os_random(CELL_OS_RANDOM_SECRET);
    cell_freed_secret[0] = (uintptr_t)(cell_chunk_secret * UINT64_C(0xD1342543DE82EF95));
    cell_freed_secret[1] = (uintptr_t)(cell_chunk_secret * UINT64_C(0xAF251AF3B0F025B5)) | 1;
}

/* Of a heap that has its range. */
static CELL_AT_START __attribute__((noinline)) void start(struct cell_heap *heap)
{
    cell_fit_init(&heap->fit);
    cell_pool_init(&heap->pools, &heap->segment);
    cell_link_init(&heap->dirty);
    cell_link_init(&heap->mapped);
    heap->top = cell_heap_first_chunk(heap);
    heap->deferred.held = 0;        /* written before it is read, its page costs one fault, not two */
    __atomic_store_n(&heap->ready, true, __ATOMIC_RELEASE);
}

bool cell_heap_init(struct cell_heap *heap, size_t range)
{
    make_secrets();
    bool settled = cell_segment_init(&heap->segment, range);
    if (settled)
        start(heap);
    return settled;
}

bool cell_heap_init_part(struct cell_heap *heap, struct cell_heap *whole, size_t from, size_t to)
{
    bool settled = cell_segment_init_part(&heap->segment, &whole->segment, from, to);
    if (settled)
        start(heap);
    return settled;
}

void cell_heap_coalesce(struct cell_heap *heap)
{
    cell_lock_acquire(&heap->lock);
    cell_space_coalesce(heap);
    cell_lock_release(&heap->lock);
}

/* Whether threads have been waiting for the lock lately. It is held. */
static bool is_contended(struct cell_heap *heap)
{
    uint32_t waits = cell_lock_waits(&heap->lock);

    if (heap->segment.brought_in - heap->waits_from >= WAITS_WINDOW) {
        heap->waits_from = heap->segment.brought_in;
        heap->waits_then = waits;
    }
    return waits - heap->waits_then >= WAITS_SEEN && !cell_os_single_threaded();
}

/* Takes the lock for a block of `size` bytes. Where threads wait for each other, they are not to wait for the system, too. */
static void lock_to_hand_out(struct cell_heap *heap, size_t size, struct cell_postponed *postponed)
{
    cell_lock_acquire(&heap->lock);
    heap->postponed = size >= POSTPONED_MIN && is_contended(heap) ? postponed : NULL;
}

static void unlock_and_bring_in(struct cell_heap *heap, const struct cell_postponed *postponed)
{
    heap->postponed = NULL;
    cell_lock_release(&heap->lock);
    if (CELL_UNLIKELY(postponed->size != 0))
        cell_segment_bring_in(postponed);
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

size_t cell_heap_take_cells(struct cell_heap *heap, unsigned pool_class, size_t wanted, struct cell_freed **stack)
{
    cell_lock_acquire(&heap->lock);
    size_t taken = cell_pool_pages_take(heap, pool_class, wanted, stack);
    cell_lock_release(&heap->lock);
    return taken;
}

/* How many chunks of `size` to carve at one place: what it holds, but not beyond the pages that are there. */
static size_t run_length(const struct cell_heap *heap, const struct cell_chunk *place, size_t size, size_t wanted)
{
    size_t room = CELL_PAGE - ((uintptr_t)heap->top & (CELL_PAGE - 1)) - CELL_TOP_KEEP;

    if (place != NULL)
        room = cell_chunk_size(place);
    room /= size;
    if (room == 0)
        return 1;
    return room < wanted ? room : wanted;
}

/* Cuts a chunk in use into `count` chunks of `size` and pushes them, lowest address on top. */
static void carve(struct cell_chunk *run, size_t size, size_t count, struct cell_freed **stack)
{
    size_t status = CELL_INUSE | (cell_chunk_is_prev_inuse(run) ? CELL_PREV_INUSE : 0);
    size_t last = cell_chunk_size(run) - (count - 1) * size;

    for (size_t i = count; i-- > 0;) {
        struct cell_chunk *c = cell_chunk_at(run, i * size);
        if (count > 1)
            cell_chunk_set(c, i == count - 1 ? last : size, i == 0 ? status : CELL_INUSE | CELL_PREV_INUSE);
        cell_freed_push(stack, cell_chunk_user(c));
    }
}

static size_t take_chunks(struct cell_heap *heap, size_t size, size_t wanted, enum cell_growth growth,
                          struct cell_freed **stack)
{
    size_t taken = 0;
    struct cell_postponed postponed = { NULL, 0 };

    lock_to_hand_out(heap, size, &postponed);
    while (taken < wanted) {
        struct cell_zero_run zero;
        struct cell_chunk *place = cell_space_find_coalesced(heap, size, CELL_ALIGN);
        size_t count = run_length(heap, place, size, wanted - taken);
        struct cell_chunk *run = place != NULL
            ? cell_space_take_from(heap, place, count * size, CELL_ALIGN, &zero)
            : cell_space_take_from_top(heap, count * size, CELL_ALIGN, taken == 0 ? growth : CELL_STAY, &zero);
        if (run == NULL)
            break;
        carve(run, size, count, stack);
        taken += count;
    }
    unlock_and_bring_in(heap, &postponed);
    return taken;
}

size_t cell_heap_take_chunks(struct cell_heap *heap, size_t size, size_t wanted, struct cell_freed **stack)
{
    return take_chunks(heap, size, wanted, CELL_GROW, stack);
}

size_t cell_heap_take_chunks_without_growing(struct cell_heap *heap, size_t size, size_t wanted,
                                             struct cell_freed **stack)
{
    return take_chunks(heap, size, wanted, CELL_STAY, stack);
}

/* What a pool has left behind in its cells must not pass for a freed block. */
static void *handed_out(struct cell_chunk *c)
{
    void *block = cell_chunk_user(c);

    cell_freed_untag(block);
    return block;
}

/* The oldest chunk of exactly `size` bytes, if it waits. If not, and none is free either, all that wait coalesce. Lock held. */
static struct cell_chunk *take_waiting(struct cell_heap *heap, size_t size)
{
    if (size < CELL_FIT_MIN && cell_bins_has(&heap->bins, size))        /* it has been free for longer */
        return NULL;
    struct cell_chunk *c = size < CELL_FIT_MIN ? cell_deferred_take(&heap->deferred, size) : NULL;
    if (c == NULL)
        cell_space_coalesce(heap);
    return c;
}

void *cell_heap_take_small(struct cell_heap *heap, size_t size)
{
    cell_lock_acquire(&heap->lock);
    struct cell_chunk *c = take_waiting(heap, size);
    if (c == NULL)
        c = cell_space_take_from_bins(heap, size);
    cell_lock_release(&heap->lock);
    return c == NULL ? NULL : handed_out(c);
}

static void *alloc_chunk(struct cell_heap *heap, size_t request, size_t alignment, enum cell_growth growth,
                         struct cell_zero_run *zero)
{
    size_t size = cell_size_of_chunk(request);
    struct cell_postponed postponed = { NULL, 0 };

    lock_to_hand_out(heap, size, &postponed);
    struct cell_chunk *c = NULL;
    if (alignment == CELL_ALIGN)
        c = take_waiting(heap, size);
    else
        cell_space_coalesce(heap);
    if (c != NULL)
        *zero = (struct cell_zero_run){ NULL, NULL };
    else
        c = cell_space_take(heap, size, alignment, growth, zero);
    unlock_and_bring_in(heap, &postponed);
    return c == NULL ? NULL : handed_out(c);
}

void *cell_heap_alloc(struct cell_heap *heap, size_t request, size_t alignment, enum cell_growth growth, struct cell_zero_run *zero)
{
    struct cell_zero_run unused;
    bool map = request >= cell_mapped_threshold(cell_heap_whole(heap)) && cell_option.mmap_max != 0;

    if (map) {
        void *block = cell_mapped_alloc(cell_heap_whole(heap), request, alignment, zero);
        if (block != NULL)
            return block;
    }
    void *block = alloc_chunk(heap, request, alignment, growth, zero == NULL ? &unused : zero);
    if (block == NULL && growth == CELL_GROW && !map)        /* the range is used up: the system may still have room */
        block = cell_mapped_alloc(cell_heap_whole(heap), request, alignment, zero);
    return block;
}

void cell_heap_reject(const struct cell_chunk *c)
{
    if (cell_chunk_is_erased(c) || cell_chunk_is_sealed(c))
        cell_fatal(CELL_FATAL_DOUBLE_FREE);
    cell_fatal(CELL_FATAL_BAD_POINTER);
}

static bool is_cell(const struct cell_heap *heap, const void *block)
{
    return heap->segment.kind[cell_segment_page_of(&heap->segment, block)] >= CELL_PAGE_POOL;
}

static void free_chunk(struct cell_heap *heap, void *block)
{
    struct cell_chunk *c = cell_chunk_of_user(block);

    cell_space_release(heap, c, cell_heap_inuse_size(c));
}

/* The chunk on top of the stack, and with it those below as long as they are neighbours: most that were freed one after the
 * other are, and only the whole needs a place among the free ones. */
static void free_chunks(struct cell_heap *heap, struct cell_freed **stack, size_t *most)
{
    struct cell_chunk *c = cell_chunk_of_user(cell_freed_pop(stack));
    size_t size = cell_heap_inuse_size(c);

    while (--*most != 0 && *stack != NULL && !is_cell(heap, *stack) &&
           cell_space_join(heap, &c, &size, cell_chunk_of_user(*stack)))
        cell_freed_pop(stack);
    cell_space_release(heap, c, size);
}

static bool is_aligned(const void *block)
{
    return ((uintptr_t)block & (CELL_ALIGN - 1)) == 0;
}

void cell_heap_give(struct cell_heap *heap, void *block)
{
    CELL_CHECK(is_aligned(block), CELL_FATAL_BAD_POINTER);
    if (!cell_segment_holds(&heap->segment, block)) {
        cell_mapped_free(heap, block);
        return;
    }
    cell_lock_acquire(&heap->lock);
    if (is_cell(heap, block)) {
        struct cell_freed *stack = block;
        cell_freed_set_next(stack, NULL);
        cell_pool_pages_give(heap, &stack, &(size_t){ 1 });
    } else {
        free_chunk(heap, block);
    }
    cell_lock_release(&heap->lock);
}

void cell_heap_give_chunk(struct cell_heap *heap, void *block, size_t size)
{
    struct cell_chunk *c = cell_chunk_of_user(block);

    CELL_CHECK(!cell_freed_is_tagged(block), CELL_FATAL_DOUBLE_FREE);
    cell_lock_acquire(&heap->lock);
    if (size < CELL_FIT_MIN && cell_option.defer != 0) {
        CELL_CHECK(cell_chunk_next(c) == heap->top || cell_chunk_is_sealed(cell_chunk_next(c)), CELL_FATAL_HEADER);
        if (cell_deferred_is_full(&heap->deferred))
            cell_space_coalesce(heap);
        cell_deferred_put(&heap->deferred, c, size);
    } else {
        cell_space_release(heap, c, size);
    }
    cell_footprint_note_frees(heap);
    cell_lock_release(&heap->lock);
}

void cell_heap_free_upper(struct cell_heap *heap, struct cell_freed **stack, size_t count, struct cell_freed **others)
{
    while (*stack != NULL && count != 0) {
        size_t at_once = cell_min(count, FREES_PER_LOCK), left = at_once;
        cell_lock_acquire(&heap->lock);
        while (left != 0 && *stack != NULL) {
            if (others != NULL && !cell_segment_owns(&heap->segment, *stack)) {
                cell_freed_push(others, cell_freed_pop(stack));
                left--;
            } else if (is_cell(heap, *stack)) {
                cell_pool_pages_give(heap, stack, &left);
            } else {
                free_chunks(heap, stack, &left);
            }
        }
        cell_footprint_note_frees(heap);
        cell_lock_release(&heap->lock);
        count -= at_once;
    }
}

size_t cell_heap_size_of(const struct cell_heap *heap, const void *block)
{
    unsigned kind = heap->segment.kind[cell_segment_page_of(&heap->segment, block)];

    if (kind >= CELL_PAGE_POOL)
        return kind;
    const struct cell_chunk *c = cell_chunk_of_user(block);
    return cell_heap_inuse_size(c);
}

size_t cell_heap_chunk_size(const struct cell_heap *heap, const void *block)
{
    CELL_CHECK(is_aligned(block), CELL_FATAL_BAD_POINTER);
    if (!cell_segment_holds(&heap->segment, block))
        return 0;
    CELL_CHECK(!cell_freed_is_tagged(block), CELL_FATAL_DOUBLE_FREE);
    return is_cell(heap, block) ? 0 : cell_heap_inuse_size(cell_chunk_of_user(block));
}

size_t cell_heap_usable_elsewhere(const void *block)
{
    CELL_CHECK(is_aligned(block), CELL_FATAL_BAD_POINTER);
    return cell_mapped_usable(block);
}

size_t cell_heap_usable(const struct cell_heap *heap, const void *block)
{
    return cell_heap_look(heap, block, &(size_t){ 0 });
}

bool cell_heap_is_carved(struct cell_heap *heap, const void *block)
{
    cell_lock_acquire(&heap->lock);
    bool pool = heap->segment.kind[cell_segment_page_of(&heap->segment, block)] >= CELL_PAGE_POOL;
    bool carved = !pool || cell_pool_is_carved(&heap->pools, block);
    cell_lock_release(&heap->lock);
    return carved;
}

/* ---- resizing in place --------------------------------------------------------------------------------------- */

static bool resize_chunk(struct cell_heap *heap, struct cell_chunk *c, size_t have, size_t size)
{
    if (size <= have) {
        cell_space_cut(heap, c, size);
        return true;
    }
    if (cell_space_extend(heap, c, size))
        return true;
    if (heap->deferred.held == 0)
        return false;
    cell_space_coalesce(heap);          /* what waits may lie right behind */
    return cell_space_extend(heap, c, size);
}

void *cell_heap_resize(struct cell_heap *heap, void *block, size_t request)
{
    CELL_CHECK(is_aligned(block), CELL_FATAL_BAD_POINTER);
    if (!cell_segment_holds(&heap->segment, block))
        return cell_mapped_resize(heap, block, request);
    CELL_CHECK(!cell_freed_is_tagged(block), CELL_FATAL_DOUBLE_FREE);

    unsigned kind = heap->segment.kind[cell_segment_page_of(&heap->segment, block)];
    if (kind >= CELL_PAGE_POOL)
        return cell_size_of_cell(request) == kind ? block : NULL;

    size_t have = cell_heap_inuse_size(cell_chunk_of_user(block)), size = cell_size_of_chunk(request);
    if (request <= cell_option.small_limit || (request >= cell_mapped_threshold(cell_heap_whole(heap)) && have < request))
        return NULL;                                    /* a cell or a mapping serves it better */
    if (size <= have && have - size < CELL_CUT_MIN)
        return block;
    struct cell_postponed postponed = { NULL, 0 };
    lock_to_hand_out(heap, size, &postponed);
    bool resized = resize_chunk(heap, cell_chunk_of_user(block), have, size);
    unlock_and_bring_in(heap, &postponed);
    return resized ? block : NULL;
}

/* ---- the heap as a whole ----------------------------------------------------------------------------------------- */

bool cell_heap_trim(struct cell_heap *heap, size_t keep)
{
    cell_lock_acquire(&heap->lock);
    uint64_t before = heap->counts.purged_bytes;
    cell_space_coalesce(heap);
    cell_pool_pages_drop_empty(heap);
    cell_index_purge_all(heap, 0);
    cell_index_purge_top(heap, keep);
    struct cell_extents dropped = cell_footprint_drop_kept(heap);
    bool any = heap->counts.purged_bytes != before || dropped.count != 0;
    cell_lock_release(&heap->lock);
    cell_mapped_unmap_all(&dropped);
    return any;
}

void cell_heap_lock(struct cell_heap *heap)
{
    cell_lock_acquire(&heap->lock);
}

void cell_heap_unlock(struct cell_heap *heap)
{
    cell_lock_release(&heap->lock);
}

void cell_heap_reset_lock(struct cell_heap *heap)
{
    cell_lock_reset(&heap->lock);
}
