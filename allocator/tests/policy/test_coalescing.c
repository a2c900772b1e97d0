/* test_coalescing.c - splitting, coalescing at once and deferred, and preallocation. */
#include <stdbool.h>

#include "second_thread.h"
#include "tcache.h"

/* ---- splitting and coalescing --------------------------------------------------------------------------------------------- */

TEST(splitting_makes_the_remainder_a_free_chunk)
{
    char *block = must_malloc(10000);
    must_malloc(600);
    cell_free(block);
    uint64_t splits = stats_now().splits;
    size_t free_bytes = stats_now().free_bytes;
    REQUIRE(must_malloc(3000) == block);
    REQUIRE_EQUAL(stats_now().splits, splits + 1);
    REQUIRE_EQUAL(stats_now().free_bytes, free_bytes - 3008);
    REQUIRE(must_malloc(7000) == block + 3008);                 /* the remainder, next to it */
    REQUIRE_EQUAL(stats_now().free_bytes, 0);
    cell_free(block);
    REQUIRE(must_malloc(2960) == block);                        /* 32 bytes are enough for a remainder */
    REQUIRE_EQUAL(cell_usable_size(block), 2968);
    REQUIRE_EQUAL(stats_now().free_bytes, 32);
}

TEST(realloc_splits_and_grows_in_place)
{
    char *block = must_malloc(10000);
    must_malloc(600);
    REQUIRE(cell_realloc(block, 3000) == block);
    REQUIRE(cell_usable_size(block) < 3016);
    REQUIRE(cell_realloc(block, 9000) == block);
    REQUIRE(cell_usable_size(block) >= 9000);
    REQUIRE(cell_realloc(block, 10000) == block);
    REQUIRE(cell_realloc(block, 11000) != block);
    REQUIRE_SOUND_HEAP();
}

/* Five neighbours a..e of which the middle three are freed in the given order: they are one chunk whatever it is. */
static void coalesce_three(const unsigned *order)
{
    char *block[5];
    uint64_t merges;

    for (size_t i = 0; i < COUNT_OF(block); i++)
        block[i] = must_malloc(1000 + 1008 * i);
    for (size_t i = 1; i < COUNT_OF(block); i++)
        REQUIRE(block[i] == block[i - 1] + 1008 * i);
    merges = stats_now().merges;
    for (size_t i = 0; i < 3; i++)
        cell_free(block[order[i]]);
    REQUIRE_EQUAL(stats_now().merges, merges + 2);
    REQUIRE_EQUAL(stats_now().free_bytes, 9 * 1008);
    REQUIRE_SOUND_HEAP();
    REQUIRE(must_malloc(9 * 1008 - 8) == block[1]);
    REQUIRE_EQUAL(stats_now().free_bytes, 0);
}

TEST(coalescing_with_the_previous)  { coalesce_three((const unsigned[]){ 1, 2, 3 }); }
TEST(coalescing_with_the_next)      { coalesce_three((const unsigned[]){ 3, 2, 1 }); }
TEST(coalescing_on_both_sides)      { coalesce_three((const unsigned[]){ 1, 3, 2 }); }
TEST(coalescing_on_both_sides_too)  { coalesce_three((const unsigned[]){ 3, 1, 2 }); }

TEST(coalescing_with_the_top)
{
    char *first = must_malloc(3000), *second = must_malloc(3000);
    size_t heap_bytes = stats_now().heap_bytes;

    cell_free(first);
    cell_free(second);
    REQUIRE_EQUAL(stats_now().heap_bytes, heap_bytes - 2 * 3008);
    REQUIRE(must_malloc(7000) == first);
}

