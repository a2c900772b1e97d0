#include "tcache.h"

#include "arena.h"
#include "depot.h"
#include "minmax.h"
#include "os.h"
#include "tcache_limits.h"

#define ASIDE_MAX         32u
#define FREES_WITHOUT_CACHE 32u
#define PRODUCER          4u        /* refills for each flush of a thread that passes on what it allocates */
#define PLACE_SHARE       32u       /* of a large need: chunks below that hardly ever make a place for it */

/* ---- filling and emptying bins ----------------------------------------------------------------------------------- */

/* Takes the oldest blocks out of a bin, all but `keep`; returns them. */
static struct cell_freed *split_off(struct cell_bin *bin, size_t keep)
{
    struct cell_freed *rest = bin->head, *last = rest;

    bin->room = bin->limit - (uint32_t)keep;
    if (keep == 0) {
        bin->head = NULL;
        return rest;
    }
    for (size_t i = 1; i < keep; i++)
        last = cell_freed_next(last);
    rest = cell_freed_next(last);
    cell_freed_set_next(last, NULL);
    return rest;
}

/* Whether the bin of a row keeps its blocks whatever has proved to come back. */
static bool is_kept_always(const struct cell_tcache *cache, size_t row)
{
    return cell_tcache_is_cell_row(row) || row >= CELL_TCACHE_BINS ||
           cell_tcache_size_of_row(cache, row) <= cell_tcache_limit() + CELL_WORD;
}

/* Whether no bin keeps the blocks of such a row, since bins are not by class and its size or class has not proved to come back. */
static bool is_unproven(const struct cell_tcache *cache, size_t row)
{
    return cell_tcache_class_limit() == 0 && (cache->watch == NULL || !cache->watch->row[row].proven);
}

/* The row whose bin caches a block of `row`; 0: none does. Up to cache_limit it is the row itself; beyond, that of its class once
 * there are threads, and until then its own if the size has proved to come back. */
static size_t caching_row(const struct cell_tcache *cache, size_t row)
{
    size_t by_class = row >= CELL_TCACHE_SIZES ? row : row / CELL_ROWS_PER_CLASS * CELL_ROWS_PER_CLASS;

    if (is_kept_always(cache, row))
        return row;
    if (cell_tcache_class_limit() == 0)
        return is_unproven(cache, row) ? 0 : row;
    return by_class > CELL_TCACHE_PLAIN && cell_tcache_size_of_row(cache, by_class) <= cell_tcache_class_limit() ? by_class : 0;
}

/* The blocks of `row` that were set aside. */
static struct cell_freed *take_spare(struct cell_tcache *cache, size_t row, size_t *count)
{
    struct cell_freed *stack = NULL;

    *count = cell_tcache_spare_count(cache, row);
    if (*count != 0) {
        stack = cache->spare[row].stack;
        cache->spare[row].stack = NULL;
        cache->spare[row].count = 0;
    }
    return stack;
}

void cell_tcache_flush_row(struct cell_tcache *cache, size_t row, size_t keep)
{
    struct cell_bin *bin = cell_tcache_bin_of_row(cache, row);
    size_t spare;

    if (cell_tcache_spare_count(cache, row) != 0)
        cell_arena_free_stack(take_spare(cache, row, &spare));
    if (cell_bin_held(bin) > keep)
        cell_arena_free_stack(split_off(bin, keep));
}

static void give_aside_back(struct cell_tcache *cache)
{
    struct cell_bin *aside = &cache->slot[0].bin;

    cell_arena_free_stack(aside->head);
    *aside = (struct cell_bin){ NULL, 0, 0 };
}

/* A cell of a size that the thread has not asked for was another thread's, whose cache holds its neighbours in the cache line:
 * handing it out here would have both write to one line. False: there have been too many for that to be chance. */
static bool set_aside(struct cell_tcache *cache, void *cell)
{
    struct cell_bin *aside = &cache->slot[0].bin;

    CELL_CHECK(!cell_freed_is_tagged(cell), CELL_FATAL_DOUBLE_FREE);
    if (cell_os_single_threaded())
        return false;
    if (aside->limit == ASIDE_MAX) {
        give_aside_back(cache);
        return false;
    }
    cell_freed_push(&aside->head, cell);
    aside->limit++;
    return true;
}

void cell_tcache_empty(struct cell_tcache *cache)
{
    give_aside_back(cache);
    cell_tcache_give_large_back(cache);
    for (size_t row = 1; row < cell_tcache_rows(cache); row++)
        cell_tcache_flush_row(cache, row, 0);
}

