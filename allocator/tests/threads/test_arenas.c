/* test_arenas.c - heaps for other processors: when one is opened, what is taken from it, and that nothing else can tell. */
#include <stdatomic.h>
#include <sys/mman.h>

#include "depot.h"
#include "other_processor.h"
#include "tcache.h"

enum { BLOCKS = 3000 };

TEST(threads_that_wait_for_the_lock_open_one)
{
    if (!open_another())
        return;
    void *small = must_malloc(80), *chunk = must_malloc(1000);

    REQUIRE(cell_arena_of(small) != 0);
    REQUIRE(cell_arena_of(chunk) != 0);
    REQUIRE_EQUAL(cell_usable_size(small), 80);
    REQUIRE(cell_arena_heap_of(small) == cell_arena_at(cell_arena_of(small)));
    cell_free(small);
    cell_free(chunk);
    REQUIRE(cell_check(NULL) == 0);
}

TEST(none_opens_without_waiting)
{
    run_apart();
    for (size_t size = 16; size < 4096; size += 16)
        cell_free(must_malloc(size));
    REQUIRE_EQUAL(cell_arena_count(), 1);
}

static unsigned arenas_after_waiting(void)
{
    run_apart();
    cell_heap_main.lock.waits = 1000;
    for (size_t size = 16; size < 4096; size += 16)
        cell_free(must_malloc(size));
    return cell_arena_count();
}

TEST(none_opens_when_there_may_be_one_only)
{
    REQUIRE(cell_option_set("arenas", 1) == 0);
    REQUIRE_EQUAL(arenas_after_waiting(), 1);
}

TEST(none_opens_under_a_limit_of_the_footprint)
{
    cell_set_footprint_limit((size_t)64 << 20);
    REQUIRE_EQUAL(arenas_after_waiting(), 1);
}

TEST(what_is_large_comes_from_the_first)
{
    if (!open_another())
        return;
    void *block[] = { must_malloc(5000), must_malloc(40000), must_malloc(1 << 20), cell_memalign(64, 9000) };

    for (size_t i = 0; i < COUNT_OF(block); i++) {
        REQUIRE(block[i] != NULL && cell_arena_of(block[i]) == 0);
        cell_free(block[i]);
    }
}

static void require_blocks_of_the_first(void)
{
    void *cell = NULL, *chunk = NULL;

    for (int i = 0; i < 20000; i++) {
        cell = must_malloc(64);
        chunk = must_malloc(1000);
    }
    REQUIRE_EQUAL(cell_arena_of(cell), 0);
    REQUIRE_EQUAL(cell_usable_size(cell), 64);                      /* of a pool still */
    REQUIRE_EQUAL(cell_arena_of(chunk), 0);
    REQUIRE_EQUAL(cell_arena_of(must_malloc(2000)), 0);
    REQUIRE_EQUAL(cell_arena_of(cell_memalign(256, 2000)), 0);
    REQUIRE_EQUAL(stats_now().mapped_blocks, 0);
    REQUIRE(cell_check(NULL) == 0);
}

/* As if the arena had grown to the end of its range. */
TEST(what_an_arena_has_no_room_for_comes_from_the_first)
{
    if (!open_another())
        return;
    struct cell_segment *segment = &cell_arena_at(cell_arena_for(64))->segment;
    segment->range_end = segment->committed;
    require_blocks_of_the_first();
}

/* Somebody has mapped a page right above it. */
TEST(what_an_arena_is_refused_comes_from_the_first)
{
    if (!open_another() || cell_heap_main.segment.map != NULL)
        return;
    struct cell_segment *segment = &cell_arena_at(cell_arena_for(64))->segment;
    void *above = segment->base + segment->committed;
    REQUIRE(mmap(above, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == above);
    require_blocks_of_the_first();
    REQUIRE_EQUAL(cell_arena_for(64), 0);                           /* it is not asked again and again */
}

/* The first thread's cache is that of a program with one thread still, and hands no size above cache_limit on. */
TEST(what_no_cache_keeps_goes_back_where_it_lies)
{
    void *block[200];

    REQUIRE(cell_option_set("cache_limit_threads", 0) == 0);
    cell_free(must_malloc(1));
    if (!open_another())
        return;
    REQUIRE(cell_tcache_mine->watch != NULL && cell_tcache_class_limit() == 0);
    for (size_t i = 0; i < COUNT_OF(block); i++) {
        block[i] = must_malloc(520 + i % 30 * 16);
        REQUIRE(cell_arena_of(block[i]) != 0);
    }
    for (size_t i = 0; i < COUNT_OF(block); i++) {
        cell_free(block[i * 7 % COUNT_OF(block)]);
        REQUIRE_EQUAL(cell_heap_main.deferred.held, 0);
        REQUIRE(cell_check(NULL) == 0);
    }
}

static void fill(void **block)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        block[i] = must_malloc(16 + i * 7 % 2000);
        memset(block[i], (int)i, cell_usable_size(block[i]));
    }
}

/* Whoever frees: here the thread that had the first arena's processor. */
static void *free_all(void *blocks)
{
    void **block = blocks;

    for (size_t i = 0; i < BLOCKS; i++)
        cell_free(block[i]);
    return NULL;
}

