#include "pool.h"

#include <string.h>

static struct cell_page_info *info_of(const struct cell_pools *pools, size_t page)
{
    return &pools->segment->info[page];
}

void cell_pool_init(struct cell_pools *pools, struct cell_segment *segment)
{
    memset(pools, 0, sizeof *pools);
    pools->segment = segment;
}

/* What a division by the class's cell size would give; a table, since it is on every way into a pool. */
static const struct {
    uint16_t capacity;
    uint32_t inverse;       /* 2^20 / cell size, rounded up: exact for all offsets in a page */
} class_table[CELL_POOL_CLASSES + 1] = {
#define CLASS(i) [i] = { (CELL_PAGE - CELL_WORD) / ((i) * CELL_ALIGN), ((1u << 20) + (i) * CELL_ALIGN - 1) / ((i) * CELL_ALIGN) }
    CLASS(1), CLASS(2), CLASS(3), CLASS(4), CLASS(5), CLASS(6), CLASS(7), CLASS(8), CLASS(9), CLASS(10), CLASS(11),
    CLASS(12), CLASS(13), CLASS(14), CLASS(15),
#undef CLASS
};

size_t cell_pool_capacity(unsigned pool_class)
{
    return class_table[pool_class].capacity;
}

/* free_count is between 1 and capacity; the share of free cells, in CELL_POOL_FILLS steps. */
static unsigned fill_of(const struct cell_page_info *pool)
{
    unsigned capacity = class_table[pool->pool_class].capacity;
    unsigned free_cells = pool->free_count;

    return (free_cells > capacity / 4) + (free_cells > capacity / 2) + (free_cells > capacity - capacity / 4);
}

static void link_pool(struct cell_pools *pools, size_t page)
{
    struct cell_page_info *pool = info_of(pools, page);
    uint32_t *first;

    pool->list = (uint8_t)fill_of(pool);
    first = &pools->first[pool->pool_class][pool->list];
    pool->prev = 0;
    pool->next = *first;
    if (*first != 0)
        info_of(pools, *first - 1)->prev = (uint32_t)page + 1;
    *first = (uint32_t)page + 1;
}

static void unlink_pool(struct cell_pools *pools, size_t page)
{
    struct cell_page_info *pool = info_of(pools, page);

    if (pool->prev != 0)
        info_of(pools, pool->prev - 1)->next = pool->next;
    else
        pools->first[pool->pool_class][pool->list] = pool->next;
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
    link_pool(pools, page);
}

void cell_pool_remove(struct cell_pools *pools, size_t page)
{
    struct cell_page_info *pool = info_of(pools, page);

    CELL_ASSERT(pool->free_count == cell_pool_capacity(pool->pool_class));
    unlink_pool(pools, page);
    pools->pages[pool->pool_class]--;
    pools->empty[pool->pool_class]--;
    pools->segment->kind[page] = CELL_PAGE_CHUNK;
}

static struct cell_freed *cell_at(const struct cell_pools *pools, size_t page, size_t index)
{
    size_t size = cell_pool_cell_size(info_of(pools, page)->pool_class);

    return (struct cell_freed *)((char *)cell_segment_page_start(pools->segment, page) + index * size);
}

static size_t index_of(const struct cell_pools *pools, size_t page, const void *cell)
{
    size_t offset = (size_t)((const char *)cell - (const char *)cell_segment_page_start(pools->segment, page));
    unsigned pool_class = info_of(pools, page)->pool_class;
    size_t index = offset * class_table[pool_class].inverse >> 20;

    CELL_CHECK(index * cell_pool_cell_size(pool_class) == offset, CELL_FATAL_BAD_POINTER);
    return index;
}

/* One free cell of the pool: a used one first, then the next that was never carved. */
static struct cell_freed *pool_pop(struct cell_pools *pools, size_t page)
{
    struct cell_page_info *pool = info_of(pools, page);

    pool->free_count--;
    if (pool->free_head == 0)
        return cell_at(pools, page, pool->carved++);

    struct cell_freed *cell = cell_at(pools, page, pool->free_head - 1u);
    struct cell_freed *next = cell_freed_next(cell);
    pool->free_head = next == NULL ? 0 : (uint16_t)(index_of(pools, page, next) + 1);
    return cell;
}

size_t cell_pool_take(struct cell_pools *pools, unsigned pool_class, size_t wanted, struct cell_freed **stack)
{
    uint32_t first = 0;

    for (unsigned fill = 0; fill < CELL_POOL_FILLS && first == 0; fill++)
        first = pools->first[pool_class][fill];
    if (first == 0 || wanted == 0)
        return 0;

    size_t page = first - 1;
    struct cell_page_info *pool = info_of(pools, page);
    size_t taken = wanted < pool->free_count ? wanted : pool->free_count;

    unlink_pool(pools, page);
    if (pool->free_count == cell_pool_capacity(pool_class))
        pools->empty[pool_class]--;

    struct cell_freed *top = pool_pop(pools, page), *last = top;
    for (size_t i = 1; i < taken; i++) {
        struct cell_freed *cell = pool_pop(pools, page);
        cell_freed_set_next(last, cell);
        last = cell;
    }
    cell_freed_set_next(last, *stack);
    *stack = top;
    if (pool->free_count != 0)
        link_pool(pools, page);
    return taken;
}

bool cell_pool_give(struct cell_pools *pools, void *freed)
{
    size_t page = cell_segment_page_of(pools->segment, freed);
    struct cell_page_info *pool = info_of(pools, page);
    size_t index = index_of(pools, page, freed);
    struct cell_freed *below = pool->free_head == 0 ? NULL : cell_at(pools, page, pool->free_head - 1u);

    CELL_CHECK(index < pool->carved, CELL_FATAL_BAD_POINTER);
    CELL_CHECK(pool->free_count < cell_pool_capacity(pool->pool_class), CELL_FATAL_DOUBLE_FREE);
    cell_freed_set_next(freed, below);
    pool->free_head = (uint16_t)(index + 1);
    pool->free_count++;

    if (pool->free_count == 1) {
        link_pool(pools, page);
    } else if (fill_of(pool) != pool->list) {
        unlink_pool(pools, page);
        link_pool(pools, page);
    }
    if (pool->free_count != cell_pool_capacity(pool->pool_class))
        return false;
    return ++pools->empty[pool->pool_class] > 1;
}

bool cell_pool_is_valid(const struct cell_pools *pools, size_t page)
{
    const struct cell_page_info *pool = info_of(pools, page);
    size_t capacity = cell_pool_capacity(pool->pool_class);
    size_t on_stack = 0;

    if (pool->pool_class == 0 || pool->carved > capacity || pool->free_count > capacity)
        return false;
    for (size_t next = pool->free_head; next != 0; on_stack++) {
        const struct cell_freed *cell = cell_at(pools, page, next - 1);
        if (on_stack == capacity || !cell_freed_is_tagged(cell))
            return false;
        const struct cell_freed *below = cell_freed_next(cell);
        next = below == NULL ? 0 : index_of(pools, page, below) + 1;
    }
    return pool->free_count == on_stack + (capacity - pool->carved);       /* P1 */
}