/* Makes room in a full bin by what has lain there for longest, which is returned: its older half, or what was set aside before it is. */
static struct cell_freed *make_way(struct cell_tcache *cache, struct cell_bin *bin, size_t row, size_t *count)
{
    size_t keep = bin->limit / 2;

    if (cell_tcache_spare_limit(cache, row) < bin->limit) {
        *count = bin->limit - keep;
        return split_off(bin, keep);
    }
    struct cell_freed *older = take_spare(cache, row, count);
    cache->spare[row].stack = bin->head;
    cache->spare[row].count = bin->limit;
    bin->head = NULL;
    bin->room = bin->limit;
    return older;
}

/* A full bin of a program's one thread gives the last freed back, which lie in the processor's cache still: each block is looked
 * at once. With several threads it passes the oldest on to whichever wants them, without a look at a block; when that is not
 * to be, it gives them back to the heap. The newer ones stay: the calls to come may as well take as free. */
static void overflow(struct cell_tcache *cache, struct cell_bin *bin, size_t row)
{
    size_t count = cell_min(bin->limit - bin->limit / 2, cell_option.batch);

    if (cell_os_single_threaded()) {
        bin->room += (uint32_t)count;
        cell_arena_free_upper(&bin->head, count);
        return;
    }
    struct cell_freed *older = make_way(cache, bin, row, &count);
    if (older != NULL && (row >= CELL_TCACHE_BINS || !cell_depot_put(cell_arena_of(older), row, cell_tcache_size_of_row(cache, row), older, count)))
        cell_arena_free_stack(older);
}

/* Gives what waits in the depot for any thread back; true when that was anything. */
static bool drain_depot(size_t row)
{
    struct cell_freed *stack;
    bool any = false;

    for (unsigned arena = 0; arena < cell_arena_count(); arena++)
        while (cell_depot_take(arena, row, &stack) != 0) {
            any = true;
            cell_arena_free_stack(stack);
        }
    return any;
}

/* Bytes of the chunks that the cache holds. */
static size_t chunk_bytes(const struct cell_tcache *cache)
{
    size_t bytes = cell_large_bytes(&cache->large);

    for (size_t row = cell_size_chunk_min() / CELL_ALIGN; row < cell_tcache_rows(cache); row++)
        bytes += (cell_bin_held(cell_tcache_bin_of_row(cache, row)) + cell_tcache_spare_count(cache, row)) * cell_tcache_size_of_row(cache, row);
    return bytes;
}

/* Chunks that wait here may be what the heap lacks for `size` bytes: their coalescing can be deferred no longer. A large need
 * takes all that could make a place for it: nothing when all together are less, and not the small ones, of which too many would have to lie side by
 * side. A small need, which comes for every page, takes the older half of each bin, which nobody has wanted for longest, and only
 * when the growth since weighs against what the cache may hold: else the same blocks would come and go. In a heap that has long stayed as
 * it is, so they would for large needs that come again and again; there it must have grown by a little. */
static bool consolidate(struct cell_tcache *cache, size_t size)
{
    uint64_t brought_in = cell_segment_brought_in(&cell_heap_main.segment);
    size_t grown = (size_t)(brought_in - cache->consolidated_at) << CELL_PAGE_SHIFT;
    size_t usual = cache->capacity >> cache->patience;
    bool all = usual / 16 <= size, any = false, batches_wait = cell_depot_bytes() != 0;
    size_t enough = !all ? usual / 8 : cache->patience != 0 ? usual / 32 : 0, least = all ? size / PLACE_SHARE : 0;

    if (cache->state != CELL_TCACHE_LIVE || grown < enough || (all && !batches_wait && chunk_bytes(cache) < size))
        return false;
    cache->consolidated_at = brought_in;
    for (size_t row = cell_size_chunk_min() / CELL_ALIGN; row < cell_tcache_rows(cache); row++) {
        struct cell_bin *bin = cell_tcache_bin_of_row(cache, row);
        bool spare = cell_tcache_spare_count(cache, row) != 0;
        if (cell_tcache_size_of_row(cache, row) < least)
            continue;
        if (bin->head != NULL || spare) {
            cell_tcache_flush_row(cache, row, all ? 0 : spare ? bin->limit : cell_bin_held(bin) / 2);
            any = true;
        }
        any |= batches_wait && row < CELL_TCACHE_BINS && drain_depot(row);
    }
    any |= cell_tcache_give_large_back(cache);
    cache->flushes += any;
    return any;
}