TEST(a_block_goes_back_to_the_arena_it_lies_in)
{
    static void *block[BLOCKS];
    pthread_t thread;

    if (!open_another())
        return;
    fill(block);
    size_t in_use = cell_arena_at(cell_arena_for(64))->in_use, first = cell_heap_main.in_use;
    REQUIRE(in_use > (size_t)BLOCKS * 900);
    REQUIRE(pthread_create(&thread, NULL, free_all, block) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    cell_trim(0);
    REQUIRE(cell_arena_at(cell_arena_for(64))->in_use < in_use / 20);
    REQUIRE(cell_heap_main.in_use <= first);
    REQUIRE(cell_check(NULL) == 0);
}

static int add_live(void *context, const struct cell_block *block)
{
    if (block->kind == CELL_KIND_CELL || block->kind == CELL_KIND_CHUNK || block->kind == CELL_KIND_MAPPED)
        *(size_t *)context += block->usable;
    return 0;
}

TEST(statistics_and_the_walk_are_of_all)
{
    static void *block[BLOCKS];
    struct cell_stats before, full, after;
    size_t live = 0, sum = 0;

    if (!open_another())
        return;
    cell_stats_get(&before);
    fill(block);
    for (size_t i = 0; i < BLOCKS; i++)
        sum += cell_usable_size(block[i]);
    cell_stats_get(&full);
    REQUIRE(full.arenas > 1);
    REQUIRE_EQUAL(full.live_blocks - before.live_blocks, BLOCKS);
    REQUIRE_EQUAL(full.live_bytes - before.live_bytes, sum);
    REQUIRE(cell_heap_walk(NULL, add_live, &live) == 0);
    REQUIRE_EQUAL(live, full.live_bytes);
    REQUIRE_EQUAL(cell_footprint(), full.footprint_bytes);
    REQUIRE(full.footprint_bytes >= full.live_bytes && full.footprint_peak_bytes >= full.footprint_bytes);
    REQUIRE_EQUAL(cell_max_footprint(), full.footprint_peak_bytes);
    free_all(block);
    REQUIRE(cell_trim(0) == 1);
    cell_stats_get(&after);
    REQUIRE_EQUAL(after.live_bytes, before.live_bytes);
    REQUIRE(after.footprint_bytes < full.footprint_bytes / 2);
    REQUIRE_EQUAL(after.dirty_bytes, 0);
    REQUIRE_EQUAL(cell_footprint(), after.footprint_bytes);
}

TEST(resizing_and_alignment)
{
    if (!open_another())
        return;
    char *block = must_malloc(24);
    strcpy(block, "kept");
    for (size_t size = 40; size < 1 << 20; size += size / 3) {
        block = cell_realloc(block, size);
        REQUIRE(block != NULL && strcmp(block, "kept") == 0 && cell_usable_size(block) >= size);
    }
    for (size_t size = 1 << 20; size > 16; size -= size / 3) {
        block = cell_realloc(block, size);
        REQUIRE(block != NULL && strcmp(block, "kept") == 0 && cell_usable_size(block) >= size);
    }
    cell_free(block);
    for (size_t alignment = 32; alignment <= 1 << 16; alignment *= 2) {
        void *aligned = cell_memalign(alignment, 200);
        REQUIRE(aligned != NULL && (uintptr_t)aligned % alignment == 0);
        cell_free(aligned);
    }
    REQUIRE(cell_check(NULL) == 0);
}

TEST(a_fork_has_them_too)
{
    static void *block[BLOCKS];
    int status;

    if (!open_another())
        return;
    fill(block);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        free_all(block);
        fill(block);
        _exit(cell_check(NULL) == 0 ? 0 : 1);
    }
    REQUIRE(waitpid(child, &status, 0) == child && status == 0);
    free_all(block);
    REQUIRE(cell_check(NULL) == 0);
}

#if !defined(__SANITIZE_THREAD__)
static atomic_bool is_held, is_done;

static void *hold_for_a_while(void *arena)
{
    cell_heap_lock(arena);
    atomic_store(&is_held, true);
    usleep(200000);
    atomic_store(&is_done, true);
    cell_heap_unlock(arena);
    return NULL;
}

