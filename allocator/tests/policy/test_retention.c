/* test_retention.c - when free pages go back to the system, and when cached chunks go back to the heap: often enough to be
 * lean, not so often that the same ones come and go. */
#include "clock.h"
#include "support.h"

#define BLOCKS 4000

static void *part[BLOCKS];

static void grow(void)
{
    for (size_t i = 0; i < BLOCKS; i++)
        if (part[i] == NULL)
            memset(part[i] = must_malloc(2000), 1, 2000);
}

static void shrink_to(size_t blocks)
{
    for (size_t i = blocks; i < BLOCKS; i++) {
        cell_free(part[i]);
        part[i] = NULL;
    }
}

/* The heap grows by 8 MB and shrinks to nothing. */
static void grow_and_shrink(void)
{
    grow();
    shrink_to(0);
}

TEST(much_free_memory_is_given_back)
{
    grow_and_shrink();
    REQUIRE(stats_now().purged_bytes >= BLOCKS * 2000 / 2);
    REQUIRE(stats_now().resident_bytes <= BLOCKS * 2000 / 2);
}

TEST(little_free_memory_is_kept)
{
    REQUIRE(cell_option_set("purge_min", (size_t)64 << 20) == 0);
    grow_and_shrink();
    REQUIRE_EQUAL(stats_now().purged_bytes, 0);
}

/* Once because it is much, and, though that was regretted, once because it is most. */
TEST(what_is_wanted_back_at_once_is_not_given_back_again)
{
    double begin = now_s();

    grow_and_shrink();
    grow_and_shrink();
    uint64_t purged = stats_now().purged_bytes;
    for (int round = 0; round < 5; round++)
        grow_and_shrink();
    /* Only a second later would a purge be tried again: a machine that stood still for so long shows nothing. */
    if (now_s() - begin < 0.9)
        REQUIRE_EQUAL(stats_now().purged_bytes, purged);
}

/* A phase whose memory comes and goes ends: what is free then does not stay for that. */
TEST(most_of_the_peak_is_given_back_whatever_was_wanted_back)
{
    double begin = now_s();

    grow();
    shrink_to(BLOCKS / 2);
    uint64_t purged = stats_now().purged_bytes;
    REQUIRE(purged > 0);
    for (int round = 0; round < 5; round++) {
        grow();
        shrink_to(BLOCKS / 2);
    }
    if (now_s() - begin < 0.9)
        REQUIRE_EQUAL(stats_now().purged_bytes, purged);
    REQUIRE(stats_now().resident_bytes >= BLOCKS * 2000 * 3 / 4);
    shrink_to(0);
    REQUIRE(stats_now().resident_bytes <= BLOCKS * 2000 / 3);
}

/* Bytes of free pages that stay when a mapping of twice the heap's peak sets a new one. */
static size_t free_pages_after_a_large_mapping(void)
{
    REQUIRE(cell_option_set("purge_min", (size_t)4 << 20) == 0);
    grow_and_shrink();
    size_t free_before = stats_now().dirty_bytes;
    uint64_t purged = stats_now().purged_bytes;
    REQUIRE(free_before >= 1 << 20);
    void *block = must_malloc(2 * BLOCKS * 2000);
    size_t kept = stats_now().dirty_bytes;
    REQUIRE(stats_now().purged_bytes - purged >= (free_before - kept) / 4096 * 4096);
    cell_free(block);
    return kept;
}

TEST(free_pages_go_before_a_mapping_sets_a_new_peak)
{
    REQUIRE(cell_option_set("keep_share", 0) == 0);
    REQUIRE_EQUAL(free_pages_after_a_large_mapping(), 0);
}

TEST(a_little_of_them_stays)
{
    size_t kept = free_pages_after_a_large_mapping();

    REQUIRE(kept > 0);
    REQUIRE(kept <= stats_now().footprint_peak_bytes / option_value("keep_share"));
}

TEST(none_of_them_under_a_limit)
{
    REQUIRE(cell_option_set("footprint_limit", (size_t)1 << 30) == 0);
    REQUIRE_EQUAL(free_pages_after_a_large_mapping(), 0);
}

TEST(kept_mappings_go_before_the_heap_sets_a_new_peak)
{
    REQUIRE(cell_option_set("mmap_dynamic", 0) == 0);
    REQUIRE(cell_option_set("map_cache_share", 1) == 0);
    for (int i = 0; i < 8; i++)
        cell_free(must_malloc(300000));
    REQUIRE(stats_now().map_cached_bytes >= 300000);
    grow_and_shrink();
    REQUIRE_EQUAL(stats_now().map_cached_bytes, 0);
    REQUIRE_SOUND_HEAP();
}

