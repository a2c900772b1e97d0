/* test_emptying.c - a heap of which most has been freed: caches give back what they hold, which would keep its pages from being free. */
#include <pthread.h>

#include "clock.h"
#include "depot.h"
#include "second_thread.h"
#include "tcache.h"

#define CELLS 80000
#define SIZE  48
#define PER_PAGE 80
#define BYTES ((size_t)CELLS * SIZE)

static void *cell[CELLS];

static void fill(void)
{
    for (size_t i = 0; i < CELLS; i++)
        memset(cell[i] = must_malloc(SIZE), 1, SIZE);
}

/* One or two cells of every page first, which the cache takes in and keeps, then the others; all but every `kept`th, or all (0). */
static void empty(size_t kept)
{
    for (size_t pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < CELLS; i++) {
            if ((i % PER_PAGE != 0) != (pass != 0) || (kept != 0 && i % kept == 1))
                continue;
            cell_free(cell[i]);
            cell[i] = NULL;
        }
}

/* What is left then does not empty once more. */
static void count_from_half_of_it(void)
{
    REQUIRE(cell_option_set("purge_min", BYTES / 2) == 0);
}

static uint32_t times_emptied(void)
{
    return cell_heap_times_emptied(&cell_heap_main);
}

TEST(the_pages_of_small_blocks_go_back)
{
    fill();
    REQUIRE(stats_now().resident_bytes >= BYTES);
    empty(0);
    REQUIRE(stats_now().resident_bytes <= BYTES / 2);
    REQUIRE_SOUND_HEAP();
}

TEST(nothing_is_given_back_while_half_of_it_lives)
{
    fill();
    empty(2);
    REQUIRE_EQUAL(times_emptied(), 0);
    REQUIRE(stats_now().cached_bytes > 0);
}

/* Every page holds a cell that lives: free cells count, not free pages. */
TEST(free_cells_of_pages_in_use_count)
{
    count_from_half_of_it();
    fill();
    empty(PER_PAGE);
    REQUIRE_EQUAL(times_emptied(), 1);
}

TEST(a_little_is_not_worth_it)
{
    REQUIRE(cell_option_set("purge_min", 2 * BYTES) == 0);
    fill();
    empty(0);
    REQUIRE_EQUAL(times_emptied(), 0);
}

TEST(nor_is_anything_where_free_pages_stay)
{
    REQUIRE(cell_option_set("purge_share", 0) == 0);
    fill();
    empty(0);
    REQUIRE_EQUAL(times_emptied(), 0);
}

/* Until the heap has grown again, what is left comes and goes through the caches as ever. */
TEST(it_happens_once_for_each_time_that_the_heap_empties)
{
    for (uint32_t round = 1; round <= 3; round++) {
        fill();
        empty(0);
        REQUIRE_EQUAL(times_emptied(), round);
        uint64_t refills = stats_now().refills;
        for (int i = 0; i < 10000; i++)
            cell_free(must_malloc(SIZE));
        REQUIRE_EQUAL(times_emptied(), round);
        REQUIRE(stats_now().refills - refills <= 1);
    }
    REQUIRE_SOUND_HEAP();
}

/* A program that fills and empties its heap in turns would have its caches and pages go and come each time. */
TEST(a_heap_that_fills_again_each_time_is_left_alone)
{
    double begin = now_s();

    for (int round = 0; round < 4; round++) {
        fill();
        empty(0);
    }
    uint32_t told = times_emptied();
    for (int round = 0; round < 6; round++) {
        fill();
        empty(0);
    }
    if (now_s() - begin < 0.9)
        REQUIRE_EQUAL(times_emptied(), told);
    while (now_s() - begin < 1.1)
        continue;
    fill();
    empty(0);
    REQUIRE(times_emptied() > told);
}