void cell_tcache_flush(void)
{
    struct cell_tcache *cache = cell_tcache_mine;

    if (cache->state == CELL_TCACHE_LIVE) {
        cell_tcache_empty(cache);
        cache->times_emptied = cell_heap_times_emptied(&cell_heap_main);
    }
    for (size_t row = 1; row < CELL_TCACHE_BINS; row++)
        drain_depot(row);
    cell_arena_coalesce();
}

void cell_tcache_give_all_back(struct cell_tcache *cache)
{
    for (size_t row = 1; row < cell_tcache_rows(cache); row++)
        cell_tcache_close_bin(cache, row);
    cell_tcache_flush();
}

void cell_tcache_start_sharing(struct cell_tcache *cache)
{
    for (size_t row = CELL_TCACHE_PLAIN + 1; row < cell_tcache_rows(cache); row++)
        if (row >= CELL_TCACHE_BINS || caching_row(cache, row) != row)
            cell_tcache_close_bin(cache, row);
    cache->watch = NULL;
    cache->spare = cell_tcache_spare_main;
}

static size_t fetch(struct cell_tcache *cache, unsigned arena, size_t row, size_t wanted, struct cell_freed **stack)
{
    struct cell_heap *heap = cell_arena_at(arena);

    if (cell_tcache_is_cell_row(row))
        return cell_heap_take_cells(heap, (unsigned)row, wanted, stack);

    size_t size = cell_tcache_size_of_row(cache, row);
    size_t taken = cell_heap_take_chunks_without_growing(heap, size, wanted, stack);
    if (taken == 0 && consolidate(cache, size))
        taken = cell_heap_take_chunks_without_growing(heap, size, wanted, stack);
    if (taken == 0)
        taken = cell_heap_take_chunks(heap, size, wanted, stack);
    return taken;
}

/* A batch that waits in the depot: of the arena, or, for a thread that takes far more than it gives and so passes its blocks on to other
 * processors anyway, of any. For others what another processor has written to costs more than the heap's lock. */
static size_t take_from_depot(const struct cell_tcache *cache, unsigned arena, size_t row, struct cell_freed **stack)
{
    size_t taken = cell_depot_take(arena, row, stack);

    if (taken != 0 || cache->refills < PRODUCER * cache->flushes)
        return taken;
    for (unsigned other = 0; other < cell_arena_count() && taken == 0; other++)
        taken = cell_depot_take(other, row, stack);
    return taken;
}

static void *refill(struct cell_tcache *cache, size_t row)
{
    struct cell_bin *bin = cell_tcache_bin_of_row(cache, row);
    size_t size = cell_tcache_size_of_row(cache, row);
    unsigned arena = cell_arena_for(size);
    struct cell_freed *stack = NULL;

    if (cache->state != CELL_TCACHE_LIVE)
        return fetch(cache, arena, row, 1, &stack) == 0 ? NULL : cell_freed_pop(&stack);

    CELL_ASSERT(bin->head == NULL);
    cache->refills++;
    size_t taken = row < CELL_TCACHE_BINS ? take_from_depot(cache, arena, row, &stack) : 0;
    if (taken == 0) {
        cell_tcache_widen(cache, bin, row);
        size_t most = cell_tcache_batch(size);
        size_t half = (bin->limit + cell_tcache_spare_limit(cache, row) + 1) / 2;
        taken = fetch(cache, arena, row, cell_min(cell_max(1, half), most), &stack);
    }
    if (taken == 0)
        return NULL;
    void *block = cell_freed_pop(&stack);
    cell_tcache_make_room(cache, bin, row, taken - 1);
    bin->head = stack;
    bin->room -= (uint32_t)(taken - 1);
    return block;
}

/* ---- the slow paths ------------------------------------------------------------------------------------------------ */

void *cell_tcache_alloc_large(size_t request, size_t alignment, struct cell_zero_run *zero)
{
    if (!cell_tcache_start())
        return NULL;

    struct cell_heap *heap = cell_arena_at(cell_arena_for(request));
    void *block = cell_heap_alloc(heap, request, alignment, CELL_STAY, zero);
    if (block == NULL && consolidate(cell_tcache_mine, request))
        block = cell_heap_alloc(heap, request, alignment, CELL_STAY, zero);
    if (block == NULL)
        block = cell_heap_alloc(heap, request, alignment, CELL_GROW, zero);
    /* Rather than fail, give up what is kept; all there is must be as much as is asked for. */
    if (block == NULL && request >> CELL_PAGE_SHIFT <= cell_segment_resident(&cell_heap_main.segment) && cell_tcache_bytes(cell_tcache_mine) != 0) {
        cell_tcache_flush();
        block = cell_heap_alloc(heap, request, alignment, CELL_GROW, zero);
    }
    return block;
}

