/* test_properties.c - the properties that each range of sizes is served by, each one a test by its name. */
#include <sys/mman.h>

#include "heap.h"
#include "support.h"

/* ---- large: best fit; in test_best_fit.c it is held against brute force -------------------------------------------- */

TEST(large_takes_the_smallest_that_fits)
{
    static const size_t sizes[] = { 5000, 2000, 9000, 3000, 2500, 4000, 700, 1400, 70000 };
    char *block[COUNT_OF(sizes)];

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        block[i] = must_malloc(sizes[i]);
        must_malloc(600);
    }
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        cell_free(block[i]);
    REQUIRE(must_malloc(2400) == block[4]);
    REQUIRE(must_malloc(2900) == block[3]);
    REQUIRE(must_malloc(600) == block[6]);
    REQUIRE(must_malloc(1000) == block[7]);
    REQUIRE(must_malloc(3900) == block[5]);
    REQUIRE(must_malloc(4900) == block[0]);
    REQUIRE(must_malloc(1900) == block[1]);
    REQUIRE(must_malloc(10000) == block[8]);
    REQUIRE(must_malloc(8900) == block[2]);
}

TEST(large_among_equals_takes_the_least_recently_used)
{
    static const size_t sizes[] = { 600, 1000, 1016, 1017, 3000, 40000 };
    static const size_t order[] = { 3, 0, 5, 1, 4, 2 };
    char *block[COUNT_OF(order)];

    for (size_t s = 0; s < COUNT_OF(sizes); s++) {
        for (size_t i = 0; i < COUNT_OF(order); i++) {
            block[i] = must_malloc(sizes[s]);
            must_malloc(520);
        }
        for (size_t i = 0; i < COUNT_OF(order); i++)
            cell_free(block[order[i]]);
        for (size_t i = 0; i < COUNT_OF(order); i++)
            REQUIRE(must_malloc(sizes[s]) == block[order[i]]);
    }
}

/* At the border the kinds must not mix: what is freed is what the next request of the size finds. */
TEST(every_freed_size_is_found_again)
{
    for (size_t size = 1; size <= 1200; size++) {
        char *block = must_malloc(size);
        must_malloc(size);
        if (cell_usable_size(block) != cell_good_size(size))
            continue;                           /* it came with a remainder too small to split: it is of the next size */
        cell_free(block);
        REQUIRE(must_malloc(size) == block);
    }
}

/* ---- small: pools and caches ------------------------------------------------------------------------------------------ */

TEST(small_freed_cell_is_the_next_handed_out)
{
    for (size_t size = 1; size <= option_value("small_limit"); size++) {
        char *a = must_malloc(size), *b = must_malloc(size), *c = must_malloc(size);
        cell_free(b);
        REQUIRE(must_malloc(size) == b);
        cell_free(a);
        cell_free(c);
        REQUIRE(must_malloc(size) == c);
        REQUIRE(must_malloc(size) == a);
    }
}

TEST(small_needs_no_search_split_or_merge)
{
    char *block[64];

    for (size_t i = 0; i < COUNT_OF(block); i++)
        block[i] = must_malloc(i + 1);
    struct cell_stats before = stats_now();
    for (size_t round = 0; round < 2000; round++) {
        for (size_t i = 0; i < COUNT_OF(block); i++)
            cell_free(block[(i * 7 + round) % COUNT_OF(block)]);
        for (size_t i = 0; i < COUNT_OF(block); i++)
            block[i] = must_malloc(i + 1);
    }
    struct cell_stats after = stats_now();
    REQUIRE_EQUAL(after.splits, before.splits);
    REQUIRE_EQUAL(after.merges, before.merges);
    REQUIRE_EQUAL(after.heap_bytes, before.heap_bytes);
    REQUIRE(after.refills - before.refills <= 100);
}

