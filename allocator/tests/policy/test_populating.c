/* test_populating.c - how much of a block is brought in before it is asked for, of a mapped one what blocks before it have proved to use;
 * and that others do not wait for it. Linked with --wrap=madvise. */
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "can_populate.h"
#include "heap.h"
#include "resident.h"
#include "segment.h"
#include "support.h"

#define MIB   ((size_t)1 << 20)
#define BATCH 64        /* pages */

static size_t resident_pages(const char *from, size_t size)
{
    return resident_bytes(from, size) / CELL_PAGE;
}

/* Each block is mapped anew, and by small pages, which are what is counted. */
static void keep_no_mapping(void)
{
    REQUIRE(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
    if (!can_populate())
        skip_test();
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

/* Pages that were asked for by calls, while the heap's lock was held and while it was not. */
static size_t with_lock, without_lock;
static bool refused;        /* ... and in vain */

int __real_madvise(void *start, size_t size, int advice);
int __wrap_madvise(void *start, size_t size, int advice);
int __wrap_madvise(void *start, size_t size, int advice)
{
    if (advice == MADV_POPULATE_WRITE)
        *(cell_heap_main.lock.state != 0 ? &with_lock : &without_lock) += size / CELL_PAGE;
    return advice == MADV_POPULATE_WRITE && refused ? -1 : __real_madvise(start, size, advice);
}

/* Two blocks, one that grows in place, and a row of smaller ones: what memory they lie in is fresh. */
static void *use_fresh_memory(void *unused)
{
    size_t size = 12 * CELL_PAGE;
    char *block = must_malloc(size), *above = must_malloc(size);

    REQUIRE(refused || (resident_pages(block, size) >= size / CELL_PAGE - 1 && resident_pages(above, size) >= size / CELL_PAGE - 1));
    char *grown = cell_realloc(above, 2 * size - CELL_PAGE);
    REQUIRE(grown == above && (refused || resident_pages(grown, 2 * size - CELL_PAGE) >= 2 * size / CELL_PAGE - 2));
    for (int i = 0; i < 10; i++)
        memset(must_malloc(5 * CELL_PAGE), 1, 5 * CELL_PAGE);
    for (size_t i = 0; i < size; i++)
        REQUIRE(block[i] == 0 || i < 2 * CELL_WORD);
    return unused;
}

static void count_pages(void)
{
    if (!can_populate())
        skip_test();
    cell_free(must_malloc(1));
    with_lock = without_lock = 0;
}

static void use_in_another_thread(void)
{
    pthread_t thread;

    REQUIRE(pthread_create(&thread, NULL, use_fresh_memory, NULL) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    REQUIRE(cell_heap_main.postponed == NULL);
    REQUIRE_SOUND_HEAP();
}

TEST(where_threads_wait_a_large_block_comes_in_without_the_lock)
{
    count_pages();
    cell_heap_main.lock.waits = 1000;
    use_in_another_thread();
    REQUIRE(without_lock >= 80 && with_lock <= 2);
}

/* ... and with the pages after it, which the next call may use. */
TEST(where_none_waits_it_comes_in_with_the_lock)
{
    count_pages();
    use_in_another_thread();
    REQUIRE(with_lock >= 80 && without_lock == 0);
}

TEST(where_they_waited_long_ago_too)
{
    count_pages();
    cell_heap_main.lock.waits = 1000;
    cell_heap_main.waits_from -= 1 << 20;
    use_in_another_thread();
    REQUIRE(with_lock >= 80 && without_lock == 0);
}

TEST(without_the_lock_it_may_fail)
{
    count_pages();
    cell_heap_main.lock.waits = 1000;
    refused = true;
    use_in_another_thread();
    REQUIRE(without_lock >= 80);
}

/* That may be so from the beginning. */
TEST(nothing_is_left_to_it_that_has_never_worked)
{
    if (!can_populate())
        skip_test();
    refused = true;
    with_lock = without_lock = 0;
    cell_heap_main.lock.waits = 1000;
    use_in_another_thread();
    REQUIRE(stats_now().populates == 0 && with_lock != 0 && without_lock == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(where_threads_wait_a_large_block_comes_in_without_the_lock),
        cmocka_unit_test(where_none_waits_it_comes_in_with_the_lock), cmocka_unit_test(where_they_waited_long_ago_too),
        cmocka_unit_test(without_the_lock_it_may_fail), cmocka_unit_test(nothing_is_left_to_it_that_has_never_worked),
        cmocka_unit_test(of_the_first_large_block_a_batch), cmocka_unit_test(of_those_that_follow_as_much_as_has_been_used),
        cmocka_unit_test(little_once_one_was_hardly_used), cmocka_unit_test(of_what_a_block_grows_by_a_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