/* A third of twice what the heap holds now, or of a quarter of what it once held, not of all that. */
TEST(of_a_heap_that_has_emptied_less_may_lie_free)
{
    static void *chunk[600];
    size_t peak = BYTES + sizeof chunk / sizeof *chunk * 2000;

    fill();
    for (size_t i = 0; i < COUNT_OF(chunk); i++)
        memset(chunk[i] = must_malloc(2000), 1, 2000);
    empty(PER_PAGE);
    REQUIRE(times_emptied() >= 1);
    for (size_t i = 0; i < COUNT_OF(chunk); i++)
        cell_free(chunk[i]);
    REQUIRE(stats_now().dirty_bytes <= peak / 10);
}

static void *chunks_of_2000[BYTES / 2000];

static void fill_chunks(void)
{
    for (size_t i = 0; i < COUNT_OF(chunks_of_2000); i++)
        memset(chunks_of_2000[i] = must_malloc(2000), 1, 2000);
}

static void free_chunks(void)
{
    for (size_t i = 0; i < COUNT_OF(chunks_of_2000); i++)
        cell_free(chunks_of_2000[i]);
}

/* A purge that was regretted raises what must lie free before the next. That was for the peak that has gone. */
TEST(and_what_lay_free_before_goes_back_then)
{
    void *last = must_malloc(20000);
    fill();
    fill_chunks();
    free_chunks();
    uint64_t purges = stats_now().purges;
    REQUIRE(purges > 0);
    fill_chunks();
    free_chunks();
    if (stats_now().purges != purges)
        skip_test();
    double begin = now_s();
    while (now_s() - begin < 1.1)
        continue;
    cell_free(must_malloc(2000));
    size_t dirty = stats_now().dirty_bytes;
    REQUIRE(dirty >= BYTES * 3 / 4);
    empty(PER_PAGE);
    cell_free(last);
    REQUIRE(stats_now().dirty_bytes <= dirty / 2);
}

/* Small blocks go first and leave cells in the cache; then 8 MB of chunks of `size` bytes and a little more go, one by one. */
static void empty_with_chunks_last(size_t size)
{
    static void *chunk[20000];
    size_t chunks = 8000000 / size;

    fill();
    for (size_t i = 0; i < chunks; i++) {
        size_t more = i % 20 * 16;
        memset(chunk[i] = must_malloc(size + more), 1, size + more);
    }
    empty(0);
    REQUIRE_EQUAL(times_emptied(), 0);
    REQUIRE(stats_now().cached_bytes > 0);
    for (size_t i = 0; i < chunks; i++)
        cell_free(chunk[i]);
    REQUIRE(times_emptied() >= 1);
    REQUIRE(cell_tcache_bin(cell_tcache_mine, SIZE)->head == NULL);
}

TEST(large_blocks_that_go_last_count)       { empty_with_chunks_last(20000); }
TEST(those_of_middling_sizes_too)           { empty_with_chunks_last(520); }

/* Between threads a cache keeps the last of them: each free makes another go back. */
TEST(so_they_do_when_each_makes_another_go)
{
    static void *chunk[133];

    start_and_end_a_thread();
    fill();
    for (size_t i = 0; i < COUNT_OF(chunk); i++)
        memset(chunk[i] = must_malloc(60000), 1, 60000);
    for (int i = 0; i < 50; i++) {
        cell_free(chunk[0]);
        chunk[0] = must_malloc(60000);
    }
    empty(0);
    REQUIRE_EQUAL(times_emptied(), 0);
    for (size_t i = 0; i < COUNT_OF(chunk); i++)
        cell_free(chunk[i]);
    REQUIRE(times_emptied() >= 1);
    REQUIRE_SOUND_HEAP();
}

/* What is freed in whole pages can go back whatever caches hold. */
TEST(nothing_is_given_back_for_free_pages)
{
    static void *large[40];

    for (int round = 0; round < 100; round++) {
        for (size_t i = 0; i < COUNT_OF(large); i++)
            large[i] = must_malloc(65000);
        for (size_t i = 0; i < COUNT_OF(large); i++)
            cell_free(large[i]);
    }
    REQUIRE_EQUAL(times_emptied(), 0);
}

