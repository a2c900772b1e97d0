#include "heap.h"

#include <string.h>

#include "mapped.h"
#include "os.h"
#include "sizeclass.h"

/* Giving back less than this, and less than this share of the heap, is not worth a system call and a flush of the TLB. */
#define DIRTY_MIN      (4 * CELL_PAGE)
#define DIRTY_SHARE    256
/* Bytes that the top never gives away: the word that the last chunk borrows. */
#define TOP_KEEP       CELL_ALIGN
#define POOL_RUN_MAX   16u
#define REGRET_MS      1000u
/* Others wait no longer than for this many at a time. */
#define FREES_PER_LOCK 32u

struct cell_heap cell_heap_main;
uint64_t cell_chunk_secret;
uintptr_t cell_freed_secret[2];

enum growth { GROW, STAY };

/* ---- start ---------------------------------------------------------------------------------------------------- */

static void make_secrets(void)
{
    if (cell_freed_secret[1] != 0)
        return;
    cell_chunk_secret = cell_os_random();
    cell_freed_secret[0] = (uintptr_t)(cell_chunk_secret * UINT64_C(0xD1342543DE82EF95));
    cell_freed_secret[1] = (uintptr_t)(cell_chunk_secret * UINT64_C(0xAF251AF3B0F025B5)) | 1;
}

bool cell_heap_init(struct cell_heap *heap, size_t reserve)
{
    make_secrets();
    memset(heap, 0, sizeof *heap);
    if (!cell_segment_init(&heap->segment, reserve))
        return false;
    if (!cell_segment_grow(&heap->segment, CELL_PAGE)) {
        cell_segment_destroy(&heap->segment);
        return false;
    }
    cell_bins_init(&heap->bins);
    cell_fit_init(&heap->fit);
    cell_pool_init(&heap->pools, &heap->segment);
    cell_link_init(&heap->dirty);
    cell_link_init(&heap->mapped);
    heap->top = cell_heap_first_chunk(heap);
    heap->ready = true;
    return true;
}

/* ---- the index of free chunks --------------------------------------------------------------------------------- */

static struct cell_fit_node *node_of_dirty(struct cell_link *link)
{
    return (struct cell_fit_node *)((char *)link - offsetof(struct cell_fit_node, dirty));
}

static size_t worth_purging(const struct cell_heap *heap)
{
    size_t share = (heap->segment.resident << CELL_PAGE_SHIFT) / DIRTY_SHARE;

    return share > DIRTY_MIN ? share : DIRTY_MIN;
}

static void index_insert(struct cell_heap *heap, struct cell_chunk *c, size_t dirty_bytes)
{
    if (cell_chunk_size(c) < CELL_FIT_MIN) {
        cell_bins_insert(&heap->bins, c);
        return;
    }
    struct cell_fit_node *node = (struct cell_fit_node *)c;
    cell_fit_insert(&heap->fit, c);
    node->dirty_bytes = dirty_bytes;
    node->dirty.next = NULL;
    if (dirty_bytes >= worth_purging(heap)) {
        cell_link_append(&heap->dirty, &node->dirty);
        heap->dirty_bytes += dirty_bytes;
    }
}

/* Takes a free chunk out of bins or fit; returns its resident bytes, as far as they are known. */
static size_t index_remove(struct cell_heap *heap, struct cell_chunk *c)
{
    size_t size = cell_chunk_size(c);

    if (size < CELL_FIT_MIN) {
        cell_bins_remove(&heap->bins, c);
        return size;
    }
    struct cell_fit_node *node = (struct cell_fit_node *)c;
    size_t dirty_bytes = node->dirty_bytes;
    cell_fit_remove(&heap->fit, c);
    if (node->dirty.next != NULL) {
        cell_link_remove(&node->dirty);
        heap->dirty_bytes -= dirty_bytes;
    }
    return dirty_bytes;
}

/* Writes header and footer of a free chunk whose neighbours are in use, and indexes it. */
static void make_free(struct cell_heap *heap, struct cell_chunk *c, size_t size, size_t dirty_bytes)
{
    size_t node_size = size < sizeof(struct cell_fit_node) ? size : sizeof(struct cell_fit_node);

    cell_segment_touch(&heap->segment, c, cell_chunk_at(c, node_size));
    cell_chunk_set(c, size, CELL_PREV_INUSE);
    cell_chunk_set_footer(c, size);
    cell_chunk_clear_prev_inuse(cell_chunk_at(c, size));
    index_insert(heap, c, dirty_bytes);
}