/* Else the child would find the arena as it is in the middle of a call. */
TEST(a_fork_waits_for_who_is_inside)
{
    static void *block[BLOCKS];
    pthread_t thread;
    int status;

    if (!open_another())
        return;
    REQUIRE(pthread_create(&thread, NULL, hold_for_a_while, cell_arena_at(cell_arena_for(64))) == 0);
    while (!atomic_load(&is_held))
        usleep(100);
    pid_t child = fork();
    REQUIRE(child >= 0 && atomic_load(&is_done));
    if (child == 0) {
        alarm(20);
        fill(block);
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child && status == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
}

#endif

enum { EXCHANGED = 256, THREADS = 4 };
static _Atomic(size_t *) exchanged[EXCHANGED];

static cpu_set_t all_processors;

/* Half of the threads on the last processor, the others where there is room; each replaces blocks of any other's. */
static void *exchange(void *number)
{
    uint64_t state = (uintptr_t)number + 1;
    int rounds = UNDER_SANITIZER ? 20000 : 200000;

    if ((uintptr_t)number % 2 == 0)
        REQUIRE(sched_setaffinity(0, sizeof all_processors, &all_processors) == 0);
    for (int i = 0; i < rounds; i++) {
        size_t size = 16 + random_from(&state) % (random_from(&state) % 8 == 0 ? 6000 : 300);
        size_t *block = must_malloc(size);
        block[0] = size;
        block = atomic_exchange(&exchanged[random_from(&state) % EXCHANGED], block);
        REQUIRE(block == NULL || cell_usable_size(block) >= block[0]);
        cell_free(block);
    }
    return NULL;
}

TEST(threads_exchange_blocks_while_others_look_on)
{
    pthread_t thread[THREADS];

    REQUIRE(sched_getaffinity(0, sizeof all_processors, &all_processors) == 0);
    open_another();
    for (size_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&thread[i], NULL, exchange, (void *)i) == 0);
    for (int i = 0; i < 20; i++) {
        struct cell_stats stats;
        cell_stats_get(&stats);
        REQUIRE(stats.arenas >= 1 && cell_check(NULL) == 0);
        cell_trim(0);
    }
    for (size_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(thread[i], NULL) == 0);
    for (size_t i = 0; i < EXCHANGED; i++)
        cell_free(exchanged[i]);
    cell_trim(0);
    REQUIRE(cell_check(NULL) == 0);
    for (unsigned arena = 0; arena < cell_arena_count(); arena++)
        REQUIRE(cell_arena_at(arena)->in_use < 65536);
}

static void batch_of_the_first(struct cell_freed **stack)
{
    REQUIRE(cell_heap_take_cells(&cell_heap_main, 48 / CELL_ALIGN, 20, stack) != 0);
}

/* A thread that does nothing but allocate passes its blocks on to others, and fetches what those have freed from where it waits; one
 * that frees as well leaves it to the processor that it came from. */
TEST(who_passes_blocks_on_takes_batches_of_all)
{
    struct cell_freed *stack = NULL;

    if (!open_another())
        return;
    batch_of_the_first(&stack);
    REQUIRE(cell_depot_put(0, 48 / CELL_ALIGN, 48, stack, 20));
    cell_tcache_flush_row(cell_tcache_mine, 48 / CELL_ALIGN, 0);
    cell_tcache_mine->refills = 100;
    cell_tcache_mine->flushes = 100;
    void *own = must_malloc(48);
    REQUIRE(cell_arena_of(own) != 0);
    cell_tcache_flush_row(cell_tcache_mine, 48 / CELL_ALIGN, 0);
    cell_tcache_mine->flushes = 0;
    void *other = must_malloc(48);
    REQUIRE_EQUAL(cell_arena_of(other), 0);
    cell_free(own);
    cell_free(other);
    REQUIRE(cell_check(NULL) == 0);
}

TEST(batches_return_to_their_arena)
{
    struct cell_freed *stack = NULL;

    if (!open_another())
        return;
    void **block = must_malloc(BLOCKS * sizeof *block);
    for (size_t i = 0; i < BLOCKS; i++)
        block[i] = must_malloc(32);
    unsigned arena = cell_arena_of(block[BLOCKS - 1]);
    REQUIRE(arena != 0);
    for (size_t i = 0; i < BLOCKS; i++)
        cell_free(block[i]);
    REQUIRE(cell_tcache_bytes(cell_tcache_mine) != 0);
    REQUIRE_EQUAL(cell_depot_take(0, 32 / CELL_ALIGN, &stack), 0);
    size_t count = cell_depot_take(arena, 32 / CELL_ALIGN, &stack);
    REQUIRE(count != 0 && cell_arena_of(stack) == arena);
    cell_arena_free_stack(stack);
    REQUIRE(cell_check(NULL) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_that_wait_for_the_lock_open_one), cmocka_unit_test(none_opens_without_waiting),
        cmocka_unit_test(none_opens_when_there_may_be_one_only), cmocka_unit_test(none_opens_under_a_limit_of_the_footprint),
        cmocka_unit_test(what_is_large_comes_from_the_first),
        cmocka_unit_test(what_no_cache_keeps_goes_back_where_it_lies),
        cmocka_unit_test(what_an_arena_has_no_room_for_comes_from_the_first),
        cmocka_unit_test(what_an_arena_is_refused_comes_from_the_first), cmocka_unit_test(a_block_goes_back_to_the_arena_it_lies_in),
        cmocka_unit_test(statistics_and_the_walk_are_of_all), cmocka_unit_test(resizing_and_alignment),
        cmocka_unit_test(a_fork_has_them_too),
#if !defined(__SANITIZE_THREAD__)       /* it takes the other thread for one that the child leaves behind */
        cmocka_unit_test(a_fork_waits_for_who_is_inside),
#endif
        cmocka_unit_test(threads_exchange_blocks_while_others_look_on), cmocka_unit_test(who_passes_blocks_on_takes_batches_of_all), cmocka_unit_test(batches_return_to_their_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