TEST(trimming_unmaps_what_is_kept_and_says_so)
{
    for (int i = 0; i < 8; i++)
        cell_free(must_malloc(300000));
    uint64_t unmaps = stats_now().unmaps;
    REQUIRE(stats_now().map_cached_bytes >= 300000);
    REQUIRE_EQUAL(cell_trim(0), 1);
    REQUIRE_EQUAL(stats_now().map_cached_bytes, 0);
    REQUIRE_EQUAL(stats_now().unmaps, unmaps + 1);
}

/* Every other block of a heap so large that none of them is worth a call by itself. */
static void free_every_other_block(void)
{
    static char *block[2000];

    for (size_t i = 0; i < COUNT_OF(block); i++)
        memset(block[i] = must_malloc(60000), 1, 60000);
    for (size_t i = 0; i < COUNT_OF(block); i += 2)
        cell_free(block[i]);
}

TEST(trimming_gives_back_what_was_not_worth_it_one_by_one)
{
    free_every_other_block();
    size_t before = stats_now().resident_bytes, live = stats_now().live_bytes;
    REQUIRE(before >= 110 * 1000 * 1000);
    REQUIRE_EQUAL(cell_trim(0), 1);
    REQUIRE(stats_now().resident_bytes <= live + live / 4);
    REQUIRE_EQUAL(cell_trim(0), 0);
    REQUIRE_SOUND_HEAP();
}

/* Nor is it a reason to refuse what a limit allows. */
TEST(under_a_limit_it_makes_way)
{
    free_every_other_block();
    REQUIRE(cell_option_set("footprint_limit", stats_now().footprint_bytes + (1 << 20)) == 0);
    memset(must_malloc(32 << 20), 1, 32 << 20);
    REQUIRE_SOUND_HEAP();
}

/* Pages that the kernel has brought in for the heap or for mappings, and calls that mapped, moved or unmapped. */
static uint64_t work_of_the_system(void)
{
    struct cell_stats stats = stats_now();

    return stats.populates + stats.purges + stats.maps + stats.unmaps + stats.remaps;
}

/* A vector of 16 bytes to 1 MiB in a heap of nothing else. */
static void grow_a_vector(void)
{
    char *vector = NULL;

    for (size_t size = 16; size <= 1 << 20; size *= 2) {
        vector = cell_realloc(vector, size);
        REQUIRE(vector != NULL);
        memset(vector + size / 2, 1, size / 2);
    }
    cell_free(vector);
}

/* Once it has been done a few times it needs nothing of the system any more. */
static void require_rest_after(void (*work)(void))
{
    for (int i = 0; i < 20; i++)
        work();
    uint64_t before = work_of_the_system();
    for (int i = 0; i < 100; i++)
        work();
    REQUIRE(work_of_the_system() <= before + 2);
}

TEST(a_vector_that_grows_again_needs_nothing_of_the_system)
{
    require_rest_after(grow_a_vector);
}

/* The same by malloc, copy and free, as operator new's users do: both live at the peak, of some 200 KiB. */
static void copy_a_vector(void)
{
    char *vector = must_malloc(16);

    for (size_t size = 32; size <= 1 << 17; size *= 2) {
        char *next = must_malloc(size);
        memset(next, 1, size);
        cell_free(vector);
        vector = next;
    }
    cell_free(vector);
}

TEST(a_small_heap_that_returns_to_its_peak_keeps_what_that_takes)
{
    copy_a_vector();
    size_t peak = stats_now().footprint_peak_bytes;
    require_rest_after(copy_a_vector);
    REQUIRE(stats_now().footprint_peak_bytes <= peak + (512 << 10));
}

/* Some 3 MB of free pages, in 30 places of a heap whose peak is not much more. */
static void leave_free_pages(void)
{
    static void *block[30];

    for (size_t i = 0; i < COUNT_OF(block); i++) {
        memset(block[i] = must_malloc(100000), 1, 100000);
        must_malloc(200);
    }
    for (size_t i = 0; i < COUNT_OF(block); i++)
        cell_free(block[i]);
}

static int little_lies_free(void)
{
    return stats_now().dirty_bytes <= stats_now().footprint_peak_bytes / option_value("keep_share") + (64 << 10);
}

TEST(free_pages_that_give_way_to_mappings_bit_by_bit_are_one_return)
{
    REQUIRE(cell_option_set("purge_min", (size_t)64 << 20) == 0);
    leave_free_pages();
    for (int i = 0; i < 25; i++)
        must_malloc(140000);
    REQUIRE(little_lies_free());
}

