/* test_mapping.c - which large blocks move into the heap, and what of mappings that are hardly used has memory. */
#include <sys/prctl.h>

#include "heap.h"
#include "os.h"
#include "resident.h"
#include "support.h"

/* What is resident is what has been written to. */
static void use_small_pages(void)
{
    REQUIRE(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0);
}

/* Large blocks of any size come and go, and of each `used` bytes are written. Returns how much of what is live is mapped, in percent. */
static size_t mapped_share(size_t used)
{
    static void *slot[100];
    static size_t held[100];
    uint64_t state = 23;
    size_t live = 0;

    for (int i = 0; i < 5000; i++) {
        size_t at = random_from(&state) % COUNT_OF(slot), size = 50000 + random_from(&state) % 250000;
        cell_free(slot[at]);
        live += size - held[at];
        held[at] = size;
        slot[at] = must_malloc(size);
        memset(slot[at], 1, used < size ? used : size);
    }
    return 100 * stats_now().mapped_bytes / live;
}

TEST(large_blocks_that_are_used_move_into_the_heap)
{
    REQUIRE(mapped_share(SIZE_MAX) < 50);
}

/* There, pages of theirs that nobody writes to would count as used and come in with their neighbours. */
TEST(large_blocks_that_are_hardly_used_do_not)
{
    REQUIRE(mapped_share(1) > 80);
}

/* Three blocks of 300,000 bytes to `most` in a heap of nothing else, one replaced after the other, and of each `used` bytes are written. */
static void replace_large_blocks(size_t most, size_t used)
{
    static void *slot[3];
    uint64_t state = 7;

    for (int i = 0; i < 600; i++) {
        size_t size = 300000 + random_from(&state) % (most - 300000);
        cell_free(slot[i % 3]);
        slot[i % 3] = must_malloc(size);
        memset(slot[i % 3], 1, used < size ? used : size);
    }
}

static uint64_t calls(void)
{
    return stats_now().maps + stats_now().remaps + stats_now().unmaps;
}

/* None of which is small against the heap; but what may be kept as mappings does not serve them. */
TEST(blocks_that_are_mapped_again_and_again_move_into_the_heap)
{
    replace_large_blocks(2000000, SIZE_MAX);
    uint64_t before = calls();
    replace_large_blocks(2000000, SIZE_MAX);
    REQUIRE(calls() <= before + 12);
    REQUIRE_SOUND_HEAP();
}

TEST(those_that_are_hardly_used_stay_mapped)
{
    use_small_pages();
    replace_large_blocks(2000000, 1);
    size_t mapped = stats_now().mapped_bytes;
    void *block = must_malloc(1200000);
    REQUIRE(stats_now().mapped_bytes >= mapped + 1200000);
    cell_free(block);
}

/* Three of up to 1 MiB come to little even if all of them came in. */
TEST(few_small_ones_do_although_they_are_hardly_used)
{
    use_small_pages();
    for (int i = 0; i < 4; i++)
        replace_large_blocks(900000, 1);
    REQUIRE(stats_now().mapped_bytes < 1000000);
}

static size_t address_space(void)
{
    FILE *statm = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;

    REQUIRE(statm != NULL && fscanf(statm, "%lu", &pages) == 1);
    fclose(statm);
    return pages * cell_os_page_size();
}

/* Three blocks of 2 to 62 MiB, which are hardly used but for their first tenth. Returns how much of them has memory at last, in percent. */
static size_t resident_share(bool cleared)
{
    static char *slot[3];
    static size_t held[3];
    uint64_t state = 3;
    size_t live = 0, resident = 0, before = address_space();

    use_small_pages();
    for (int i = 0; i < 1000; i++) {
        size_t at = random_from(&state) % COUNT_OF(slot), size = ((size_t)2 << 20) + random_from(&state) % ((size_t)60 << 20);
        if (held[at] != 0)
            memset(slot[at] + held[at] - 100, 1, 100);      /* for the next to read as zero */
        cell_free_sized(slot[at], held[at]);
        live += size - held[at];
        held[at] = size;
        slot[at] = cleared ? cell_calloc(1, size) : must_malloc(size);
        REQUIRE(slot[at] != NULL && (!cleared || (slot[at][0] == 0 && slot[at][size - 50] == 0)));
        REQUIRE(cell_usable_size(slot[at]) <= size + size / 4 + 2 * cell_os_page_size());
        for (size_t used = 0; used < size / 10; used += CELL_PAGE)
            slot[at][used] = 1;
    }
    REQUIRE(stats_now().map_reuses > 100);
    REQUIRE(address_space() <= before + 4 * live);      /* kept mappings included; what was cut off has gone */
    for (size_t i = 0; i < COUNT_OF(slot); i++)
        resident += resident_bytes(slot[i], held[i]);
    return 100 * resident / live;
}

/* A mapping that served blocks of many sizes, at many places of it, would be resident all over. */
TEST(what_hardly_used_blocks_leave_does_not_add_up)
{
    REQUIRE(resident_share(false) < 30);
}

TEST(nor_does_clearing_bring_them_in)
{
    REQUIRE(resident_share(true) < 25);
}

/* Six blocks of 4 MiB, of each of which `used` bytes are written. */
static void use_six(size_t used)
{
    void *block[6];

    for (size_t i = 0; i < COUNT_OF(block); i++)
        memset(block[i] = must_malloc((size_t)4 << 20), 1, used);
    for (size_t i = 0; i < COUNT_OF(block); i++)
        cell_free(block[i]);
}

/* Of such, parts that meet are of use again. */
TEST(half_used_is_not_hardly_used)
{
    use_small_pages();
    use_six(400000);
    REQUIRE(cell_mapcache_is_sparse(&cell_heap_main.map_cache));
    use_six(1600000);
    REQUIRE(!cell_mapcache_is_sparse(&cell_heap_main.map_cache));
}

/* One that kept mappings serve, each grown a little, tells it by what it has grown by alone. */
TEST(a_block_used_whole_is_proof_wherever_it_lies)
{
    use_small_pages();
    for (int i = 0; i < 4; i++)
        use_six(400000);
    REQUIRE(cell_mapcache_is_sparse(&cell_heap_main.map_cache));
    uint64_t maps = stats_now().maps;
    for (size_t size = (size_t)5 << 20; size <= (size_t)8 << 20; size += (size_t)1 << 20) {
        void *block = must_malloc(size);
        memset(block, 1, size);
        cell_free(block);
    }
    REQUIRE(stats_now().maps == maps && !cell_mapcache_is_sparse(&cell_heap_main.map_cache));
}

TEST(nothing_moves_where_no_mapping_is_to_be_kept)
{
    REQUIRE(cell_option_set("map_cache_share", 0) == 0);
    replace_large_blocks(2000000, SIZE_MAX);
    REQUIRE(stats_now().mapped_bytes >= 3 * 300000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(large_blocks_that_are_used_move_into_the_heap),
        cmocka_unit_test(large_blocks_that_are_hardly_used_do_not),
        cmocka_unit_test(blocks_that_are_mapped_again_and_again_move_into_the_heap),
        cmocka_unit_test(those_that_are_hardly_used_stay_mapped),
        cmocka_unit_test(few_small_ones_do_although_they_are_hardly_used),
        cmocka_unit_test(what_hardly_used_blocks_leave_does_not_add_up),
        cmocka_unit_test(nor_does_clearing_bring_them_in),
        cmocka_unit_test(half_used_is_not_hardly_used),
        cmocka_unit_test(a_block_used_whole_is_proof_wherever_it_lies),
        cmocka_unit_test(nothing_moves_where_no_mapping_is_to_be_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
