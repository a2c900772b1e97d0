/* test_recurring_classes.c - size classes that caches keep: which requests they are for, when they have proved to recur with one thread, and
 * what ends them. */
#include "recur.h"
#include "second_thread.h"

/* What varies within a few classes is rounded up to them, once they have proved to come back. */
TEST(classes_of_sizes_recur)
{
    const size_t from = 8300, to = 16300, class_of_9000 = cell_size_of_class(cell_size_class_for(9000)) - CELL_WORD;

    vary(from, to, CELL_CLASS_RECURS / 2);
    void *exact = must_malloc(9000);
    REQUIRE_EQUAL(cell_usable_size(exact), chunk_size(9000) - CELL_WORD);
    vary(from, to, 32 * CELL_CLASS_RECURS);
    void *rounded = must_malloc(9000);
    REQUIRE(cell_usable_size(rounded) >= class_of_9000);
    for (size_t i = 0; i < CELL_RECURRING_SLOTS; i++)       /* no slot keeps blocks of a size that the class serves */
        REQUIRE(cell_tcache_mine->watch->slot[i].size != chunk_size(9000));
    cell_free_sized(rounded, 9000);
    REQUIRE(must_malloc(9100) == rounded);                  /* any request of the class takes what was freed last */
    REQUIRE_EQUAL(cell_usable_size(must_malloc(40000)), chunk_size(40000) - CELL_WORD);
    REQUIRE_SOUND_HEAP();
}

/* Each class proves itself, though what is freed goes to the bin of the class below, if that has proved to recur before. */
TEST(every_class_of_a_range_recurs)
{
    vary(8300, 30000, 64 * CELL_CLASS_RECURS);
    for (unsigned k = cell_size_class_for(8400); k < cell_size_class_for(29000); k++) {
        REQUIRE(cell_tcache_mine->watch->row[cell_tcache_row_of_large_class(k)].proven);
        REQUIRE_EQUAL(cell_tcache_row_for_freed(cell_size_of_class(k)), cell_tcache_row_of_large_class(k));
    }
    REQUIRE_EQUAL(cell_tcache_row_for_freed(7000), 0);
    REQUIRE_SOUND_HEAP();
}

TEST(every_request_finds_the_row_of_its_class)
{
    cell_free(must_malloc(1));
    for (size_t request = CELL_BINNED_MAX - CELL_WORD + 1; request <= CELL_CLASS_MAX - CELL_WORD; request++) {
        size_t row = cell_tcache_row_for_large(request), size = cell_tcache_size_of_row(cell_tcache_mine, row);
        REQUIRE_EQUAL(row, cell_tcache_row_of_large_class(cell_size_class_for(request)));
        REQUIRE(size >= request + CELL_WORD && size - size / 8 < request + CELL_WORD);
    }
}

/* The bin of CELL_BINNED_MAX is a class's, too. */
TEST(the_lowest_class_recurs_with_its_smallest_size)
{
    void *larger = must_malloc(1100);

    recur(CELL_BINNED_MAX - CELL_WORD, CELL_RECURS + 1);
    cell_free(larger);
    REQUIRE(must_malloc(CELL_BINNED_MAX - CELL_WORD) == larger);
    REQUIRE_SOUND_HEAP();
}

/* Many are made and then all freed, again and again: a class counts each that comes back, though none follows its free at once. */
TEST(classes_recur_in_bursts)
{
    static void *block[2000];
    const size_t class_of_9000 = cell_size_of_class(cell_size_class_for(9000)) - CELL_WORD;

    for (int burst = 0; burst < 40; burst++) {
        for (size_t i = 0; i < COUNT_OF(block); i++)
            block[i] = must_malloc(8300 + some(8000));
        for (size_t i = 0; i < COUNT_OF(block); i++)
            cell_free(block[i]);
    }
    REQUIRE(cell_usable_size(must_malloc(9000)) >= class_of_9000);
    REQUIRE_SOUND_HEAP();
}

TEST(no_class_recurs_beyond_the_limit)
{
    cell_option_set("recurring_limit", 8200);
    vary(8300, 16300, 32 * CELL_CLASS_RECURS);
    REQUIRE_EQUAL(cell_usable_size(must_malloc(9000)), chunk_size(9000) - CELL_WORD);
    REQUIRE_EQUAL(stats_now().cached_bytes, 0);
}

static void a_limit_ends_classes(const char *limit, size_t value)
{
    vary(8300, 16300, 32 * CELL_CLASS_RECURS);
    REQUIRE(is_kept_when_freed());
    REQUIRE(cell_option_set(limit, value) == 0);
    REQUIRE(!is_kept_when_freed());
    REQUIRE_SOUND_HEAP();
}

TEST(classes_end_when_recurring_limit_falls)
{
    a_limit_ends_classes("recurring_limit", 8200);
}

TEST(classes_end_when_cache_limit_falls)
{
    a_limit_ends_classes("cache_limit", 300);
}

/* Classes that recurred with one thread may lie above what caches keep between threads. */
TEST(blocks_of_a_class_beyond_the_threads_limit_go_back_whole)
{
    static void *block[400];

    cell_option_set("cache_limit_threads", 2000);
    vary(8300, 16300, 32 * CELL_CLASS_RECURS);
    for (size_t i = 0; i < COUNT_OF(block); i++)
        memset(block[i] = must_malloc(8300 + some(8000)), 1, 8300);
    start_and_end_a_thread();
    for (size_t i = 0; i < COUNT_OF(block); i += 2)
        cell_free(block[i]);
    REQUIRE_SOUND_HEAP();
    for (size_t request = 400; request <= 20000; request += 24)
        memset(must_malloc(request), 2, request);
    for (size_t i = 1; i < COUNT_OF(block); i += 2)
        REQUIRE(((unsigned char *)block[i])[8299] == 1);
    REQUIRE_SOUND_HEAP();
}

TEST(a_limit_between_threads_may_fall)
{
    static void *block[300];

    for (size_t i = 0; i < COUNT_OF(block); i++)
        block[i] = must_malloc(610 + i % 8);
    start_and_end_a_thread();
    for (size_t i = 0; i < COUNT_OF(block); i += 2)
        cell_free(block[i]);
    REQUIRE(is_kept_when_freed());
    cell_option_set("cache_limit_threads", 400);
    start_and_end_a_thread();
    REQUIRE(!is_kept_when_freed());
    REQUIRE_SOUND_HEAP();
    for (size_t i = 1; i < COUNT_OF(block); i += 2)
        cell_free(block[i]);
    for (int i = 0; i < 300; i++)
        must_malloc(610);
    REQUIRE_SOUND_HEAP();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_of_sizes_recur), cmocka_unit_test(every_class_of_a_range_recurs),
        cmocka_unit_test(every_request_finds_the_row_of_its_class),
        cmocka_unit_test(the_lowest_class_recurs_with_its_smallest_size), cmocka_unit_test(classes_recur_in_bursts),
        cmocka_unit_test(no_class_recurs_beyond_the_limit), cmocka_unit_test(classes_end_when_recurring_limit_falls),
        cmocka_unit_test(classes_end_when_cache_limit_falls),
        cmocka_unit_test(blocks_of_a_class_beyond_the_threads_limit_go_back_whole),
        cmocka_unit_test(a_limit_between_threads_may_fall),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
