/* test_aligned.c - blocks at an alignment beyond that of all: they come back from the bins of the caches, like any others. */
#include "second_thread.h"
#include "tcache.h"

#define ALIGNMENT 64
#define SIZE      280           /* not all chunks of this size lie at multiples of 64 */
#define LARGE     3000          /* above cache_limit: cached where it recurs, and by its class between threads */

static bool is_at(const void *block, size_t alignment)
{
    return ((uintptr_t)block & (alignment - 1)) == 0;
}

static void *must_align(size_t alignment, size_t size)
{
    void *block = cell_aligned_alloc(alignment, size);

    REQUIRE(block != NULL && is_at(block, alignment));
    return block;
}

static void come_and_go(size_t size, unsigned rounds)
{
    void *block[8];

    for (unsigned i = 0; i < COUNT_OF(block); i++)
        block[i] = must_align(ALIGNMENT, size);
    for (unsigned i = 0; i < rounds; i++) {
        unsigned at = i * 5 % COUNT_OF(block);
        cell_free(block[at]);
        block[at] = must_align(ALIGNMENT, size);
    }
    for (unsigned i = 0; i < COUNT_OF(block); i++)
        cell_free(block[i]);
}

static struct cell_bin *bin_for(size_t size)
{
    return cell_tcache_bin(cell_tcache_mine, cell_size_of_chunk(size));
}

/* Leaves in the bin for `size` one block at a multiple of ALIGNMENT, and on top of it as many others. */
static void arrange_bin(size_t size, void **aligned, void **other, size_t others)
{
    void *block[200];
    size_t found = 0;

    come_and_go(size, 500);
    *aligned = must_align(ALIGNMENT, size);
    while (found < others) {
        void *candidate = must_malloc(size);
        if (!is_at(candidate, ALIGNMENT))
            other[found++] = candidate;
    }
    for (size_t i = 0; bin_for(size)->head != NULL; i++) {
        REQUIRE(i < COUNT_OF(block));
        block[i] = must_malloc(size);
    }
    REQUIRE(bin_for(size)->room > others);
    cell_free(*aligned);
    for (size_t i = 0; i < others; i++)
        cell_free(other[i]);
}

static uint64_t heap_visits(void)
{
    struct cell_stats now = stats_now();

    return now.splits + now.merges + now.refills;
}

TEST(one_that_was_freed_serves_the_next)
{
    come_and_go(SIZE, 100);
    uint64_t before = heap_visits();
    come_and_go(SIZE, 1000);
    REQUIRE(heap_visits() - before < 20);
    REQUIRE_SOUND_HEAP();
}

TEST(so_it_does_when_its_size_recurs)
{
    come_and_go(LARGE, 4 * CELL_CLASS_RECURS);
    uint64_t before = heap_visits();
    come_and_go(LARGE, 1000);
    REQUIRE(heap_visits() - before < 40);
    REQUIRE_SOUND_HEAP();
}

TEST(so_it_does_by_class_between_threads)
{
    start_and_end_a_thread();
    come_and_go(LARGE, 100);
    uint64_t before = heap_visits();
    come_and_go(LARGE, 1000);
    come_and_go(LARGE - 40, 1000);
    REQUIRE(heap_visits() - before < 40);
    REQUIRE_SOUND_HEAP();
}

/* Above all classes, the thread's latest frees serve, if they lie right. */
TEST(so_do_larger_ones_between_threads)
{
    start_and_end_a_thread();
    come_and_go(65536, 100);
    uint64_t before = heap_visits();
    come_and_go(65536, 1000);
    REQUIRE(heap_visits() - before < 80);
    for (int i = 0; i < 100; i++)
        cell_free(must_malloc(50000));
    void *elsewhere = NULL;
    while (elsewhere == NULL || is_at(elsewhere, 4096))
        elsewhere = must_malloc(50000);
    cell_free(elsewhere);
    must_align(4096, 50000);
    REQUIRE(must_malloc(50000) == elsewhere);
    REQUIRE_SOUND_HEAP();
}