/* From a bin that has run empty, which gets back what was set aside. */
static void *pop_spare(struct cell_tcache *cache, struct cell_bin *bin, size_t row)
{
    size_t count;
    struct cell_freed *stack = take_spare(cache, row, &count);

    if (stack == NULL)
        return NULL;
    bin->head = stack;
    bin->room -= (uint32_t)count;
    return cell_tcache_pop(bin);
}

/* A request that is rounded up to a row looked into no bin, or into another, before it came here. A chunk that is a little larger,
 * from a bin that has more than it needs, saves the search for one, and the memory. */
static void *take(size_t row)
{
    struct cell_tcache *cache = cell_tcache_mine;
    size_t last = cell_tcache_is_cell_row(row) || row > CELL_TCACHE_PLAIN ? row : cell_min(row + row / CELL_EXCESS_SHARE, CELL_TCACHE_PLAIN);
    struct cell_bin *own = cell_tcache_bin_of_row(cache, row);
    void *block = cell_tcache_pop(own);

    block = block != NULL ? block : pop_spare(cache, own, row);
    for (size_t near = row + 1; block == NULL && near <= last; near++) {
        struct cell_bin *bin = cell_tcache_bin_of_row(cache, near);
        if (cell_bin_held(bin) > bin->limit / 2)
            block = cell_tcache_pop(bin);
    }
    return block != NULL ? block : refill(cache, row);
}

void *cell_tcache_alloc_slow(size_t request)
{
    if (!cell_tcache_start())
        return NULL;
    if (request > CELL_REQUEST_MAX)
        return NULL;
    if (cell_option.cache_bytes == 0)
        cell_tcache_retire();
    cell_tcache_share_bins(cell_tcache_mine);

    bool cell = cell_size_is_cell(request);
    size_t size = cell ? cell_size_of_cell(request) : cell_size_of_chunk(request);
    void *block = NULL;
    if (cell || request <= cell_tcache_limit())
        block = take(size / CELL_ALIGN);
    else if (cell_tcache_has_class(request))
        block = take(cell_tcache_row_of_class(cell_size_class_for(request)));
    return block != NULL ? block : cell_tcache_alloc_large(request, CELL_ALIGN, NULL);
}

/* What a thread frees before it has a cache, since these frees may be all: the C library calls free on threads that never do, for
 * what threads that ended have left, after all destructors, and nobody would give their caches back. */
static bool is_among_first_frees(const struct cell_tcache *cache)
{
    static __thread unsigned freed __attribute__((tls_model("initial-exec")));

    return cache->state == CELL_TCACHE_NONE && freed++ < FREES_WITHOUT_CACHE;
}

void cell_tcache_free_slow(struct cell_tcache *cache, size_t row, void *block)
{
    /* The shortest way is for a chunk whose row has not proved to recur; the row is its size. */
    if (cache->watch != NULL && row < CELL_TCACHE_SIZES && cell_option.cache_bytes != 0 && !is_kept_always(cache, row) &&
        is_unproven(cache, row)) {
        cell_demand_free(&cache->watch->row[row], 1);
        cell_heap_give_chunk(cell_arena_heap_of(block), block, row * CELL_ALIGN);
        cell_tcache_follow(cache);
        return;
    }
    if (is_among_first_frees(cache)) {
        cell_heap_give(cell_arena_heap_of(block), block);
        return;
    }
    cell_tcache_start();
    if (cell_option.cache_bytes == 0)
        cell_tcache_retire();
    cache = cell_tcache_mine;
    if (cache->state != CELL_TCACHE_LIVE) {
        cell_heap_give(cell_arena_heap_of(block), block);
        return;
    }
    size_t asked = row;
    row = caching_row(cache, row);
    if (row == 0) {
        if (cache->watch != NULL)
            cell_demand_free(&cache->watch->row[asked], 1);
        cell_heap_give_chunk(cell_arena_heap_of(block), block, cell_heap_inuse_size(cell_chunk_of_user(block)));
        cell_tcache_follow(cache);
        return;
    }
    struct cell_bin *bin = cell_tcache_bin_of_row(cache, row);
    if (bin->limit == 0 && cell_tcache_is_cell_row(row) && set_aside(cache, block))
        return;
    if (bin->room == 0 && !cell_tcache_widen(cache, bin, row)) {
        if (row >= CELL_TCACHE_SIZES)
            cell_tcache_note_class(cache, cell_heap_inuse_size(cell_chunk_of_user(block)));
        cache->flushes++;
        if (bin->limit != 0)
            overflow(cache, bin, row);
        cell_tcache_follow(cache);
    }
    if (!cell_tcache_push(bin, block))
        cell_heap_give(cell_arena_heap_of(block), block);
}

