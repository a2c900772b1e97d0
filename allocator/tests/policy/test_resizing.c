/* test_resizing.c - where realloc leaves a block where it is, and where it moves it. */
#include "second_thread.h"
#include "tcache.h"

static void *filled(size_t size)
{
    unsigned char *block = must_malloc(size);

    for (size_t i = 0; i < size; i++)
        block[i] = (unsigned char)(i * 7);
    return block;
}

static void require_filled(const void *block, size_t size)
{
    for (size_t i = 0; i < size; i++)
        REQUIRE_EQUAL(((const unsigned char *)block)[i], (unsigned char)(i * 7));
}

static uint64_t splits(void)
{
    return stats_now().splits;
}

/* Fills the bins for two sizes, so that what is taken from them next splits nothing. */
static void fill_bins(size_t one, size_t other)
{
    void *block[16];

    for (size_t i = 0; i < COUNT_OF(block); i++)
        block[i] = must_malloc(i % 2 == 0 ? one : other);
    for (size_t i = 0; i < COUNT_OF(block); i++)
        cell_free(block[i]);
}

static void *must_realloc(void *block, size_t size)
{
    void *resized = cell_realloc(block, size);

    REQUIRE(resized != NULL);
    return resized;
}

TEST(one_thread_cuts_what_shrinks)
{
    void *block = filled(3000);

    REQUIRE(must_realloc(block, 600) == block);
    REQUIRE(cell_usable_size(block) < 600 + CELL_CUT_MIN);
    require_filled(block, 600);
    REQUIRE_SOUND_HEAP();
}

TEST(one_thread_extends_into_what_is_free)
{
    void *block = filled(600), *next = must_malloc(20000);

    must_malloc(600);
    cell_free(next);
    REQUIRE(must_realloc(block, 3000) == block);
    require_filled(block, 600);
    REQUIRE_SOUND_HEAP();
}

/* Both ways the block goes from bin to bin, and the heap is not asked. */
TEST(between_threads_small_ones_move)
{
    start_and_end_a_thread();
    fill_bins(600, 3000);
    uint64_t before = splits();
    void *large = filled(3000), *small = must_realloc(large, 600);
    REQUIRE(small != large);
    REQUIRE(cell_usable_size(small) < 700);
    require_filled(small, 600);
    void *again = must_realloc(small, 3000);
    REQUIRE(again == large);
    require_filled(again, 600);
    REQUIRE_EQUAL(splits(), before);
    REQUIRE_SOUND_HEAP();
}

TEST(between_threads_large_ones_are_cut)
{
    start_and_end_a_thread();
    void *block = filled(30000);
    REQUIRE(must_realloc(block, 10000) == block);
    REQUIRE(cell_usable_size(block) < 11000);
    require_filled(block, 10000);
    REQUIRE_SOUND_HEAP();
}

/* What a request of the new size would be given as well stays where it is, though there is more than CELL_CUT_MIN to cut. */
TEST(between_threads_a_block_of_the_same_class_stays)
{
    start_and_end_a_thread();
    void *block = filled(20000);
    size_t usable = cell_usable_size(block), smallest = cell_size_of_class(cell_size_class(usable + CELL_WORD) - 1);
    REQUIRE(usable - smallest > 2 * CELL_CUT_MIN);
    REQUIRE(must_realloc(block, smallest) == block);
    REQUIRE_EQUAL(cell_usable_size(block), usable);
    cell_free_sized(block, smallest);
    REQUIRE_SOUND_HEAP();
}

TEST(without_caches_they_are_cut)
{
    cell_option_set("cache_bytes", 0);
    start_and_end_a_thread();
    void *block = filled(3000);
    REQUIRE(must_realloc(block, 600) == block);
    REQUIRE_SOUND_HEAP();
}

TEST(a_cell_stays_while_its_size_does)
{
    char *block = must_malloc(40);

    memset(block, 7, 40);
    for (size_t size = 33; size <= 48; size++)
        REQUIRE(cell_realloc(block, size) == block);
    char *moved = cell_realloc(block, 49);
    REQUIRE(moved != NULL && moved != block);
    for (size_t i = 0; i < 40; i++)
        REQUIRE(moved[i] == 7);
    block = cell_realloc(moved, 16);
    REQUIRE(block != NULL && block != moved && block[0] == 7 && block[15] == 7);
    REQUIRE_SOUND_HEAP();
}

TEST(what_is_small_enough_becomes_a_cell)
{
    for (int threads = 1; threads <= 2; threads++) {
        void *block = filled(200), *cell = must_realloc(block, 100);
        REQUIRE_EQUAL(cell_usable_size(cell), 112);
        require_filled(cell, 100);
        start_and_end_a_thread();
    }
    REQUIRE_SOUND_HEAP();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thread_cuts_what_shrinks), cmocka_unit_test(one_thread_extends_into_what_is_free),
        cmocka_unit_test(between_threads_small_ones_move), cmocka_unit_test(between_threads_large_ones_are_cut),
        cmocka_unit_test(between_threads_a_block_of_the_same_class_stays), cmocka_unit_test(without_caches_they_are_cut),
        cmocka_unit_test(a_cell_stays_while_its_size_does), cmocka_unit_test(what_is_small_enough_becomes_a_cell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
