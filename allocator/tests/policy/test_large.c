/* test_large.c - between threads, blocks above all classes: a thread that comes back for a size gets what it has just freed. */
#include "second_thread.h"
#include "tcache.h"

#define SIZE 65536

/* A heap in which a share may hold such blocks, and neighbours that cannot merge with them. */
static void settle(void)
{
    start_and_end_a_thread();
    for (int i = 0; i < 100; i++)
        must_malloc(20000);
}

static void come_back(size_t size, unsigned rounds)
{
    void *block = must_malloc(size);

    for (unsigned i = 0; i < rounds; i++) {
        cell_free(block);
        block = must_malloc(size);
    }
    cell_free(block);
}

static size_t kept_bytes(void)
{
    return cell_large_bytes(&cell_tcache_mine->large);
}

static uint64_t heap_visits(void)
{
    struct cell_stats now = stats_now();

    return now.splits + now.merges;
}

TEST(it_is_handed_out_again_once_that_has_proved_to_be_of_use)
{
    settle();
    come_back(SIZE, 5);
    REQUIRE(cell_tcache_mine->large.block[0] == NULL);
    come_back(SIZE, 50);
    REQUIRE(cell_tcache_mine->large.block[0] != NULL);
    uint64_t before = heap_visits();
    come_back(SIZE, 1000);
    REQUIRE_EQUAL(heap_visits(), before);
    REQUIRE_SOUND_HEAP();
}

TEST(two_sizes_in_turns_too)
{
    void *one, *other;

    settle();
    for (int i = 0; i < 100; i++) {
        one = must_malloc(SIZE);
        other = must_malloc(SIZE / 2 + 1000);
        cell_free(one);
        cell_free(other);
    }
    uint64_t before = heap_visits();
    REQUIRE(must_malloc(SIZE) == one && must_malloc(SIZE / 2 + 1000) == other);
    REQUIRE_EQUAL(heap_visits(), before);
    REQUIRE_EQUAL(kept_bytes(), 0);
    REQUIRE_SOUND_HEAP();
}

TEST(the_older_of_two_makes_way)
{
    void *block[3];

    settle();
    come_back(SIZE, 50);
    for (int i = 0; i < 3; i++) {
        block[i] = must_malloc(SIZE);
        must_malloc(SIZE);
    }
    for (int i = 0; i < 3; i++)
        cell_free(block[i]);
    REQUIRE(cell_tcache_mine->large.block[0] == block[2] && cell_tcache_mine->large.block[1] == block[1]);
    REQUIRE_EQUAL(kept_bytes(), 2 * cell_size_of_chunk(SIZE));
    REQUIRE(stats_now().cached_bytes >= kept_bytes());
    REQUIRE(must_malloc(SIZE) == block[2]);
    REQUIRE(must_malloc(SIZE) == block[1]);
    REQUIRE(must_malloc(SIZE) == block[0]);
    REQUIRE_SOUND_HEAP();
}

/* Where sizes vary, nothing is kept, and what was goes back. */
TEST(sizes_that_do_not_come_back_end_it)
{
    settle();
    come_back(SIZE, 50);
    for (size_t i = 0; i < 100; i++)
        cell_free(must_malloc(SIZE + 16 * i));
    REQUIRE_EQUAL(kept_bytes(), 0);
    REQUIRE_SOUND_HEAP();
}

/* The first thread's cache was one for a program with one thread. */
TEST(a_thread_with_no_other_blocks_gets_them_too)
{
    come_back(SIZE, 200);
    REQUIRE(cell_tcache_mine->watch != NULL);
    start_and_end_a_thread();
    come_back(SIZE, 50);
    come_back(SIZE + 1000, 50);
    REQUIRE(cell_tcache_mine->watch == NULL && kept_bytes() != 0);
    REQUIRE_SOUND_HEAP();
}

static void *use_large_blocks_only(void *unused)
{
    cell_free(must_malloc(2000));
    REQUIRE(cell_tcache_mine->state == CELL_TCACHE_LIVE);
    return unused;
}