TEST(empty_pools_return_and_coalesce)
{
    enum { COUNT = 20000 };
    static char *block[COUNT];
    char *before = must_malloc(3000), *after;

    for (size_t i = 0; i < COUNT; i++)
        block[i] = must_malloc(48);
    after = must_malloc(3000);
    for (size_t i = 0; i < COUNT; i++)
        cell_free(block[i]);
    cell_trim(0);
    REQUIRE(stats_now().pool_bytes <= 16 * 4096);               /* of about 240 pools; some may wait for the next request */
    cell_option_set("mmap_max", 0);
    char *large = must_malloc(COUNT * 24);                      /* space for any size */
    REQUIRE(large > before && large < after);
    REQUIRE_SOUND_HEAP();
}

/* ---- in between ---------------------------------------------------------------------------------------------------------- */

TEST(in_between_is_cached_and_given_back_the_same)
{
    for (size_t size = 65; size <= 511; size += 31) {
        must_malloc(size);
        char *a = must_malloc(size), *b = must_malloc(size);
        struct cell_stats before = stats_now();
        cell_free(b);
        REQUIRE_EQUAL(stats_now().merges, before.merges);
        REQUIRE(stats_now().cached_bytes > before.cached_bytes);
        if (size > option_value("small_limit"))
            REQUIRE(cell_chunk_is_inuse(cell_chunk_of_user(b)));    /* still marked in use: coalescing is deferred */
        REQUIRE(must_malloc(size) == b);
        REQUIRE(a != b);
    }
}

/* ---- very large ------------------------------------------------------------------------------------------------------------ */

static bool is_mapped_memory(const void *address)
{
    unsigned char present;

    return mincore((void *)((uintptr_t)address & ~(uintptr_t)4095), 1, &present) == 0;
}

TEST(very_large_is_mapped_and_given_back)
{
    size_t threshold = option_value("mmap_threshold");
    char *below = must_malloc(threshold - 100), *above = must_malloc(threshold);

    REQUIRE(cell_segment_holds(&cell_heap_main.segment, below));
    REQUIRE(!cell_segment_holds(&cell_heap_main.segment, above));
    REQUIRE(stats_now().mapped_bytes >= threshold);
    REQUIRE_EQUAL(stats_now().maps, 1);
    REQUIRE(is_mapped_memory(above) && is_mapped_memory(above + threshold - 1));
    cell_free(above);
    REQUIRE(!is_mapped_memory(above));
    REQUIRE_EQUAL(stats_now().mapped_bytes, 0);
    REQUIRE_EQUAL(stats_now().unmaps, 1);
}

TEST(very_large_grows_with_mremap)
{
    size_t size = (size_t)1 << 20;
    size_t *block = must_malloc(size);

    for (size_t i = 0; i < size / sizeof *block; i += 512)
        block[i] = i * 3;
    for (; size <= (size_t)64 << 20; size *= 2) {
        uint64_t remaps = stats_now().remaps;
        must_malloc((size_t)1 << 18);                           /* something in the way, now and then */
        block = cell_realloc(block, size * 2);
        REQUIRE(block != NULL);
        REQUIRE_EQUAL(stats_now().remaps, remaps + 1);
        for (size_t i = 0; i < ((size_t)1 << 20) / sizeof *block; i += 512)
            REQUIRE_EQUAL(block[i], i * 3);
        block[size / sizeof *block * 2 - 1] = 1;
    }
    block = cell_realloc(block, (size_t)1 << 20);
    REQUIRE(block != NULL && block[512] == 512 * 3);
    REQUIRE(stats_now().mapped_bytes < (size_t)8 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_takes_the_smallest_that_fits),
        cmocka_unit_test(large_among_equals_takes_the_least_recently_used),
        cmocka_unit_test(every_freed_size_is_found_again), cmocka_unit_test(small_freed_cell_is_the_next_handed_out),
        cmocka_unit_test(small_needs_no_search_split_or_merge), cmocka_unit_test(empty_pools_return_and_coalesce),
        cmocka_unit_test(in_between_is_cached_and_given_back_the_same),
        cmocka_unit_test(very_large_is_mapped_and_given_back), cmocka_unit_test(very_large_grows_with_mremap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