/* ---- sizes that recur ---------------------------------------------------------------------------------------------- */

/* Has `slot_of` name a slot, from 1, for a size; 0: none any more. */
static void name_slot(struct cell_watch *watch, size_t size, size_t number)
{
    if (size > CELL_BINNED_MAX && size <= CELL_CLASS_MAX)
        __atomic_store_n(cell_tcache_slot_of(watch, size), (uint8_t)number, __ATOMIC_RELAXED);
}

/* What the slot holds of the size that it has watched goes back to the heap. */
static void watch(struct cell_tcache *cache, struct cell_recurring *slot, size_t size)
{
    name_slot(cache->watch, slot->size, 0);
    if (slot->bin.limit != 0)
        cell_tcache_close_bin(cache, cell_tcache_row_of_slot(cache, slot));
    cell_recurring_watch(slot, size);
}

/* A slot for the size alone, if it has proved to recur; a new one, if it outweighs another. */
static struct cell_recurring *ask_slot(struct cell_tcache *cache, size_t size)
{
    struct cell_recurring *slot = cell_recurring_find(cache->watch->slot, size);

    if (slot->size == size) {
        if (!cell_demand_ask(&slot->demand, CELL_RECURS))
            return NULL;
        name_slot(cache->watch, size, (size_t)(slot - cache->watch->slot) + 1);
        return slot;
    }
    struct cell_recurring *loser = cell_recurring_vote(slot);
    if (loser != NULL)
        watch(cache, loser, size);
    return NULL;
}

/* The blocks of many sizes lie better in one bin. */
static void close_slots_of_class(struct cell_tcache *cache, size_t row)
{
    for (struct cell_recurring *slot = cache->watch->slot; slot < cache->watch->slot + CELL_RECURRING_SLOTS; slot++)
        if (slot->size != 0 && cell_tcache_row_for_chunk(slot->size) == row)
            watch(cache, slot, 0);
}

size_t cell_tcache_ask(struct cell_tcache *cache, size_t size)
{
    size_t row = cell_tcache_row_for_chunk(size);
    struct cell_demand *demand = &cache->watch->row[row];

    if (size <= CELL_BINNED_MAX) {
        if (!cell_demand_ask(demand, CELL_RECURS))
            return 0;
        if (row == CELL_TCACHE_SIZES && cell_tcache_row_for_freed(size) == 0)
            cell_tcache_map_sizes();            /* it is a class's, too */
        return row;
    }
    if (row != 0 && demand->proven)
        return row;
    struct cell_recurring *slot = ask_slot(cache, size);
    if (slot != NULL)
        return cell_tcache_row_of_slot(cache, slot);
    if (row == 0 || !cell_demand_ask(demand, CELL_CLASS_RECURS))
        return 0;
    close_slots_of_class(cache, row);
    cell_tcache_map_sizes();
    return row;
}

void *cell_tcache_ask_recurring(size_t size)
{
    struct cell_tcache *cache = cell_tcache_mine;

    if (cache->watch == NULL || cell_tcache_class_limit() != 0 || !cell_tcache_may_recur(size))
        return cell_tcache_take_large(size, CELL_ALIGN);
    size_t row = cell_tcache_ask(cache, size);
    if (row == 0)
        return NULL;
    void *block = cell_tcache_pop(cell_tcache_bin_of_row(cache, row));      /* of a slot that has lost its name for a while */
    return block != NULL ? block : refill(cache, row);
}

bool cell_tcache_free_recurring(struct cell_tcache *cache, void *block, size_t size)
{
    struct cell_recurring *slot = cell_tcache_recurring(cache, size);

    if (slot == NULL || !cell_recurring_free(slot, size))
        return false;
    if (!cell_tcache_push(&slot->bin, block))
        cell_tcache_free_slow(cache, cell_tcache_row_of_slot(cache, slot), block);
    return true;
}
