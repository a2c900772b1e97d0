/* test_resizing_in_need.c - realloc where memory is used up: what shrinks stays, what grows asks the limit. */
#include "second_thread.h"

#define MIB ((size_t)1 << 20)

/* Between threads realloc moves small blocks; where there is no memory for that, a block that shrinks stays. */
TEST(a_block_shrinks_under_a_limit)
{
    start_and_end_a_thread();
    char *block = must_malloc(30000);
    memset(block, 7, 30000);
    cell_option_set("footprint_limit", stats_now().footprint_bytes);
    while (cell_malloc(600) != NULL)
        continue;
    REQUIRE(cell_realloc(block, 600) == block);
    REQUIRE(block[0] == 7 && block[599] == 7);
    REQUIRE(cell_malloc(20000) != NULL);            /* what was cut off serves others */
    REQUIRE_SOUND_HEAP();
}

/* Whatever it is, and whatever would serve the smaller size: a cell, a chunk or a mapping. */
static const struct { size_t from, to; } shrinking[] = {
    { 1000, 100 }, { 240, 100 }, { 120, 16 }, { 100000, 100 }, { 100000, 20000 }, { MIB, 300000 }, { MIB, 20000 }, { MIB, 100 },
};

static void shrink_them_all(void)
{
    unsigned char *block[COUNT_OF(shrinking)];

    for (size_t i = 0; i < COUNT_OF(shrinking); i++)
        memset(block[i] = must_malloc(shrinking[i].from), (int)i + 1, shrinking[i].from);
    cell_option_set("footprint_limit", stats_now().footprint_bytes);
    for (size_t i = 0; i < COUNT_OF(shrinking); i++) {
        for (size_t size = MIB; size != 0; size /= 2)       /* also what the last one has given back */
            while (cell_malloc(size) != NULL)
                continue;
        block[i] = cell_realloc(block[i], shrinking[i].to);
        REQUIRE(block[i] != NULL && block[i][0] == i + 1 && block[i][shrinking[i].to - 1] == i + 1);
        REQUIRE(cell_realloc(block[i], 16 * MIB) == NULL);
    }
    REQUIRE_SOUND_HEAP();
    for (size_t i = 0; i < COUNT_OF(shrinking); i++)
        cell_free_sized(block[i], shrinking[i].to);
    REQUIRE(cell_malloc(60000) != NULL);
    REQUIRE_SOUND_HEAP();
}

TEST(blocks_shrink_where_there_is_no_memory) { shrink_them_all(); }

TEST(so_they_do_when_hardened)
{
    cell_option_set("harden", 2);
    shrink_them_all();
}

TEST(so_they_do_in_a_full_heap_of_their_own)
{
    struct cell_heap *heap = cell_heap_create(MIB);
    unsigned char *block[COUNT_OF(shrinking)];

    REQUIRE(heap != NULL);
    for (size_t i = 0; i < 5; i++) {
        REQUIRE((block[i] = cell_heap_malloc(heap, shrinking[i].from)) != NULL);
        memset(block[i], (int)i + 1, shrinking[i].from);
    }
    for (size_t i = 0; i < 5; i++) {
        for (size_t size = MIB; size != 0; size /= 2)
            while (cell_heap_malloc(heap, size) != NULL)
                continue;
        block[i] = cell_heap_realloc(heap, block[i], shrinking[i].to);
        REQUIRE(block[i] != NULL && block[i][0] == i + 1 && block[i][shrinking[i].to - 1] == i + 1);
    }
    REQUIRE(cell_heap_check(heap, NULL) == 0);
}

/* What lies free behind a block may have no memory: bringing it in is growth. */
TEST(a_block_does_not_grow_beyond_a_limit)
{
    cell_option_set("mmap_threshold", (size_t)1 << 40);
    void *block = must_malloc(8192), *behind = must_malloc(16 * MIB);

    must_malloc(100);
    memset(behind, 1, 16 * MIB);
    cell_free(behind);
    cell_trim(0);
    cell_option_set("footprint_limit", 4 * MIB);
    REQUIRE(cell_realloc_in_place(block, 15 * MIB) == NULL);
    REQUIRE(cell_realloc(block, 15 * MIB) == NULL);
    REQUIRE(cell_realloc_in_place(block, 2 * MIB) == block);
    REQUIRE(stats_now().footprint_bytes <= 4 * MIB);
    REQUIRE_SOUND_HEAP();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_block_shrinks_under_a_limit), cmocka_unit_test(blocks_shrink_where_there_is_no_memory),
        cmocka_unit_test(so_they_do_when_hardened), cmocka_unit_test(so_they_do_in_a_full_heap_of_their_own),
        cmocka_unit_test(a_block_does_not_grow_beyond_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