/* ---- purging -------------------------------------------------------------------------------------------------- */

static void purge_chunk(struct cell_heap *heap, struct cell_fit_node *node)
{
    char *from = (char *)node + sizeof *node;
    size_t purged = cell_segment_purge(&heap->segment, from, (char *)node + cell_chunk_size(&node->chunk));

    cell_link_remove(&node->dirty);
    node->dirty.next = NULL;
    heap->dirty_bytes -= node->dirty_bytes;
    node->dirty_bytes = 0;
    heap->counts.purges += purged != 0;
    heap->counts.purged_bytes += purged;
}

static void purge_top(struct cell_heap *heap, size_t keep)
{
    char *from = (char *)heap->top + TOP_KEEP + keep;
    char *end = heap->segment.base + heap->segment.committed;
    size_t purged;

    if (from >= end || heap->top_dirty <= keep)
        return;
    purged = cell_segment_purge(&heap->segment, from, end);
    heap->dirty_bytes -= heap->top_dirty - keep;
    heap->top_dirty = keep;
    heap->counts.purges += purged != 0;
    heap->counts.purged_bytes += purged;
}

/* Oldest first, until at most `limit` dirty bytes are left; the top goes last, since it is where growth comes from. */
static void purge_down_to(struct cell_heap *heap, size_t limit)
{
    while (heap->dirty_bytes > limit && heap->dirty.next != &heap->dirty)
        purge_chunk(heap, node_of_dirty(heap->dirty.next));
    if (heap->dirty_bytes > limit)
        purge_top(heap, limit < heap->top_dirty ? limit : 0);
}

/* Whether most of what the last purge gave back was wanted again, and no second has passed since. */
static bool purge_is_regretted(const struct cell_heap *heap)
{
    return heap->last_purged != 0 &&
           heap->segment.brought_in - heap->brought_in_at_purge >= heap->last_purged / 2 &&
           cell_os_now_ms() - heap->last_purge_ms < REGRET_MS;
}

/* A program that frees much once may not need it again; one that frees and allocates in turns keeps its pages. */
static void purge_if_much(struct cell_heap *heap)
{
    size_t peak = heap->resident_peak << CELL_PAGE_SHIFT;

    if (cell_option.purge_share == 0 || heap->dirty_bytes < cell_option.purge_min)
        return;
    size_t limit = peak / cell_option.purge_share;
    if (heap->dirty_bytes <= limit) {
        heap->purge_at = limit;
        return;
    }
    if (heap->dirty_bytes < heap->purge_at)
        return;
    if (purge_is_regretted(heap)) {
        heap->purge_at = heap->dirty_bytes + peak / 16;
        return;
    }
    uint64_t before = heap->segment.purged_pages;
    purge_down_to(heap, limit / 2);
    heap->purge_at = limit;
    heap->last_purged = (size_t)(heap->segment.purged_pages - before);
    heap->last_purge_ms = cell_os_now_ms();
    heap->brought_in_at_purge = heap->segment.brought_in;
}

/* Before `bytes` more become resident: a new peak is worth giving the oldest free pages back first. */
static void purge_before_growth(struct cell_heap *heap, size_t bytes)
{
    size_t pages = (bytes >> CELL_PAGE_SHIFT) + 1;
    size_t in_list = heap->dirty_bytes - heap->top_dirty;

    if (heap->segment.resident + pages <= heap->resident_peak || in_list == 0)
        return;
    bytes = bytes < DIRTY_MIN ? DIRTY_MIN : bytes;
    purge_down_to(heap, heap->top_dirty + (in_list > bytes ? in_list - bytes : 0));
}

/* ---- taking chunks -------------------------------------------------------------------------------------------- */

/* Bytes to leave free before a chunk at `c` so that its user address is aligned: none, or enough for a chunk. */
static size_t lead_for(const struct cell_chunk *c, size_t alignment)
{
    size_t lead = -((uintptr_t)c + CELL_CHUNK_USER) & (alignment - 1);

    while (lead != 0 && lead < CELL_CHUNK_MIN)
        lead += alignment;
    return lead;
}

static bool is_top(const struct cell_heap *heap, const struct cell_chunk *c)
{
    return c == heap->top;
}

/* Best fit: the smallest free chunk that holds `size` bytes at the alignment; NULL: only the top can. */
static struct cell_chunk *find(const struct cell_heap *heap, size_t size, size_t alignment)
{
    struct cell_chunk *c = cell_bins_find(&heap->bins, size);