TEST(deferred_coalescing_ends_before_the_heap_grows)
{
    char *block[16], *got = NULL;
    bool reused = false;

    must_malloc(600);
    for (size_t i = 0; i < COUNT_OF(block); i++)
        block[i] = must_malloc(248);
    must_malloc(600);
    uint64_t merges = stats_now().merges;
    for (size_t i = 0; i < 8; i++)
        cell_free(block[i]);
    REQUIRE(stats_now().cached_bytes > 4 * 256);
    REQUIRE(stats_now().merges - merges < 4);                   /* most of them wait */
    for (size_t i = 0; i < 1000; i++) {
        size_t heap_bytes = stats_now().heap_bytes, resident = stats_now().resident_bytes;
        got = must_malloc(1000);
        reused |= got >= block[0] && got < block[8];
        if (stats_now().resident_bytes > resident && stats_now().heap_bytes > heap_bytes)
            break;
    }
    REQUIRE(reused);                                            /* merged, they served a size that none of them had */
    REQUIRE_EQUAL(stats_now().cached_bytes, 0);
    REQUIRE(stats_now().merges > merges);
    REQUIRE_SOUND_HEAP();
}

/* ---- preallocation ---------------------------------------------------------------------------------------------------------- */

static uint64_t refills_of(size_t size)
{
    for (int i = 0; i < 500; i++)
        must_malloc(size);
    uint64_t before = stats_now().refills;
    for (int i = 0; i < 1000; i++)
        must_malloc(size);
    return stats_now().refills - before;
}

TEST(preallocation_carves_several_at_once)
{
    REQUIRE(refills_of(48) <= 1000 / 8);
    REQUIRE(refills_of(200) <= 1000 / 2);
    REQUIRE(cell_option_set("batch", 1) == 0);
    REQUIRE_EQUAL(refills_of(160), 1000);
}

/* Each takes a lock: of the smallest, as many as a page holds. */
TEST(between_threads_more_of_what_is_small)
{
    start_and_end_a_thread();
    REQUIRE(refills_of(16) <= 1000 / 128);
    REQUIRE(cell_option_set("batch", 1) == 0);
    REQUIRE_EQUAL(refills_of(32), 1000);
}

/* It comes back whole when the bin has run empty, in the order in which it was freed, and nobody is asked for more. */
TEST(between_threads_a_full_bin_is_set_aside)
{
    enum { BLOCKS = 2000, ROW = 64 / CELL_ALIGN };
    static void *block[BLOCKS];

    start_and_end_a_thread();
    for (int i = 0; i < BLOCKS; i++)
        block[i] = must_malloc(64);
    for (int i = 0; i < BLOCKS; i++)
        cell_free(block[i]);
    size_t spare = cell_tcache_spare_count(cell_tcache_mine, ROW);
    size_t held = cell_bin_held(cell_tcache_bin_of_row(cell_tcache_mine, ROW));
    uint64_t refills = stats_now().refills;
    REQUIRE(spare >= 32 && cell_check(NULL) == 0);
    REQUIRE_EQUAL(stats_now().cached_blocks, spare + held);
    for (size_t i = 0; i < held + spare; i++)
        REQUIRE(must_malloc(64) == block[BLOCKS - 1 - i]);
    REQUIRE_EQUAL(stats_now().refills, refills);
    must_malloc(64);
    REQUIRE_EQUAL(stats_now().refills, refills + 1);
    cell_tcache_give_all_back(cell_tcache_mine);
    REQUIRE_EQUAL(cell_tcache_mine->capacity, 0);
    REQUIRE_EQUAL(cell_tcache_spare_limit(cell_tcache_mine, ROW), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splitting_makes_the_remainder_a_free_chunk),
        cmocka_unit_test(realloc_splits_and_grows_in_place), cmocka_unit_test(coalescing_with_the_previous),
        cmocka_unit_test(coalescing_with_the_next), cmocka_unit_test(coalescing_on_both_sides),
        cmocka_unit_test(coalescing_on_both_sides_too), cmocka_unit_test(coalescing_with_the_top),
        cmocka_unit_test(deferred_coalescing_ends_before_the_heap_grows),
        cmocka_unit_test(preallocation_carves_several_at_once), cmocka_unit_test(between_threads_more_of_what_is_small),
        cmocka_unit_test(between_threads_a_full_bin_is_set_aside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