/* ---- several threads ------------------------------------------------------------------------------------------------ */

static pthread_barrier_t barrier;

/* Another thread's cache and the depot fill, the heap empties, and the next time that one of its bins is full it gives all back. */
static void *cache_and_wait(void *unused)
{
    static void *block[1000];

    for (size_t i = 0; i < COUNT_OF(block); i++)
        block[i] = must_malloc(i % 2 == 0 ? 64 : 200);
    for (size_t i = 0; i < COUNT_OF(block); i++)
        cell_free(block[i]);
    size_t held = cell_tcache_bytes(cell_tcache_mine);
    REQUIRE(held > 0);
    REQUIRE(stats_now().depot_bytes > 0);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    struct cell_freed *batch;
    REQUIRE_EQUAL(times_emptied(), 1);
    REQUIRE_EQUAL(cell_depot_take(0, 208 / CELL_ALIGN, &batch), 0);
    REQUIRE_EQUAL(cell_tcache_bytes(cell_tcache_mine), held);
    for (size_t i = 0; i < COUNT_OF(block); i++)
        block[i] = must_malloc(100);
    for (size_t i = 0; i < COUNT_OF(block); i++)
        cell_free(block[i]);
    REQUIRE(cell_tcache_bytes(cell_tcache_mine) < held);
    REQUIRE(cell_tcache_bin(cell_tcache_mine, 208)->head == NULL);
    REQUIRE_EQUAL(cell_tcache_bin(cell_tcache_mine, 208)->limit, 0);
    return unused;
}

TEST(every_cache_follows_when_next_it_is_full)
{
    pthread_t thread;

    count_from_half_of_it();
    REQUIRE(pthread_barrier_init(&barrier, NULL, 2) == 0);
    REQUIRE(pthread_create(&thread, NULL, cache_and_wait, NULL) == 0);
    pthread_barrier_wait(&barrier);
    fill();
    empty(0);
    pthread_barrier_wait(&barrier);
    REQUIRE(pthread_join(thread, NULL) == 0);
    REQUIRE_SOUND_HEAP();
}

/* A cache that is made later has nothing to give back. */
static void *fill_a_bin(void *unused)
{
    static void *block[8];

    for (size_t i = 0; i < COUNT_OF(block); i++)
        block[i] = must_malloc(SIZE);
    for (size_t i = 0; i < COUNT_OF(block); i++)
        cell_free(block[i]);
    REQUIRE_EQUAL(cell_tcache_mine->times_emptied, times_emptied());
    REQUIRE(cell_tcache_bytes(cell_tcache_mine) >= COUNT_OF(block) * SIZE);
    return unused;
}

TEST(a_new_thread_keeps_what_it_caches)
{
    pthread_t thread;

    fill();
    empty(0);
    REQUIRE_EQUAL(times_emptied(), 1);
    REQUIRE(pthread_create(&thread, NULL, fill_a_bin, NULL) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pages_of_small_blocks_go_back), cmocka_unit_test(nothing_is_given_back_while_half_of_it_lives),
        cmocka_unit_test(free_cells_of_pages_in_use_count),
        cmocka_unit_test(a_heap_that_fills_again_each_time_is_left_alone), cmocka_unit_test(of_a_heap_that_has_emptied_less_may_lie_free),
        cmocka_unit_test(and_what_lay_free_before_goes_back_then), cmocka_unit_test(a_little_is_not_worth_it), cmocka_unit_test(nor_is_anything_where_free_pages_stay),
        cmocka_unit_test(it_happens_once_for_each_time_that_the_heap_empties),
        cmocka_unit_test(large_blocks_that_go_last_count), cmocka_unit_test(so_they_do_when_each_makes_another_go), cmocka_unit_test(those_of_middling_sizes_too),
        cmocka_unit_test(nothing_is_given_back_for_free_pages), cmocka_unit_test(every_cache_follows_when_next_it_is_full),
        cmocka_unit_test(a_new_thread_keeps_what_it_caches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
