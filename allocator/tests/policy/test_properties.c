/* test_properties.c - the properties that cellmalloc is built on, each one a test by its name. */
#include <sys/mman.h>

#include "heap.h"
#include "sizeclass.h"
#include "support.h"
#include "tcache.h"

/* ---- hidden header word ---------------------------------------------------------------------------------------- */

static void require_header(const void *block, size_t request)
{
    const struct cell_chunk *c = cell_chunk_of_user(block);

    REQUIRE_EQUAL((uintptr_t)block - sizeof(size_t), (uintptr_t)&c->head);
    REQUIRE(cell_chunk_is_sealed(c));
    REQUIRE(cell_chunk_is_inuse(c));
    REQUIRE(cell_chunk_size(c) >= request + sizeof(size_t));
    REQUIRE_EQUAL(cell_chunk_size(c) % CELL_ALIGN, 0);
    REQUIRE_EQUAL(cell_usable_size(block), cell_chunk_is_mapped(c) ? cell_chunk_size(c) - CELL_CHUNK_USER
                                                                   : cell_chunk_size(c) - sizeof(size_t));
}

TEST(hidden_header_word)
{
    void *block[600];

    for (size_t i = 0; i < COUNT_OF(block); i++)
        require_header(block[i] = must_malloc(65 + i * 37), 65 + i * 37);
    for (size_t i = 0; i < COUNT_OF(block); i++)
        require_header(block[i], 65 + i * 37);          /* neighbours leave it alone */
    for (size_t i = 0; i < COUNT_OF(block); i++)
        cell_free(block[i]);

    /* A request that fits the usual rounding has no more than the word and the rounding. */
    REQUIRE_EQUAL(cell_chunk_size(cell_chunk_of_user(must_malloc(1000))), 1008);
    REQUIRE_EQUAL(cell_chunk_size(cell_chunk_of_user(must_malloc(1001))), 1024);
    require_header(must_malloc(1 << 20), 1 << 20);
}

TEST(every_block_has_a_header_without_small_limit)
{
    REQUIRE(cell_option_set("small_limit", 0) == 0);
    for (size_t size = 0; size <= 5000; size++) {
        void *block = must_malloc(size);
        require_header(block, size);
        memset(block, 0xa5, cell_usable_size(block));
        if (size % 3 != 0)
            cell_free(block);
    }
    REQUIRE_EQUAL(stats_now().pool_bytes, 0);
    REQUIRE_SOUND_HEAP();
}

TEST(no_header_below_small_limit)
{
    size_t limit = option_value("small_limit");
    char *previous = must_malloc(limit);

    for (int i = 0; i < 20; i++) {
        char *next = must_malloc(limit);
        if (next > previous && (uintptr_t)next % CELL_PAGE != 0)
            REQUIRE_EQUAL(next - previous, limit);      /* cells lie back to back */
        previous = next;
    }
    REQUIRE_EQUAL(cell_usable_size(previous), limit);
    REQUIRE(stats_now().pool_bytes > 0);
}

/* ---- alignment --------------------------------------------------------------------------------------------------- */

TEST(alignment_of_every_size)
{
    static const size_t large[] = { 65536, 99999, 131071, 131072, 131073, 1000001, 9999999, (size_t)64 << 20 };

    for (size_t size = 0; size <= 5000; size++) {
        char *block = must_malloc(size);
        REQUIRE_EQUAL((uintptr_t)block % _Alignof(max_align_t), 0);
        memset(block, 1, size);
        if (size % 2 == 0)
            cell_free(block);
    }
    for (size_t i = 0; i < COUNT_OF(large); i++) {
        char *block = must_malloc(large[i]);
        REQUIRE_EQUAL((uintptr_t)block % _Alignof(max_align_t), 0);
        block[0] = block[large[i] - 1] = 1;
        block = cell_realloc(block, large[i] + 77777);
        REQUIRE(block != NULL);
        REQUIRE_EQUAL((uintptr_t)block % _Alignof(max_align_t), 0);
        cell_free(block);
    }
    REQUIRE_SOUND_HEAP();
}

TEST(alignment_of_every_alignment)
{
    static const size_t sizes[] = { 0, 1, 16, 17, 40, 64, 65, 100, 500, 511, 512, 513, 2000, 4000, 4096, 5000, 70000, 200000 };

    for (size_t alignment = 1; alignment <= (size_t)4 << 20; alignment *= 2)
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            char *block = cell_aligned_alloc(alignment, sizes[i]);
            REQUIRE(block != NULL);
            REQUIRE_EQUAL((uintptr_t)block & (alignment - 1), 0);
            REQUIRE(cell_usable_size(block) >= sizes[i]);
            if (sizes[i] != 0)
                block[0] = block[sizes[i] - 1] = 1;
            if (i % 3 != 0)
                cell_free(block);
        }
    REQUIRE_SOUND_HEAP();
}