/* Between, others were freed that lie elsewhere: they stay in their order. */
TEST(it_may_lie_below_others)
{
    void *aligned, *other[3];

    arrange_bin(SIZE, &aligned, other, COUNT_OF(other));
    uint64_t before = heap_visits();
    REQUIRE(must_align(ALIGNMENT, SIZE) == aligned);
    REQUIRE_EQUAL(heap_visits(), before);
    REQUIRE_SOUND_HEAP();
    for (size_t i = COUNT_OF(other); i-- > 0;)
        REQUIRE(must_malloc(SIZE) == other[i]);
    REQUIRE(bin_for(SIZE)->head == NULL);
    REQUIRE_SOUND_HEAP();
}

TEST(what_lies_elsewhere_stays)
{
    void *hole = must_malloc(120000), *aligned, *other[3];

    arrange_bin(SIZE, &aligned, other, COUNT_OF(other));
    REQUIRE(!is_at(aligned, 65536));
    cell_free(hole);
    must_align(65536, SIZE);
    for (size_t i = COUNT_OF(other); i-- > 0;)
        REQUIRE(must_malloc(SIZE) == other[i]);
    REQUIRE(must_malloc(SIZE) == aligned);
    REQUIRE_SOUND_HEAP();
}

/* The heap does not grow while caches hold what it lacks. */
TEST(a_large_one_gets_what_they_hold)
{
    void *block[8];

    for (int i = 0; i < 100; i++)       /* caches hold a share of the heap */
        must_malloc(10000);
    come_and_go(LARGE, 4 * CELL_CLASS_RECURS);
    for (size_t i = 0; i < COUNT_OF(block); i++)
        block[i] = must_malloc(LARGE);
    must_malloc(LARGE);
    for (size_t i = 0; i < COUNT_OF(block); i++)
        cell_free(block[i]);
    REQUIRE(stats_now().cached_bytes >= 4 * LARGE);
    size_t resident = stats_now().footprint_bytes;
    must_align(ALIGNMENT, 7 * LARGE);
    REQUIRE_EQUAL(stats_now().footprint_bytes, resident);
    REQUIRE_SOUND_HEAP();
}

/* What aligned blocks leave free, others of them take again, with room to move the start. */
TEST(sizes_that_vary_do_not_make_the_heap_grow)
{
    static void *block[1000];
    uint64_t state = 1;

    for (int i = 0; i < 200000; i++) {
        void **at = &block[random_from(&state) % COUNT_OF(block)];
        cell_free(*at);
        *at = must_align(ALIGNMENT, 32 + random_from(&state) % 480);
    }
    struct cell_stats now = stats_now();
    REQUIRE(now.live_bytes > 200000);
    REQUIRE(now.resident_bytes < 3 * now.live_bytes);
    REQUIRE_SOUND_HEAP();
}

/* A mapping that is kept serves at any alignment up to a page's: it begins at one. */
TEST(mapped_ones_take_what_is_kept)
{
    static const size_t alignments[] = { 32, 64, 1024, 4096 };

    for (size_t i = 0; i < COUNT_OF(alignments); i++) {
        for (int round = 0; round < 100; round++) {
            unsigned char *block = must_align(alignments[i], 200000 + 4096 * i);
            memset(block, 0xa5, 200000 + 4096 * i);
            cell_free(block);
        }
    }
    REQUIRE(stats_now().maps < 50);
    REQUIRE(stats_now().map_reuses > 350);
    REQUIRE_SOUND_HEAP();
}

TEST(mapped_ones_lie_at_larger_alignments_too)
{
    for (size_t alignment = 8192; alignment <= (size_t)4 << 20; alignment *= 2) {
        unsigned char *block = must_align(alignment, 200000);
        memset(block, 0xa5, 200000);
        cell_free(block);
        cell_free(must_malloc(300000));
    }
    REQUIRE_SOUND_HEAP();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_was_freed_serves_the_next), cmocka_unit_test(so_it_does_when_its_size_recurs),
        cmocka_unit_test(so_it_does_by_class_between_threads), cmocka_unit_test(it_may_lie_below_others),
        cmocka_unit_test(what_lies_elsewhere_stays), cmocka_unit_test(so_do_larger_ones_between_threads), cmocka_unit_test(a_large_one_gets_what_they_hold), cmocka_unit_test(sizes_that_vary_do_not_make_the_heap_grow),
        cmocka_unit_test(mapped_ones_take_what_is_kept), cmocka_unit_test(mapped_ones_lie_at_larger_alignments_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
