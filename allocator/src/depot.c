#include "depot.h"

#include "heap.h"
#include "tcache.h"

#define BATCHES    8u
#define BYTES_MIN  ((size_t)524288)    /* may wait here however small the heap is */

struct row {
    struct cell_freed *stack[BATCHES];
    uint32_t count[BATCHES];
    uint32_t batches;
};

static struct {
    struct cell_lock lock;
    size_t bytes;
    struct row row[CELL_TCACHE_BINS];
} depot;

static size_t limit_bytes(void)
{
    size_t share = (cell_segment_resident(&cell_heap_main.segment) << CELL_PAGE_SHIFT) / cell_option.depot_share;

    return share > BYTES_MIN ? share : BYTES_MIN;
}

bool cell_depot_put(size_t size, struct cell_freed *stack, size_t count)
{
    struct row *row = &depot.row[size / CELL_ALIGN];
    bool fits;

    if (cell_os_single_threaded() || cell_option.depot_share == 0)
        return false;
    cell_lock_acquire(&depot.lock);
    fits = row->batches < BATCHES && depot.bytes + count * size <= limit_bytes();
    if (fits) {
        row->stack[row->batches] = stack;
        row->count[row->batches] = (uint32_t)count;
        __atomic_store_n(&row->batches, row->batches + 1, __ATOMIC_RELAXED);
        __atomic_store_n(&depot.bytes, depot.bytes + count * size, __ATOMIC_RELAXED);
    }
    cell_lock_release(&depot.lock);
    return fits;
}

size_t cell_depot_take(size_t size, struct cell_freed **stack)
{
    struct row *row = &depot.row[size / CELL_ALIGN];
    size_t count = 0;

    if (__atomic_load_n(&row->batches, __ATOMIC_RELAXED) == 0)
        return 0;
    cell_lock_acquire(&depot.lock);
    if (row->batches != 0) {
        __atomic_store_n(&row->batches, row->batches - 1, __ATOMIC_RELAXED);
        *stack = row->stack[row->batches];
        count = row->count[row->batches];
        __atomic_store_n(&depot.bytes, depot.bytes - count * size, __ATOMIC_RELAXED);
    }
    cell_lock_release(&depot.lock);
    return count;
}

size_t cell_depot_bytes(void)
{
    return __atomic_load_n(&depot.bytes, __ATOMIC_RELAXED);
}

void cell_depot_lock(void)
{
    cell_lock_acquire(&depot.lock);
}

void cell_depot_unlock(void)
{
    cell_lock_release(&depot.lock);
}

void cell_depot_reset_lock(void)
{
    cell_lock_reset(&depot.lock);
}