TEST(a_heap_that_sets_new_peaks_keeps_little)
{
    REQUIRE(cell_option_set("purge_min", (size_t)64 << 20) == 0);
    REQUIRE(cell_option_set("map_cache_share", 0) == 0);
    for (size_t i = 0; i < 12; i++) {
        leave_free_pages();
        void *mapping = must_malloc((i + 24) * 140000);
        REQUIRE(little_lies_free());
        cell_free(mapping);
    }
}

/* Six returns to one peak and five to the next are not eight to one. */
TEST(returns_to_other_peaks_do_not_count)
{
    REQUIRE(cell_option_set("purge_min", (size_t)64 << 20) == 0);
    REQUIRE(cell_option_set("map_cache_share", 0) == 0);
    for (size_t i = 0; i < 14; i++) {
        leave_free_pages();
        void *mapping = must_malloc((i < 7 ? 24 : 28) * 140000);
        REQUIRE(little_lies_free());
        cell_free(mapping);
    }
}

TEST(free_pages_stay_where_a_mapping_sets_no_peak)
{
    REQUIRE(cell_option_set("purge_min", (size_t)64 << 20) == 0);
    cell_free(must_malloc(16 << 20));
    leave_free_pages();
    uint64_t purged = stats_now().purged_bytes;
    for (int i = 0; i < 10; i++)
        cell_free(must_malloc(300000));
    REQUIRE_EQUAL(stats_now().purged_bytes, purged);
}

/* 2,000 blocks of 100-500 bytes, replaced at random: the heap no longer grows, and lacks a page now and then. */
TEST(caches_are_not_emptied_for_every_page)
{
    static void *slot[2000];
    uint64_t state = 11, merges = 0;

    REQUIRE(cell_option_set("cache_share", 4) == 0);
    for (int i = 0; i < 60000; i++) {
        size_t at = random_from(&state) % COUNT_OF(slot);
        cell_free(slot[at]);
        slot[at] = must_malloc(100 + random_from(&state) % 400);
        if (i == 20000)
            merges = stats_now().merges;
    }
    REQUIRE(stats_now().merges - merges <= 40000 / 4);      /* blocks that came out of a cache to be fetched again */
    REQUIRE_SOUND_HEAP();
}

/* Pages of cells of 16 bytes, every second of which is then freed: pages free one by one. */
static void leave_single_pages(size_t pages)
{
    static void *cell[64 * 4096 / 16];
    size_t count = pages * 4096 / 16;

    for (size_t i = 0; i < count; i++)
        cell[i] = must_malloc(16);
    for (size_t i = 0; i < count; i++)
        if ((uintptr_t)cell[i] / 4096 % 2 == 0)
            cell_free(cell[i]);
}

TEST(pools_that_come_in_rows_take_single_pages_before_the_heap_grows)
{
    REQUIRE(cell_option_set("cache_bytes", 0) == 0);
    for (size_t i = 0; i < 64 * 4096 / 32; i++)
        must_malloc(32);
    leave_single_pages(64);
    size_t resident = stats_now().resident_bytes;
    uint64_t pools = stats_now().pool_adds;
    for (size_t i = 0; i < 20 * 4096 / 32; i++)
        must_malloc(32);
    REQUIRE(stats_now().pool_adds >= pools + 15);
    REQUIRE_EQUAL(stats_now().resident_bytes, resident);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(much_free_memory_is_given_back), cmocka_unit_test(little_free_memory_is_kept),
        cmocka_unit_test(what_is_wanted_back_at_once_is_not_given_back_again),
        cmocka_unit_test(most_of_the_peak_is_given_back_whatever_was_wanted_back),
        cmocka_unit_test(free_pages_go_before_a_mapping_sets_a_new_peak),
        cmocka_unit_test(a_little_of_them_stays), cmocka_unit_test(none_of_them_under_a_limit),
        cmocka_unit_test(kept_mappings_go_before_the_heap_sets_a_new_peak),
        cmocka_unit_test(trimming_unmaps_what_is_kept_and_says_so),
        cmocka_unit_test(trimming_gives_back_what_was_not_worth_it_one_by_one), cmocka_unit_test(under_a_limit_it_makes_way),
        cmocka_unit_test(a_vector_that_grows_again_needs_nothing_of_the_system),
        cmocka_unit_test(a_small_heap_that_returns_to_its_peak_keeps_what_that_takes),
        cmocka_unit_test(free_pages_that_give_way_to_mappings_bit_by_bit_are_one_return),
        cmocka_unit_test(a_heap_that_sets_new_peaks_keeps_little), cmocka_unit_test(free_pages_stay_where_a_mapping_sets_no_peak),
        cmocka_unit_test(returns_to_other_peaks_do_not_count),
        cmocka_unit_test(caches_are_not_emptied_for_every_page),
        cmocka_unit_test(pools_that_come_in_rows_take_single_pages_before_the_heap_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