    if (c == NULL)
        c = cell_fit_find(&heap->fit, size);
    if (c == NULL || lead_for(c, alignment) + size <= cell_chunk_size(c))
        return c;
    return cell_fit_find(&heap->fit, size + alignment + CELL_CHUNK_MIN);
}

/* Marks [c, c + size) in use; `lead` bytes before it become a free chunk. What is at its end is the caller's. */
static struct cell_zero_run occupy(struct cell_heap *heap, struct cell_chunk *c, size_t lead, size_t size,
                                   size_t lead_dirty)
{
    struct cell_chunk *taken = cell_chunk_at(c, lead);
    struct cell_zero_run zero = cell_segment_touch(&heap->segment, taken, (char *)taken + size + CELL_WORD);

    cell_chunk_set(taken, size, CELL_INUSE | CELL_PREV_INUSE);
    if (lead != 0)
        make_free(heap, c, lead, lead_dirty);
    if (heap->segment.resident > heap->resident_peak)
        heap->resident_peak = heap->segment.resident;
    return zero;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Splits a free chunk: lead, taken, remainder. */
static struct cell_chunk *take_from_chunk(struct cell_heap *heap, struct cell_chunk *c, size_t size, size_t alignment,
                                          struct cell_zero_run *zero)
{
    size_t lead = lead_for(c, alignment);
    size_t remainder = cell_chunk_size(c) - lead - size;
    size_t dirty = index_remove(heap, c);
    struct cell_chunk *next = cell_chunk_next(c);

    if (remainder < CELL_CHUNK_MIN) {
        size += remainder;
        remainder = 0;
    }
    cell_chunk_set_prev_inuse(next);
    *zero = occupy(heap, c, lead, size, min_size(dirty, lead));
    if (remainder != 0)
        make_free(heap, cell_chunk_at(c, lead + size), remainder, min_size(dirty, remainder));
    heap->counts.splits += (lead != 0) + (remainder != 0);
    return cell_chunk_at(c, lead);
}

static size_t top_bytes(const struct cell_heap *heap)
{
    return (size_t)(heap->segment.base + heap->segment.committed - (char *)heap->top);
}

/* Whether taking `size` from the top would bring in a page. */
static bool top_is_absent(const struct cell_heap *heap, size_t size)
{
    const char *last = (const char *)heap->top + size + CELL_WORD - 1;

    return !cell_segment_holds(&heap->segment, last) ||
           heap->segment.kind[cell_segment_page_of(&heap->segment, last)] == CELL_PAGE_ABSENT;
}

static bool grow(struct cell_heap *heap, size_t need)
{
    heap->counts.grows++;
    return cell_segment_grow(&heap->segment, need + cell_option.top_pad) ||
           (cell_option.top_pad != 0 && cell_segment_grow(&heap->segment, need));
}

static struct cell_chunk *take_from_top(struct cell_heap *heap, size_t size, size_t alignment,
                                        struct cell_zero_run *zero)
{
    struct cell_chunk *c = heap->top;
    size_t lead = lead_for(c, alignment);
    size_t need = lead + size + TOP_KEEP;

    if (top_is_absent(heap, lead + size)) {
        purge_before_growth(heap, lead + size);
        if (!cell_heap_may_take(heap, size))
            return NULL;
    }
    if (need > top_bytes(heap) && !grow(heap, need - top_bytes(heap)))
        return NULL;

    size_t recycled = min_size(heap->top_dirty, lead + size);
    heap->top_dirty -= recycled;
    heap->dirty_bytes -= recycled;
    heap->top = cell_chunk_at(c, lead + size);
    *zero = occupy(heap, c, lead, size, min_size(recycled, lead));
    return cell_chunk_at(c, lead);
}

static struct cell_chunk *take(struct cell_heap *heap, size_t size, size_t alignment, enum growth growth,
                               struct cell_zero_run *zero)
{
    struct cell_chunk *c = find(heap, size, alignment);

    if (c != NULL)
        return take_from_chunk(heap, c, size, alignment, zero);
    if (growth == STAY && top_is_absent(heap, size))
        return NULL;
    return take_from_top(heap, size, alignment, zero);
}

/* ---- giving chunks back ---------------------------------------------------------------------------------------- */

static struct cell_chunk *merge_previous(struct cell_heap *heap, struct cell_chunk *c, size_t *size, size_t *dirty)
{
    if (cell_chunk_is_prev_inuse(c))
        return c;
    struct cell_chunk *previous = cell_chunk_prev(c);
    CELL_CHECK(cell_segment_holds(&heap->segment, previous) && cell_chunk_is_sealed(previous) &&
               !cell_chunk_is_inuse(previous) && cell_chunk_next(previous) == c, CELL_FATAL_HEADER);
    *dirty += index_remove(heap, previous);
    *size += cell_chunk_size(previous);
    cell_chunk_erase(c);
    heap->counts.merges++;
    return previous;
}

static void merge_next(struct cell_heap *heap, struct cell_chunk *next, size_t *size, size_t *dirty)
{
    CELL_CHECK(cell_chunk_is_sealed(next), CELL_FATAL_HEADER);
    if (cell_chunk_is_inuse(next))
        return;
    *dirty += index_remove(heap, next);
    *size += cell_chunk_size(next);
    cell_chunk_erase(next);
    heap->counts.merges++;
}

static void merge_into_top(struct cell_heap *heap, struct cell_chunk *c, size_t dirty)
{
    cell_chunk_erase(c);
    heap->top = c;
    heap->top_dirty += dirty;
    heap->dirty_bytes += dirty;
}

/* Marks the chunk free, merges the previous, merges the next, inserts the whole. */
static void release(struct cell_heap *heap, struct cell_chunk *c)
{
    size_t size = cell_chunk_size(c), dirty = size;
    struct cell_chunk *next = cell_chunk_next(c);

    c = merge_previous(heap, c, &size, &dirty);
    if (is_top(heap, next)) {
        merge_into_top(heap, c, dirty);
    } else {
        merge_next(heap, next, &size, &dirty);      /* never up to the top: C2 */
        make_free(heap, c, size, dirty);
    }
    purge_if_much(heap);
}

/* ---- pools ------------------------------------------------------------------------------------------------------ */

/* More pools at a time for a class that has many, so that they lie together. */
static bool add_pools(struct cell_heap *heap, unsigned pool_class)
{
    struct cell_zero_run zero;
    size_t run = heap->pools.pages[pool_class] / 16 + 1;

    run = run < POOL_RUN_MAX ? run : POOL_RUN_MAX;
    run = cell_option.batch == 1 ? 1 : run;
    struct cell_chunk *c = take(heap, run * CELL_PAGE, CELL_PAGE, GROW, &zero);
    if (c == NULL && run > 1)
        c = take(heap, (run = 1) * CELL_PAGE, CELL_PAGE, GROW, &zero);
    if (c == NULL)
        return false;

    size_t page = cell_segment_page_of(&heap->segment, cell_chunk_user(c));
    size_t tail = cell_chunk_size(c) - run * CELL_PAGE;
    for (size_t i = run; i-- > 0;) {
        struct cell_chunk *pool = cell_chunk_at(c, i * CELL_PAGE);
        size_t size = CELL_PAGE + (i == run - 1 ? tail : 0);
        size_t status = i != 0 || cell_chunk_is_prev_inuse(c) ? CELL_PREV_INUSE : 0;
        cell_chunk_set(pool, size, CELL_INUSE | status);
        cell_pool_add(&heap->pools, page + i, pool_class);
    }
    heap->counts.pool_adds += run;
    return true;
}

size_t cell_heap_take_cells(struct cell_heap *heap, unsigned pool_class, size_t wanted, struct cell_freed **stack)
{
    cell_lock_acquire(&heap->lock);
    size_t taken = cell_pool_take(&heap->pools, pool_class, wanted, stack);
    if (taken == 0 && add_pools(heap, pool_class))
        taken = cell_pool_take(&heap->pools, pool_class, wanted, stack);
    cell_lock_release(&heap->lock);
    return taken;
}

static void free_cell(struct cell_heap *heap, struct cell_freed *cell)
{
    if (!cell_pool_give(&heap->pools, cell))
        return;
    size_t page = cell_segment_page_of(&heap->segment, cell);
    struct cell_chunk *c = cell_chunk_of_user(cell_segment_page_start(&heap->segment, page));
    cell_pool_remove(&heap->pools, page);
    heap->counts.pool_removes++;
    cell_heap_check_inuse(c);
    release(heap, c);
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

/* How many chunks of `size` to carve at one place: what it holds, but not beyond the pages that are there. */
static size_t run_length(const struct cell_heap *heap, const struct cell_chunk *place, size_t size, size_t wanted)
{
    size_t room = CELL_PAGE - ((uintptr_t)heap->top & (CELL_PAGE - 1)) - TOP_KEEP;

    if (place != NULL)
        room = cell_chunk_size(place);
    room /= size;
    return room == 0 ? 1 : min_size(room, wanted);
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

static size_t take_chunks(struct cell_heap *heap, size_t size, size_t wanted, enum growth growth,
                          struct cell_freed **stack)
{
    size_t taken = 0;

    cell_lock_acquire(&heap->lock);
    while (taken < wanted) {
        struct cell_zero_run zero;
        size_t count = run_length(heap, find(heap, size, CELL_ALIGN), size, wanted - taken);
        struct cell_chunk *run = take(heap, count * size, CELL_ALIGN, taken == 0 ? growth : STAY, &zero);
        if (run == NULL)
            break;
        carve(run, size, count, stack);
        taken += count;
    }
    cell_lock_release(&heap->lock);
    return taken;
}

size_t cell_heap_take_chunks(struct cell_heap *heap, size_t size, size_t wanted, struct cell_freed **stack)
{
    return take_chunks(heap, size, wanted, GROW, stack);
}

size_t cell_heap_take_chunks_without_growing(struct cell_heap *heap, size_t size, size_t wanted,
                                             struct cell_freed **stack)
{
    return take_chunks(heap, size, wanted, STAY, stack);
}

static void *alloc_chunk(struct cell_heap *heap, size_t request, size_t alignment, enum growth growth,
                         struct cell_zero_run *zero)
{
    cell_lock_acquire(&heap->lock);
    struct cell_chunk *c = take(heap, cell_size_of_chunk(request), alignment, growth, zero);
    cell_lock_release(&heap->lock);
    return c == NULL ? NULL : cell_chunk_user(c);
}

static void *alloc(struct cell_heap *heap, size_t request, size_t alignment, enum growth growth,
                   struct cell_zero_run *zero)
{
    struct cell_zero_run unused;
    bool map = request >= cell_mapped_threshold(heap) && cell_option.mmap_max != 0;

    zero = zero == NULL ? &unused : zero;
    if (map) {
        void *block = cell_mapped_alloc(heap, request, alignment, zero);
        if (block != NULL)
            return block;
    }
    void *block = alloc_chunk(heap, request, alignment, growth, zero);
    if (block == NULL && growth == GROW && !map)        /* the range is used up: the system may still have room */
        block = cell_mapped_alloc(heap, request, alignment, zero);
    return block;
}

void *cell_heap_alloc(struct cell_heap *heap, size_t request, struct cell_zero_run *zero)
{
    return alloc(heap, request, CELL_ALIGN, GROW, zero);
}

void *cell_heap_alloc_without_growing(struct cell_heap *heap, size_t request, struct cell_zero_run *zero)
{
    return alloc(heap, request, CELL_ALIGN, STAY, zero);
}

void *cell_heap_alloc_aligned(struct cell_heap *heap, size_t request, size_t alignment)
{
    return alloc(heap, request, alignment, GROW, NULL);
}

void cell_heap_reject(const struct cell_chunk *c)
{
    if (cell_chunk_is_erased(c) || cell_chunk_is_sealed(c))
        cell_fatal(CELL_FATAL_DOUBLE_FREE);
    cell_fatal(CELL_FATAL_BAD_POINTER);
}

static void free_locked(struct cell_heap *heap, void *block)
{
    if (heap->segment.kind[cell_segment_page_of(&heap->segment, block)] >= CELL_PAGE_POOL) {
        free_cell(heap, block);
        return;
    }
    struct cell_chunk *c = cell_chunk_of_user(block);
    cell_heap_check_inuse(c);
    release(heap, c);
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
    free_locked(heap, block);
    cell_lock_release(&heap->lock);
}

void cell_heap_free_stack(struct cell_heap *heap, struct cell_freed *stack)
{
    while (stack != NULL) {
        cell_lock_acquire(&heap->lock);
        for (unsigned i = 0; i < FREES_PER_LOCK && stack != NULL; i++)
            free_locked(heap, cell_freed_pop(&stack));
        cell_lock_release(&heap->lock);
    }
}

size_t cell_heap_size_of(const struct cell_heap *heap, const void *block)
{
    unsigned kind = heap->segment.kind[cell_segment_page_of(&heap->segment, block)];

    if (kind >= CELL_PAGE_POOL)
        return kind;
    const struct cell_chunk *c = cell_chunk_of_user(block);
    cell_heap_check_inuse(c);
    return cell_chunk_size(c);
}

size_t cell_heap_usable(const struct cell_heap *heap, const void *block)
{
    CELL_CHECK(is_aligned(block), CELL_FATAL_BAD_POINTER);
    if (!cell_segment_holds(&heap->segment, block))
        return cell_mapped_usable(block);

    unsigned kind = heap->segment.kind[cell_segment_page_of(&heap->segment, block)];
    return kind >= CELL_PAGE_POOL ? kind : cell_heap_size_of(heap, block) - CELL_WORD;
}

/* ---- resizing in place --------------------------------------------------------------------------------------- */

/* Splits the tail off a chunk in use. */
static void cut(struct cell_heap *heap, struct cell_chunk *c, size_t size)
{
    size_t status = CELL_INUSE | (cell_chunk_is_prev_inuse(c) ? CELL_PREV_INUSE : 0);
    struct cell_chunk *tail = cell_chunk_at(c, size);

    cell_chunk_set(tail, cell_chunk_size(c) - size, CELL_INUSE | CELL_PREV_INUSE);
    cell_chunk_set(c, size, status);
    heap->counts.splits++;
    release(heap, tail);
}

/* Makes the chunk `size` bytes long out of the top or the free chunk behind it. */
static bool extend(struct cell_heap *heap, struct cell_chunk *c, size_t size)
{
    struct cell_chunk *next = cell_chunk_next(c);
    size_t have = cell_chunk_size(c), more = size - have;
    size_t status = CELL_INUSE | (cell_chunk_is_prev_inuse(c) ? CELL_PREV_INUSE : 0);
    struct cell_zero_run zero;

    if (is_top(heap, next)) {
        if (more < CELL_CHUNK_MIN)
            more = CELL_CHUNK_MIN;
        if (take_from_top(heap, more, CELL_ALIGN, &zero) == NULL)
            return false;
    } else {
        CELL_CHECK(cell_chunk_is_sealed(next), CELL_FATAL_HEADER);
        if (cell_chunk_is_inuse(next) || cell_chunk_size(next) < more)
            return false;
        take_from_chunk(heap, next, more < CELL_CHUNK_MIN ? CELL_CHUNK_MIN : more, CELL_ALIGN, &zero);
    }
    more = cell_chunk_size(next);
    cell_chunk_erase(next);
    cell_chunk_set(c, have + more, status);
    return true;
}

static void *resize_chunk(struct cell_heap *heap, struct cell_chunk *c, size_t request)
{
    size_t size = cell_size_of_chunk(request), have = cell_chunk_size(c);
    bool done = true;

    if (size > have)
        done = extend(heap, c, size);
    else if (have - size >= 2 * CELL_CHUNK_MIN)
        cut(heap, c, size);
    return done ? cell_chunk_user(c) : NULL;
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

    struct cell_chunk *c = cell_chunk_of_user(block);
    cell_heap_check_inuse(c);
    if (request <= cell_option.small_limit ||
        (request >= cell_mapped_threshold(heap) && cell_chunk_size(c) < request))
        return NULL;                                    /* a cell or a mapping serves it better */
    cell_lock_acquire(&heap->lock);
    void *resized = resize_chunk(heap, c, request);
    cell_lock_release(&heap->lock);
    return resized;
}

/* ---- the heap as a whole ----------------------------------------------------------------------------------------- */

bool cell_heap_trim(struct cell_heap *heap, size_t keep)
{
    struct cell_map_cache dropped;

    cell_lock_acquire(&heap->lock);
    uint64_t before = heap->counts.purged_bytes;
    while (heap->dirty.next != &heap->dirty)
        purge_chunk(heap, node_of_dirty(heap->dirty.next));
    purge_top(heap, keep);
    bool any = heap->counts.purged_bytes != before;
    dropped = cell_mapped_empty_cache(heap);
    cell_lock_release(&heap->lock);
    any |= dropped.bytes != 0;
    cell_mapped_unmap_all(&dropped);
    return any;
}

size_t cell_heap_footprint_peak(const struct cell_heap *heap)
{
    return (heap->resident_peak << CELL_PAGE_SHIFT) + heap->mapped_peak;
}

bool cell_heap_may_take(const struct cell_heap *heap, size_t bytes)
{
    size_t after = cell_heap_footprint(heap) + bytes;

    return (cell_option.footprint_limit == 0 || after <= cell_option.footprint_limit) &&
           (heap->footprint_limit == 0 || after <= heap->footprint_limit);
}

size_t cell_heap_footprint(const struct cell_heap *heap)
{
    return (heap->segment.resident << CELL_PAGE_SHIFT) + heap->mapped_bytes + heap->map_cache.bytes;
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
