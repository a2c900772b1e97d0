#include "tcache.h"

/* What a cache holds, and whether its invariants hold: for statistics and cell_check(). */

size_t cell_tcache_bytes(const struct cell_tcache *cache)
{
    size_t bytes = 0;

    for (const struct cell_freed *cell = cache->slot[0].bin.head; cell != NULL; cell = cell_freed_next(cell))
        bytes += cell_heap_size_of(&cell_heap_main, cell);
    bytes += cell_large_bytes(&cache->large);
    for (size_t row = 1; row < cell_tcache_rows(cache); row++)
        bytes += (cell_bin_held(cell_tcache_bin_of_row(cache, row)) + cell_tcache_spare_count(cache, row)) *
                 cell_tcache_size_of_row(cache, row);
    return bytes;
}

/* T1 */
static bool may_hold(const struct cell_tcache *cache, size_t row, size_t size)
{
    size_t excess = size - cell_tcache_size_of_row(cache, row);

    if (cell_tcache_is_cell_row(row))
        return excess == 0;
    bool is_class = row >= CELL_TCACHE_SIZES || (row > CELL_TCACHE_PLAIN && cell_tcache_class_limit() != 0);
    bool by_class = is_class && row < CELL_TCACHE_BINS;
    return excess <= CELL_ALIGN || (by_class && excess < cell_tcache_size_of_row(cache, row) / CELL_EXCESS_SHARE);
}

/* T1; the blocks of a stack, or more than `most` */
static size_t count_valid(const struct cell_tcache *cache, size_t row, const struct cell_freed *block, size_t most)
{
    size_t blocks = 0;

    for (; block != NULL && blocks <= most; block = cell_freed_next(block))
        blocks += may_hold(cache, row, cell_heap_size_of(&cell_heap_main, block)) ? 1 : most + 1;
    return blocks;
}

/* T7 */
static bool names_are_valid(const struct cell_tcache *cache)
{
    for (size_t size = CELL_BINNED_MAX + CELL_ALIGN; size <= CELL_CLASS_MAX; size += CELL_ALIGN) {
        const struct cell_recurring *slot = cell_tcache_named_slot(cache, size);
        if (slot != NULL && (slot->size != size || !slot->demand.proven))
            return false;
    }
    return true;
}

/* T8 */
static bool large_are_valid(const struct cell_large *large)
{
    for (unsigned at = 0; at < CELL_LARGE_ENTRIES; at++)
        if (large->block[at] != NULL && (!cell_freed_is_tagged(large->block[at]) ||
                                         cell_heap_size_of(&cell_heap_main, large->block[at]) != large->size[at]))
            return false;
    return true;
}

bool cell_tcache_is_valid(const struct cell_tcache *cache)
{
    const struct cell_bin *aside = &cache->slot[0].bin;
    size_t capacity = 0, cells_aside = 0;

    for (const struct cell_freed *cell = aside->head; cell != NULL && cells_aside <= aside->limit; cells_aside++)
        cell = cell_freed_next(cell);
    if (cells_aside != aside->limit)                                    /* T5 */
        return false;
    for (size_t row = 1; row < cell_tcache_rows(cache); row++) {
        const struct cell_bin *bin = cell_tcache_bin_of_row(cache, row);
        size_t spare = cell_tcache_spare_count(cache, row), most = cell_tcache_spare_limit(cache, row);
        if (count_valid(cache, row, bin->head, bin->limit) + bin->room != bin->limit || spare > most ||
            (spare != 0 && count_valid(cache, row, cache->spare[row].stack, spare) != spare))       /* T2 */
            return false;
        capacity += (bin->limit + most) * cell_tcache_size_of_row(cache, row);
    }
    return capacity == cache->capacity && names_are_valid(cache) && large_are_valid(&cache->large);     /* T3 */
}
