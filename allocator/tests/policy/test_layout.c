/* test_layout.c - properties of where blocks lie: the header word, alignment, the circular lists of free chunks. */
#include "heap.h"
#include "support.h"

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
    size_t above_cells = option_value("small_limit") + 1;
    void *block[600];

    for (size_t i = 0; i < COUNT_OF(block); i++)
        require_header(block[i] = must_malloc(above_cells + i * 37), above_cells + i * 37);
    for (size_t i = 0; i < COUNT_OF(block); i++)
        require_header(block[i], above_cells + i * 37);         /* neighbours leave it alone */
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

TEST(no_header_there_without_caches_either)
{
    REQUIRE(cell_option_set("cache_limit", 0) == 0);
    for (size_t size = 1; size <= option_value("small_limit"); size++) {
        REQUIRE_EQUAL(cell_usable_size(must_malloc(size)), (size + 15) / 16 * 16);
        REQUIRE_EQUAL(cell_usable_size(cell_calloc(1, size)), (size + 15) / 16 * 16);
    }
    REQUIRE(stats_now().pool_bytes > 0);
    REQUIRE_SOUND_HEAP();
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

/* A class with many pools takes several pages at a time, but breaks no large place up while a small one has a page. */
TEST(pools_fill_the_smallest_place_first)
{
    enum { SIZE = 128, CLASS = SIZE / 16, SMALL = 4 * 4096, LARGE = 20 * 4096 };
    const uint32_t *pages = &cell_heap_main.pools.pages[CLASS];

    void *small = must_malloc(SMALL);
    must_malloc(600);
    void *large = must_malloc(LARGE);
    must_malloc(600);
    while (*pages < 100)
        must_malloc(SIZE);
    uint32_t before = *pages;
    cell_free(small);
    cell_free(large);
    while (*pages == before)
        must_malloc(SIZE);
    REQUIRE(cell_heap_main.segment.kind[cell_segment_page_of(&cell_heap_main.segment, small) + 1] == SIZE);
    REQUIRE(must_malloc(LARGE) == large);
    REQUIRE_SOUND_HEAP();
}

/* Whether a pool has room in a free chunk whose user address and usable bytes these are. */
static bool holds_a_page(const char *user, size_t usable)
{
    const char *page = (const char *)(((uintptr_t)user + CELL_PAGE - 1) & ~(uintptr_t)(CELL_PAGE - 1));

    if (page != user && page - user < (ptrdiff_t)CELL_CHUNK_MIN)
        page += CELL_PAGE;
    return page + CELL_PAGE - CELL_WORD <= user + usable;
}

/* Of free chunks between one page and two in size, some hold a page, as they happen to lie. Returns the share, in percent, of these that
 * have become pools when the heap grows. */
static uint32_t share_filled(size_t least, size_t step)
{
    enum { PLACES = 60, SIZE = 128, CLASS = SIZE / 16 };
    char *place[PLACES];
    uint32_t hold = 0, *pages = &cell_heap_main.pools.pages[CLASS];

    REQUIRE(cell_option_set("recurring_limit", 0) == 0);
    for (size_t i = 0; i < PLACES; i++) {
        place[i] = must_malloc(least + i * step);
        must_malloc(600);
    }
    while (*pages == 0 || cell_heap_main.pools.free_bytes >= SIZE)
        must_malloc(SIZE);
    for (size_t i = 0; i < PLACES; i++) {
        hold += holds_a_page(place[i], cell_usable_size(place[i]));
        cell_free(place[i]);
    }
    REQUIRE(hold > PLACES / 8 && hold < PLACES);                /* the test means something */
    const void *top = cell_heap_main.top;
    uint32_t before = *pages, filled = 0;
    for (; cell_heap_main.top == top; filled = *pages - before)
        must_malloc(SIZE);
    REQUIRE_SOUND_HEAP();
    return 100 * filled / hold;
}

TEST(pools_find_the_equal_places_that_hold_a_page) { REQUIRE(share_filled(7912, 0) >= 100); }
TEST(pools_find_some_of_many_small_places)         { REQUIRE(share_filled(5000, 0) >= 20); }
TEST(pools_find_most_places_that_hold_a_page)      { REQUIRE(share_filled(4200, 64) >= 50); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hidden_header_word), cmocka_unit_test(every_block_has_a_header_without_small_limit),
        cmocka_unit_test(no_header_below_small_limit), cmocka_unit_test(no_header_there_without_caches_either), cmocka_unit_test(alignment_of_every_size),
        cmocka_unit_test(pools_fill_the_smallest_place_first),
        cmocka_unit_test(pools_find_the_equal_places_that_hold_a_page), cmocka_unit_test(pools_find_most_places_that_hold_a_page),
        cmocka_unit_test(pools_find_some_of_many_small_places),
        cmocka_unit_test(alignment_of_every_alignment), cmocka_unit_test(aligned_request_splits_head_and_tail),
        cmocka_unit_test(circular_lists_of_bins), cmocka_unit_test(circular_lists_of_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
