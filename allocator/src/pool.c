#include "pool.h"

#include <string.h>

static struct cell_page_info *info_of(const struct cell_pools *pools, size_t page)
{
    return cell_segment_info(pools->segment, page);
}

void cell_pool_init(struct cell_pools *pools, struct cell_segment *segment)
{
    memset(pools, 0, sizeof *pools);
    pools->segment = segment;
    for (unsigned i = 1; i <= CELL_POOL_CLASSES; i++) {
        size_t size = cell_pool_cell_size(i);
        pools->shape[i].capacity = (uint32_t)cell_pool_capacity(i);
        pools->shape[i].inverse = (uint32_t)(((1u << 20) + size - 1) / size);
    }
}

size_t cell_pool_capacity(unsigned pool_class)
{
    return (CELL_PAGE - CELL_WORD) / cell_pool_cell_size(pool_class);
}

static unsigned capacity_of(const struct cell_pools *pools, unsigned pool_class)
{
    return pools->shape[pool_class].capacity;
}

static uint32_t *list_head(struct cell_pools *pools, const struct cell_page_info *pool, unsigned fill)
{
    return &pools->first[pool->pool_class][fill];
}

/* Share of free cells in steps of a quarter; free_count is at least 1. Sets how many more change it. */
static unsigned fill_of(const struct cell_pools *pools, const struct cell_page_info *pool, unsigned *until_next)
{
    unsigned capacity = capacity_of(pools, pool->pool_class);
    unsigned quarter = capacity / CELL_POOL_FILLS;
    unsigned free_cells = pool->free_count;
    unsigned fill = (free_cells > quarter) + (free_cells > 2 * quarter) + (free_cells > 3 * quarter);

    *until_next = (fill == 3 ? capacity : (fill + 1) * quarter + 1) - free_cells;
    return fill;
}

/* A pool in a list knows its list's head by prev, when it is first in it: HEAD_BIT | fill. */
#define HEAD_BIT (UINT32_C(1) << 31)

static void link_pool(struct cell_pools *pools, size_t page)
{
    struct cell_page_info *pool = info_of(pools, page);
    unsigned until_next, fill = fill_of(pools, pool, &until_next);
    uint32_t *first = list_head(pools, pool, fill);

    pool->until_relink = (uint8_t)until_next;
    pool->prev = HEAD_BIT | fill;
    pool->next = *first;
    if (*first != 0)
        info_of(pools, *first - 1)->prev = (uint32_t)page + 1;
    *first = (uint32_t)page + 1;
}

static void unlink_pool(struct cell_pools *pools, size_t page)
{
    struct cell_page_info *pool = info_of(pools, page);

    if (pool->prev & HEAD_BIT)
        *list_head(pools, pool, pool->prev & ~HEAD_BIT) = pool->next;
    else
        info_of(pools, pool->prev - 1)->next = pool->next;
    if (pool->next != 0)
        info_of(pools, pool->next - 1)->prev = pool->prev;
}

void cell_pool_add(struct cell_pools *pools, size_t page, unsigned pool_class)
{
    struct cell_page_info *pool = info_of(pools, page);

    pool->pool_class = (uint8_t)pool_class;
    pool->free_head = 0;
    pool->carved = 0;
    pool->free_count = (uint16_t)cell_pool_capacity(pool_class);
    pools->segment->kind[page] = (uint8_t)cell_pool_cell_size(pool_class);
    pools->pages[pool_class]++;
    pools->empty[pool_class]++;
    pools->free_bytes += pool->free_count * cell_pool_cell_size(pool_class);
    link_pool(pools, page);
}

void cell_pool_remove(struct cell_pools *pools, size_t page)
{
    struct cell_page_info *pool = info_of(pools, page);

    CELL_ASSERT(pool->free_count == cell_pool_capacity(pool->pool_class));
    unlink_pool(pools, page);
    pools->free_bytes -= pool->free_count * cell_pool_cell_size(pool->pool_class);
    pools->pages[pool->pool_class]--;
    pools->empty[pool->pool_class]--;
    pools->segment->kind[page] = CELL_PAGE_CHUNK;
}

static struct cell_freed *cell_at(const struct cell_pools *pools, size_t page, size_t index)
{
    size_t size = cell_pool_cell_size(info_of(pools, page)->pool_class);

    return (struct cell_freed *)((char *)cell_segment_page_start(pools->segment, page) + index * size);
}

static size_t offset_in_page(const void *cell)
{
    return (uintptr_t)cell & (CELL_PAGE - 1);
}

static size_t index_of(const struct cell_pools *pools, const struct cell_page_info *pool, const void *cell)
{
    size_t offset = offset_in_page(cell), index = offset * pools->shape[pool->pool_class].inverse >> 20;

    CELL_CHECK(index * cell_pool_cell_size(pool->pool_class) == offset, CELL_FATAL_BAD_POINTER);
    return index;
}

static struct cell_freed *stack_of(const struct cell_pools *pools, const struct cell_page_info *pool, size_t page)
{
    return cell_pool_stack(pool, cell_segment_page_start(pools->segment, page));
}

static void set_stack(struct cell_page_info *pool, const struct cell_freed *top)
{
    pool->free_head = (uint16_t)(offset_in_page(top) / CELL_ALIGN + 1);
}

