#include "pool_pages.h"

#include "minmax.h"
#include "space.h"

#define POOL_RUN_MAX 16u

/* noinline: code that seldom runs, for three callers. */
__attribute__((noinline))
static struct cell_chunk *take_row(struct cell_heap *heap, size_t pages, enum cell_growth growth)
{
    struct cell_zero_run zero;

    return cell_space_take(heap, pages * CELL_PAGE, CELL_PAGE, growth, &zero);
}

/* Pages for pools: what the smallest place that has one holds, `most` in a row at most, before the heap grows. Sets how many. Larger
 * places stay whole for what needs them. */
static struct cell_chunk *take_pages(struct cell_heap *heap, size_t most, size_t *count)
{
    struct cell_chunk *c = cell_space_find_coalesced(heap, CELL_PAGE, CELL_PAGE);

    for (*count = c == NULL ? most : cell_min(most, cell_space_room(c, CELL_PAGE) / CELL_PAGE); *count != 0; *count /= 2)
        if ((c = take_row(heap, *count, CELL_STAY)) != NULL)
            return c;
    c = take_row(heap, *count = most, CELL_GROW);
    if (c == NULL && most > 1)
        c = take_row(heap, *count = 1, CELL_GROW);
    return c;
}

/* More pools at a time for a class that has many, so that they lie together. */
static bool add_pools(struct cell_heap *heap, unsigned pool_class)
{
    size_t run = cell_min(heap->pools.pages[pool_class] / 16 + 1, POOL_RUN_MAX);
    struct cell_chunk *c = take_pages(heap, cell_option.batch == 1 ? 1 : run, &run);

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

size_t cell_pool_pages_take(struct cell_heap *heap, unsigned pool_class, size_t wanted, struct cell_freed **stack)
{
    size_t taken = cell_pool_take(&heap->pools, pool_class, wanted, stack);
    if (taken == 0 && add_pools(heap, pool_class))
        taken = cell_pool_take(&heap->pools, pool_class, wanted, stack);
    return taken;
}

/* Makes a pool without a live cell a free chunk again. */
static void remove_pool(struct cell_heap *heap, size_t page)
{
    struct cell_chunk *c = cell_chunk_of_user(cell_segment_page_start(&heap->segment, page));
    cell_pool_remove(&heap->pools, page);
    heap->counts.pool_removes++;
    cell_space_release(heap, c, cell_heap_inuse_size(c));
}

void cell_pool_pages_give(struct cell_heap *heap, struct cell_freed **stack, size_t *most)
{
    size_t page;

    if (cell_pool_give(&heap->pools, stack, most, &page))
        remove_pool(heap, page);
}

void cell_pool_pages_drop_empty(struct cell_heap *heap)
{
    for (unsigned pool_class = 1; pool_class <= CELL_POOL_CLASSES; pool_class++)
        for (size_t page; cell_pool_find_empty(&heap->pools, pool_class, &page);)
            remove_pool(heap, page);
}