/* What serves its first request lies in a bin already. */
TEST(a_thread_has_a_cache_from_its_first_block_on)
{
    pthread_t thread;
    void *block = must_malloc(3000);

    must_malloc(3000);
    cell_free(block);
    cell_trim(0);
    REQUIRE(pthread_create(&thread, NULL, use_large_blocks_only, NULL) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    REQUIRE_SOUND_HEAP();
}

TEST(calloc_clears_it)
{
    settle();
    come_back(SIZE, 50);
    unsigned char *block = must_malloc(SIZE);
    memset(block, 0xa5, SIZE);
    cell_free(block);
    unsigned char *again = cell_calloc(SIZE / 8, 8);
    REQUIRE(again == block);
    for (size_t i = 0; i < SIZE; i++)
        REQUIRE_EQUAL(again[i], 0);
}

TEST(nothing_is_kept_beyond_the_limits)
{
    settle();
    cell_option_set("mmap_threshold", 1000000);
    come_back(140000, 50);
    REQUIRE_EQUAL(kept_bytes(), 0);
    cell_option_set("recurring_limit", SIZE - 1000);
    come_back(SIZE, 50);
    REQUIRE_EQUAL(kept_bytes(), 0);
    cell_option_set("recurring_limit", SIZE);
    cell_option_set("cache_bytes", SIZE);
    come_back(SIZE, 50);
    REQUIRE_EQUAL(kept_bytes(), 0);
    REQUIRE_SOUND_HEAP();
}

TEST(a_limit_that_falls_gives_back_what_is_kept)
{
    settle();
    void *other = must_malloc(SIZE);
    come_back(SIZE, 50);
    REQUIRE(kept_bytes() != 0);
    cell_option_set("recurring_limit", 0);
    cell_free(other);
    REQUIRE_EQUAL(kept_bytes(), 0);
    REQUIRE_SOUND_HEAP();
}

/* What has to make way does not count against what comes. */
TEST(the_one_that_makes_way_leaves_room)
{
    void *large = NULL, *small[2];

    settle();
    cell_option_set("cache_bytes", 131072);
    come_back(40000, 50);
    for (int i = 0; i < 2; i++) {
        small[i] = must_malloc(40000);
        must_malloc(20000);
    }
    large = must_malloc(SIZE);
    must_malloc(20000);
    cell_free(large);
    cell_free(small[0]);
    cell_free(small[1]);
    REQUIRE_EQUAL(kept_bytes(), 2 * cell_size_of_chunk(40000));
    REQUIRE_SOUND_HEAP();
}

/* The heap does not grow while a cache holds what it lacks. */
TEST(a_large_request_gets_it)
{
    void *block[2];

    settle();
    come_back(SIZE, 50);
    for (int i = 0; i < 2; i++)
        block[i] = must_malloc(SIZE);
    must_malloc(SIZE);
    for (int i = 0; i < 2; i++)
        cell_free(block[i]);
    REQUIRE_EQUAL(kept_bytes(), 2 * cell_size_of_chunk(SIZE));
    size_t footprint = stats_now().footprint_bytes;
    must_malloc(2 * SIZE - 64);
    REQUIRE_EQUAL(stats_now().footprint_bytes, footprint);
    REQUIRE_SOUND_HEAP();
}

static void *keep_one(void *unused)
{
    come_back(SIZE, 50);
    REQUIRE(cell_tcache_mine->large.block[0] != NULL);
    return unused;
}

TEST(it_goes_back_with_its_thread)
{
    pthread_t thread;

    settle();
    size_t live = stats_now().live_bytes;
    REQUIRE(pthread_create(&thread, NULL, keep_one, NULL) == 0);
    pthread_join(thread, NULL);
    REQUIRE_EQUAL(stats_now().live_bytes, live);
    REQUIRE_SOUND_HEAP();
}

/* The way to a large alignment makes no large heap: a block there takes a page, not a huge one. */
static size_t huge_kib(void)
{
    FILE *rollup = fopen("/proc/self/smaps_rollup", "r");
    char line[256];
    unsigned long kib = 0;

    REQUIRE(rollup != NULL);
    while (fgets(line, sizeof line, rollup) != NULL && sscanf(line, "AnonHugePages: %lu", &kib) != 1)
        continue;
    fclose(rollup);
    return kib;
}

TEST(a_large_alignment_takes_no_huge_page)
{
    size_t before = huge_kib();
    char *block = cell_memalign((size_t)64 << 20, 100);

    REQUIRE(block != NULL);
    memset(block, 1, 100);
    REQUIRE_EQUAL(huge_kib(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_handed_out_again_once_that_has_proved_to_be_of_use), cmocka_unit_test(two_sizes_in_turns_too),
        cmocka_unit_test(the_older_of_two_makes_way), cmocka_unit_test(sizes_that_do_not_come_back_end_it),
        cmocka_unit_test(calloc_clears_it), cmocka_unit_test(a_thread_with_no_other_blocks_gets_them_too),
        cmocka_unit_test(a_thread_has_a_cache_from_its_first_block_on), cmocka_unit_test(nothing_is_kept_beyond_the_limits),
        cmocka_unit_test(a_large_request_gets_it), cmocka_unit_test(a_limit_that_falls_gives_back_what_is_kept),
        cmocka_unit_test(the_one_that_makes_way_leaves_room), cmocka_unit_test(it_goes_back_with_its_thread),
        cmocka_unit_test(a_large_alignment_takes_no_huge_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
