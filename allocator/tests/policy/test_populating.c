/* test_populating.c - how much of a mapped block is brought in before it is asked for: what blocks before it have proved to use. */
#include <sys/mman.h>

#include "can_populate.h"
#include "segment.h"
#include "support.h"

#define MIB   ((size_t)1 << 20)
#define BATCH 64        /* pages */

static size_t resident_pages(const char *from, size_t size)
{
    static unsigned char present[16 * MIB / CELL_PAGE];
    uintptr_t begin = (uintptr_t)from & ~(CELL_PAGE - 1), end = (uintptr_t)(from + size) & ~(CELL_PAGE - 1);
    size_t pages = (end - begin) / CELL_PAGE, resident = 0;

    REQUIRE(pages <= COUNT_OF(present) && mincore((void *)begin, end - begin, present) == 0);
    for (size_t i = 0; i < pages; i++)
        resident += present[i] & 1;
    return resident;
}

/* Each block is mapped anew. */
static void keep_no_mapping(void)
{
    if (!can_populate())
        skip();
    REQUIRE(cell_option_set("map_cache_share", 0) == 0 && cell_option_set("mmap_dynamic", 0) == 0);
}

static void use_and_free(size_t size, size_t used)
{
    char *block = must_malloc(size);

    memset(block, 1, used);
    cell_free(block);
}

TEST(of_the_first_large_block_a_batch)
{
    keep_no_mapping();
    REQUIRE(resident_pages(must_malloc(4 * MIB), 4 * MIB) <= BATCH);
}

TEST(of_those_that_follow_as_much_as_has_been_used)
{
    keep_no_mapping();
    use_and_free(2 * MIB, 2 * MIB);
    size_t pages = resident_pages(must_malloc(2 * MIB), 2 * MIB);
    REQUIRE(pages >= 2 * MIB / CELL_PAGE * 3 / 4 && pages < 2 * MIB / CELL_PAGE);   /* the rest tells whether that is still so */
    REQUIRE(resident_pages(must_malloc(8 * MIB), 8 * MIB) <= 2 * MIB / CELL_PAGE + 1);
}

TEST(little_once_one_was_hardly_used)
{
    keep_no_mapping();
    use_and_free(2 * MIB, 2 * MIB);
    use_and_free(2 * MIB, 2 * MIB);
    use_and_free(8 * MIB, 1);
    REQUIRE(resident_pages(must_malloc(2 * MIB), 2 * MIB) <= BATCH);
}

/* The last time that a vector doubles, most of it may stay empty. */
TEST(of_what_a_block_grows_by_a_batch)
{
    keep_no_mapping();
    use_and_free(8 * MIB, 8 * MIB);
    char *block = must_malloc(2 * MIB);
    memset(block, 1, 2 * MIB);
    block = cell_realloc(block, 4 * MIB);
    REQUIRE(block != NULL);
    size_t fresh = resident_pages(block + 2 * MIB, 2 * MIB);
    REQUIRE(fresh >= 2 && fresh <= BATCH + 1);         /* the first was in use before, in part */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_the_first_large_block_a_batch), cmocka_unit_test(of_those_that_follow_as_much_as_has_been_used),
        cmocka_unit_test(little_once_one_was_hardly_used), cmocka_unit_test(of_what_a_block_grows_by_a_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
