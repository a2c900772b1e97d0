#include "depot.h"

#include "arena.h"
#include "place.h"
#include "tcache.h"

#define BATCHES    8u
#define BYTES_MIN  ((size_t)524288)    /* may wait here however small the heap is */

struct row {
    struct cell_lock lock;
    uint32_t batches;
    size_t size;                        /* of its blocks, bytes */
    uint32_t count[BATCHES];
    struct cell_freed *stack[BATCHES];
} __attribute__((aligned(64)));

static struct row rows[CELL_ARENAS_MAX][CELL_TCACHE_BINS];
/* Apart: a process that never put anything here has no page of the rows. Written once, and read by every refill. */
static bool used CELL_FIRST;
/* All threads write to it, so it has a cache line of its own. */
static struct {
    size_t bytes;
    char pad[64 - sizeof(size_t)];
} total __attribute__((aligned(64))) CELL_FIRST;

static size_t limit_bytes(void)
{
    size_t share = (cell_segment_resident(&cell_heap_main.segment) << CELL_PAGE_SHIFT) / cell_option.depot_share;

    return share > BYTES_MIN ? share : BYTES_MIN;
}

/* False: the bytes would be too many. */
static bool reserve(size_t bytes)
{
    if (__atomic_add_fetch(&total.bytes, bytes, __ATOMIC_RELAXED) <= limit_bytes())
        return true;
    __atomic_sub_fetch(&total.bytes, bytes, __ATOMIC_RELAXED);
    return false;
}

bool cell_depot_put(unsigned arena, size_t index, size_t size, struct cell_freed *stack, size_t count)
{
    struct row *row = &rows[arena][index];
    bool fits;

    if (cell_os_single_threaded() || cell_option.depot_share == 0)
        return false;
    if (!__atomic_load_n(&used, __ATOMIC_RELAXED))
        __atomic_store_n(&used, true, __ATOMIC_RELAXED);
    cell_lock_acquire(&row->lock);
    fits = row->batches < BATCHES && reserve(count * size);
    if (fits) {
        row->size = size;
        row->stack[row->batches] = stack;
        row->count[row->batches] = (uint32_t)count;
        __atomic_store_n(&row->batches, row->batches + 1, __ATOMIC_RELAXED);
    }
    cell_lock_release(&row->lock);
    return fits;
}

size_t cell_depot_take(unsigned arena, size_t index, struct cell_freed **stack)
{
    struct row *row = &rows[arena][index];
    size_t count = 0;

    if (!__atomic_load_n(&used, __ATOMIC_RELAXED) || __atomic_load_n(&row->batches, __ATOMIC_RELAXED) == 0)
        return 0;
    cell_lock_acquire(&row->lock);
    if (row->batches != 0) {
        __atomic_store_n(&row->batches, row->batches - 1, __ATOMIC_RELAXED);
        *stack = row->stack[row->batches];
        count = row->count[row->batches];
        __atomic_sub_fetch(&total.bytes, count * row->size, __ATOMIC_RELAXED);
    }
    cell_lock_release(&row->lock);
    return count;
}

size_t cell_depot_bytes(void)
{
    return __atomic_load_n(&total.bytes, __ATOMIC_RELAXED);
}

static void for_each_row(void (*action)(struct cell_lock *lock))
{
    for (unsigned arena = 0; arena < cell_arena_count(); arena++)
        for (size_t row = 0; row < CELL_TCACHE_BINS; row++)
            action(&rows[arena][row].lock);
}

void cell_depot_lock(void)
{
    for_each_row(cell_lock_acquire);
}

void cell_depot_unlock(void)
{
    for_each_row(cell_lock_release);
}

void cell_depot_reset_lock(void)
{
    for_each_row(cell_lock_reset);
}
