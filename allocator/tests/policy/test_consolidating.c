/* test_consolidating.c - what caches hold goes back before the heap grows for a large request, as far as it is of use to it. */
#include "support.h"
#include "tcache.h"

/* Bytes that the cache holds of blocks that a large request may take; the heap has not grown since it last did. */
static size_t hold_some(size_t count)
{
    void *block[64];

    REQUIRE(count <= COUNT_OF(block));
    cell_tcache_flush();
    for (size_t i = 0; i < count; i++)
        block[i] = must_malloc(400);
    for (size_t i = 0; i < count; i++)
        cell_free(block[i]);
    cell_tcache_mine->consolidated_at = cell_heap_main.segment.brought_in;
    REQUIRE(cell_tcache_bytes(cell_tcache_mine) >= 400);
    return cell_tcache_bytes(cell_tcache_mine);
}

/* Large requests until the heap has grown or what the cache holds is less. */
static void need(size_t request)
{
    uint64_t brought_in = cell_heap_main.segment.brought_in;
    size_t held = cell_tcache_bytes(cell_tcache_mine);

    while (cell_heap_main.segment.brought_in == brought_in && cell_tcache_bytes(cell_tcache_mine) == held)
        must_malloc(request);
}

/* A large request gets what could make a place for it; in a heap that has long stayed as it is only once it has grown. */
TEST(in_a_steady_heap_it_does_not_get_it_again_and_again)
{
    size_t held = hold_some(64);

    need(12000);
    REQUIRE(cell_tcache_bytes(cell_tcache_mine) < held);
    held = hold_some(64);
    cell_tcache_mine->patience = 1;
    need(12000);
    REQUIRE_EQUAL(cell_tcache_bytes(cell_tcache_mine), held);
    need(12000);
    REQUIRE(cell_tcache_bytes(cell_tcache_mine) < held);
    REQUIRE_SOUND_HEAP();
}

/* Nothing of what could not: too little in all, or in blocks too small. */
TEST(a_large_request_leaves_what_is_of_no_use_to_it)
{
    size_t held = hold_some(16);

    REQUIRE(held < 10000);
    need(12000);
    REQUIRE_EQUAL(cell_tcache_bytes(cell_tcache_mine), held);
    need(held / 2);
    REQUIRE(cell_tcache_bytes(cell_tcache_mine) < held);

    held = hold_some(64);
    need(33 * cell_size_of_chunk(400));
    REQUIRE_EQUAL(cell_tcache_bytes(cell_tcache_mine), held);
    cell_free(must_malloc(200));
    need(31 * cell_size_of_chunk(400));
    REQUIRE(cell_tcache_bytes(cell_tcache_mine) < held);
    REQUIRE(cell_tcache_bin(cell_tcache_mine, cell_size_of_chunk(200))->head != NULL);
    REQUIRE_SOUND_HEAP();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_a_steady_heap_it_does_not_get_it_again_and_again),
        cmocka_unit_test(a_large_request_leaves_what_is_of_no_use_to_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