TEST(aligned_request_splits_head_and_tail)
{
    must_malloc(1000);
    struct cell_stats before = stats_now();
    char *block = cell_aligned_alloc(2048, 1000);
    REQUIRE(block != NULL);
    REQUIRE(stats_now().free_bytes > before.free_bytes);        /* what lies before it is free, not lost */
    REQUIRE(cell_usable_size(block) < 1000 + 32);
    cell_free(block);
    REQUIRE_SOUND_HEAP();
}

/* ---- circular doubly linked lists --------------------------------------------------------------------------------- */

/* Frees `count` chunks of `size` bytes, each between guards, in the order of `freed`. */
static void free_chunks_apart(char **freed, size_t count, size_t request)
{
    for (size_t i = 0; i < count; i++) {
        freed[i] = must_malloc(request);
        must_malloc(600);
    }
    for (size_t i = 0; i < count; i++)
        cell_free(freed[i]);
}

static void require_ring(const struct cell_link *head, bool head_counts, char **blocks, size_t count)
{
    const struct cell_link *link = head;
    size_t i = 0;

    if (!head_counts)
        link = head->next;
    for (; i < count; i++) {
        REQUIRE(link->next->prev == link && link->prev->next == link);
        REQUIRE_EQUAL((uintptr_t)link, (uintptr_t)blocks[i]);   /* links lie where the program's bytes were, oldest first */
        link = link->next;
    }
    REQUIRE(link == head);                                      /* and round again */
}

TEST(circular_lists_of_bins)
{
    char *freed[7];

    REQUIRE(cell_option_set("cache_limit", 0) == 0);
    free_chunks_apart(freed, COUNT_OF(freed), 200);
    cell_heap_coalesce(&cell_heap_main);
    require_ring(&cell_heap_main.bins.list[208 / CELL_ALIGN], false, freed, COUNT_OF(freed));

    cell_option_set("cache_limit", 511);
    free_chunks_apart(freed, COUNT_OF(freed), 800);
    cell_heap_coalesce(&cell_heap_main);
    require_ring(&cell_heap_main.bins.list[(800 + 16) / CELL_ALIGN], false, freed, COUNT_OF(freed));
}

TEST(circular_lists_of_fit)
{
    char *freed[7];

    free_chunks_apart(freed, COUNT_OF(freed), 8000);
    const struct cell_chunk *oldest = cell_fit_find(&cell_heap_main.fit, 8000);
    REQUIRE(oldest != NULL);
    REQUIRE_EQUAL((uintptr_t)&oldest->link, (uintptr_t)freed[0]);
    require_ring(&oldest->link, true, freed, COUNT_OF(freed));
}

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hidden_header_word), cmocka_unit_test(every_block_has_a_header_without_small_limit),
        cmocka_unit_test(no_header_below_small_limit), cmocka_unit_test(alignment_of_every_size),
        cmocka_unit_test(alignment_of_every_alignment), cmocka_unit_test(aligned_request_splits_head_and_tail),
        cmocka_unit_test(circular_lists_of_bins), cmocka_unit_test(circular_lists_of_fit),
        cmocka_unit_test(large_takes_the_smallest_that_fits),
        cmocka_unit_test(large_among_equals_takes_the_least_recently_used),
        cmocka_unit_test(every_freed_size_is_found_again), cmocka_unit_test(small_freed_cell_is_the_next_handed_out),
        cmocka_unit_test(small_needs_no_search_split_or_merge), cmocka_unit_test(empty_pools_return_and_coalesce),
        cmocka_unit_test(in_between_is_cached_and_given_back_the_same),
        cmocka_unit_test(very_large_is_mapped_and_given_back), cmocka_unit_test(very_large_grows_with_mremap),
        cmocka_unit_test(splitting_makes_the_remainder_a_free_chunk),
        cmocka_unit_test(realloc_splits_and_grows_in_place), cmocka_unit_test(coalescing_with_the_previous),
        cmocka_unit_test(coalescing_with_the_next), cmocka_unit_test(coalescing_on_both_sides),
        cmocka_unit_test(coalescing_on_both_sides_too), cmocka_unit_test(coalescing_with_the_top),
        cmocka_unit_test(deferred_coalescing_ends_before_the_heap_grows),
        cmocka_unit_test(preallocation_carves_several_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
