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
        pools->shape[i].inverse = (uint32_t)(((UINT64_C(1) << 32) + size - 1) / size);
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

/* Of a cell, by a multiplication (Lemire, Kaser and Kurz, Faster remainder by direct computation, 2019). */
static size_t index_of(uint32_t inverse, const void *cell)
{
    uint64_t product = (uint64_t)offset_in_page(cell) * inverse;

    CELL_CHECK((uint32_t)product < inverse, CELL_FATAL_BAD_POINTER);
    return (size_t)(product >> 32);
}

static struct cell_freed *stack_of(const struct cell_pools *pools, const struct cell_page_info *pool, size_t page)
{
    return cell_pool_stack(pool, cell_segment_page_start(pools->segment, page));
}

static void set_stack(struct cell_page_info *pool, const struct cell_freed *top)
{
    pool->free_head = (uint16_t)(offset_in_page(top) + 1);
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
    size_t size = cell_pool_cell_size(pool->pool_class), left = capacity_of(pools, pool->pool_class) - pool->carved;
    size_t taken = wanted < left ? wanted : left;
    CELL_ASSERT(taken != 0);
    struct cell_freed *first = cell_at(pools, page, pool->carved), *cell = cell_at(pools, page, pool->carved + taken - 1);

    cell_freed_set_next(cell, NULL);
    for (struct cell_freed *below; cell != first; cell = below) {
        below = (struct cell_freed *)((char *)cell - size);
        cell_freed_set_next(below, cell);
    }
    pool->carved = (uint16_t)(pool->carved + taken);
    *stack = cell;
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
    else
        pool->until_relink = 0;
    return taken;
}

/* Whether a block of the whole range is a cell of the class that `kind` stands for, in this part of it. */
static bool is_of_kind(const struct cell_segment *seg, const struct cell_freed *block, unsigned kind)
{
    return block != NULL && cell_segment_owns(seg, block) && seg->kind[cell_segment_page_of(seg, block)] == kind;
}

/* Puts the cells on top of a stack that lie in its first one's page on its pool's: those that were freed one after the other lie together
 * most often. Lowers `left`, the most that it may put; returns the rest of the stack. */
static struct cell_freed *put_run(struct cell_page_info *pool, uint32_t inverse, struct cell_freed *first, size_t *left)
{
    struct cell_freed *last, *next = first;

    do {
        CELL_CHECK(index_of(inverse, next) < pool->carved, CELL_FATAL_BAD_POINTER);
        last = next;
        next = cell_freed_next(last);
    } while (--*left != 0 && ((uintptr_t)next ^ (uintptr_t)first) < CELL_PAGE);
    cell_freed_set_next(last, cell_pool_stack(pool, (char *)((uintptr_t)first & ~(CELL_PAGE - 1))));
    set_stack(pool, first);
    return next;
}

/* Puts cells of one kind on their pools' stacks until the fullness of one changes; returns how many that one, whose page it sets, is
 * still to be told of. noinline: registers for the loop alone. */
__attribute__((noinline))
static size_t put_runs(struct cell_pools *pools, struct cell_freed **stack, size_t *most, unsigned kind, size_t *page)
{
    const struct cell_segment *seg = pools->segment;
    uint32_t inverse = pools->shape[kind / CELL_ALIGN].inverse;
    struct cell_freed *cell = *stack;
    size_t left = *most, untold = 0;

    do {
        size_t before = left;
        *page = cell_segment_page_of(seg, cell);
        struct cell_page_info *pool = info_of(pools, *page);
        cell = put_run(pool, inverse, cell, &left);
        size_t run = before - left;
        if (pool->until_relink > run) {
            pool->until_relink = (uint8_t)(pool->until_relink - run);
            pool->free_count = (uint16_t)(pool->free_count + run);
        } else {
            untold = run;
        }
    } while (untold == 0 && left != 0 && is_of_kind(seg, cell, kind));
    *stack = cell;
    *most = left;
    return untold;
}

/* `given` cells have come back to a pool, whose fullness they change. True when it has become empty while another is. */
static bool relink_pool(struct cell_pools *pools, size_t page, size_t given)
{
    struct cell_page_info *pool = info_of(pools, page);
    size_t had = pool->free_count, capacity = capacity_of(pools, pool->pool_class);

    CELL_CHECK(had + given <= capacity, CELL_FATAL_DOUBLE_FREE);
    if (had != 0)
        unlink_pool(pools, page);
    pool->free_count = (uint16_t)(had + given);
    link_pool(pools, page);
    return pool->free_count == capacity && ++pools->empty[pool->pool_class] > 1;
}

bool cell_pool_give(struct cell_pools *pools, struct cell_freed **stack, size_t *most, size_t *page)
{
    const struct cell_segment *seg = pools->segment;
    unsigned kind = seg->kind[cell_segment_page_of(seg, *stack)];
    size_t before = *most;
    bool excess = false;

    do {
        size_t run = put_runs(pools, stack, most, kind, page);
        excess = run != 0 && relink_pool(pools, *page, run);
    } while (!excess && *most != 0 && is_of_kind(seg, *stack, kind));
    pools->free_bytes += (before - *most) * kind;
    return excess;
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

    return index_of(pools->shape[pool->pool_class].inverse, cell) < pool->carved;
}

bool cell_pool_is_valid(const struct cell_pools *pools, size_t page)
{
    const struct cell_page_info *pool = info_of(pools, page);
    size_t capacity = cell_pool_capacity(pool->pool_class);
    size_t on_stack = 0;

    if (pool->pool_class == 0 || pool->carved > capacity || pool->free_count > capacity)
        return false;
    for (const struct cell_freed *cell = stack_of(pools, pool, page); cell != NULL; on_stack++) {
        if (on_stack == capacity || index_of(pools->shape[pool->pool_class].inverse, cell) >= pool->carved || !cell_freed_is_tagged(cell))
            return false;
        cell = cell_freed_next(cell);
        if (cell != NULL && cell_segment_page_of(pools->segment, cell) != page)
            return false;
    }
    return pool->free_count == on_stack + (capacity - pool->carved) &&     /* P1 */
           pool->until_relink <= (pool->free_count == 0 ? 0 : capacity - pool->free_count);     /* P2 */
}