/* Cuts the upper `wanted` cells off the pool's stack; it holds `have` > 0. */
static size_t take_stacked(struct cell_pools *pools, size_t page, size_t have, size_t wanted, struct cell_freed **stack)
{
    struct cell_page_info *pool = info_of(pools, page);

    *stack = stack_of(pools, pool, page);
    if (have <= wanted) {
        pool->free_head = 0;
        return have;
    }
    struct cell_freed *last = *stack;
    for (size_t i = 1; i < wanted; i++)
        last = cell_freed_next(last);
    set_stack(pool, cell_freed_next(last));
    cell_freed_set_next(last, NULL);
    return wanted;
}

/* Carves cells that were never used, lowest address on top. */
static size_t take_carved(struct cell_pools *pools, size_t page, size_t wanted, struct cell_freed **stack)
{
    struct cell_page_info *pool = info_of(pools, page);
    size_t left = capacity_of(pools, pool->pool_class) - pool->carved;
    size_t taken = wanted < left ? wanted : left;

    pool->carved = (uint16_t)(pool->carved + taken);
    for (size_t i = 1; i <= taken; i++)
        cell_freed_push(stack, cell_at(pools, page, pool->carved - i));
    return taken;
}

size_t cell_pool_take(struct cell_pools *pools, unsigned pool_class, size_t wanted, struct cell_freed **stack)
{
    uint32_t first = 0;

    for (unsigned fill = 0; fill < CELL_POOL_FILLS && first == 0; fill++)
        first = pools->first[pool_class][fill];
    if (first == 0)
        return 0;

    size_t page = first - 1;
    struct cell_page_info *pool = info_of(pools, page);
    size_t capacity = capacity_of(pools, pool_class);
    size_t stacked = pool->free_count - (capacity - pool->carved);

    unlink_pool(pools, page);
    pools->empty[pool_class] -= pool->free_count == capacity;
    size_t taken = stacked != 0 ? take_stacked(pools, page, stacked, wanted, stack)
                                : take_carved(pools, page, wanted, stack);
    pool->free_count = (uint16_t)(pool->free_count - taken);
    pools->free_bytes -= taken * cell_pool_cell_size(pool_class);
    if (pool->free_count != 0)
        link_pool(pools, page);
    return taken;
}

/* The cells on top of a stack that lie in its first one's page, `most` at most: those that were freed one after the other lie together
 * most often. Returns how many; sets the last, and the one below. */
static size_t run_in_page(const struct cell_pools *pools, const struct cell_page_info *pool, struct cell_freed *first, size_t most,
                          struct cell_freed **last, struct cell_freed **below)
{
    struct cell_freed *next = first;
    size_t length = 0;

    do {
        CELL_CHECK(index_of(pools, pool, next) < pool->carved, CELL_FATAL_BAD_POINTER);
        *last = next;
        next = cell_freed_next(next);
        length++;
    } while (length < most && ((uintptr_t)next ^ (uintptr_t)first) < CELL_PAGE);
    *below = next;
    return length;
}

bool cell_pool_give(struct cell_pools *pools, struct cell_freed **stack, size_t *most)
{
    struct cell_freed *first = *stack, *last;
    size_t page = cell_segment_page_of(pools->segment, first);
    struct cell_page_info *pool = info_of(pools, page);
    size_t given = run_in_page(pools, pool, first, *most, &last, stack);
    size_t had = pool->free_count, capacity = capacity_of(pools, pool->pool_class);

    CELL_CHECK(had + given <= capacity, CELL_FATAL_DOUBLE_FREE);
    *most -= given;
    pools->free_bytes += given * cell_pool_cell_size(pool->pool_class);
    cell_freed_set_next(last, stack_of(pools, pool, page));
    set_stack(pool, first);
    pool->free_count = (uint16_t)(had + given);
    if (had != 0 && pool->until_relink > given) {
        pool->until_relink = (uint8_t)(pool->until_relink - given);
        return false;
    }
    if (had != 0)
        unlink_pool(pools, page);
    link_pool(pools, page);
    return pool->free_count == capacity && ++pools->empty[pool->pool_class] > 1;
}

bool cell_pool_find_empty(const struct cell_pools *pools, unsigned pool_class, size_t *page)
{
    uint32_t next = pools->empty[pool_class] == 0 ? 0 : pools->first[pool_class][CELL_POOL_FILLS - 1];

    while (next != 0 && info_of(pools, next - 1)->free_count != capacity_of(pools, pool_class))
        next = info_of(pools, next - 1)->next;
    *page = next - 1;
    return next != 0;
}

bool cell_pool_is_carved(const struct cell_pools *pools, const void *cell)
{
    const struct cell_page_info *pool = info_of(pools, cell_segment_page_of(pools->segment, cell));

    return index_of(pools, pool, cell) < pool->carved;
}

bool cell_pool_is_valid(const struct cell_pools *pools, size_t page)
{
    const struct cell_page_info *pool = info_of(pools, page);
    size_t capacity = cell_pool_capacity(pool->pool_class);
    size_t on_stack = 0;

    if (pool->pool_class == 0 || pool->carved > capacity || pool->free_count > capacity)
        return false;
    for (const struct cell_freed *cell = stack_of(pools, pool, page); cell != NULL; on_stack++) {
        if (on_stack == capacity || index_of(pools, pool, cell) >= pool->carved || !cell_freed_is_tagged(cell))
            return false;
        cell = cell_freed_next(cell);
        if (cell != NULL && cell_segment_page_of(pools->segment, cell) != page)
            return false;
    }
    return pool->free_count == on_stack + (capacity - pool->carved);       /* P1 */
}
