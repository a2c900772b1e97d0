/* test_hugepage.c - huge pages are asked for as long as they take no longer than small ones, and tried again now and then.
 * Linked with --wrap=madvise. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "can_populate.h"
#include "heap.h"
#include "hugepage.h"
#include "resident.h"
#include "segment.h"
#include "support.h"
#include "tunables.h"

#define UNIT CELL_HUGE_PAGE

static struct cell_segment seg;

/* An account of a system that gives huge pages, on which small ones take 1000 ns a unit. */
static struct cell_huge_account account_of_1000(void)
{
    struct cell_huge_account account = { .known = true, .available = true };

    cell_huge_took(&account, 1000);
    REQUIRE(account.small_ns == 1000 && account.balance_ns == 0);
    return account;
}

TEST(the_first_is_measured_in_small_pages)
{
    struct cell_huge_account account = account_of_1000();

    REQUIRE(cell_huge_pays(&account));
    cell_huge_took(&account, 1000);
    REQUIRE(cell_huge_pays(&account));
    cell_huge_took(&account, 1001);
    REQUIRE(!cell_huge_pays(&account));
}

TEST(gains_make_up_for_a_loss_but_not_for_ever)
{
    struct cell_huge_account account = account_of_1000();

    for (int i = 0; i < 4; i++)
        cell_huge_took(&account, 250);
    cell_huge_took(&account, 4000);
    REQUIRE(cell_huge_pays(&account));
    cell_huge_took(&account, 1001);
    REQUIRE(!cell_huge_pays(&account));

    account = account_of_1000();
    for (int i = 0; i < 1000; i++)
        cell_huge_took(&account, 250);
    cell_huge_took(&account, 9000);
    REQUIRE(cell_huge_pays(&account));
    cell_huge_took(&account, 1001);
    REQUIRE(!cell_huge_pays(&account));
}

TEST(it_is_tried_again_for_an_eighth_of_the_time_of_small_pages)
{
    struct cell_huge_account account = account_of_1000();

    cell_huge_took(&account, 6000);
    cell_huge_went_without(&account, 39 * UNIT);
    REQUIRE(!cell_huge_pays(&account));
    cell_huge_went_without(&account, UNIT - 1);
    REQUIRE(!cell_huge_pays(&account));
    cell_huge_went_without(&account, UNIT);
    REQUIRE(cell_huge_pays(&account));
    for (int i = 0; i < 2; i++) {                       /* doing without is no gain */
        cell_huge_took(&account, 1001);
        REQUIRE(!cell_huge_pays(&account));
        cell_huge_went_without(&account, 1000 * UNIT);
    }
}

TEST(huge_cost_is_the_measure)
{
    struct cell_huge_account account = account_of_1000();

    REQUIRE(cell_option_set("huge_cost", 300) == 0);
    cell_huge_took(&account, 3000);
    REQUIRE(cell_huge_pays(&account));
    cell_huge_took(&account, 3001);
    REQUIRE(!cell_huge_pays(&account));
    REQUIRE(cell_option_set("huge_cost", 0) == 0);
    REQUIRE(cell_huge_pays(&account));
    REQUIRE(cell_option_set("huge_min", 0) == 0);
    REQUIRE(!cell_huge_pays(&account));
}

/* The advice on huge pages that was the last before pages were brought in. */
static int last_advice, came_in_under;
static void *came_in_unadvised;                         /* what was brought in last without any */

int __real_madvise(void *start, size_t size, int advice);
int __wrap_madvise(void *start, size_t size, int advice);
int __wrap_madvise(void *start, size_t size, int advice)
{
    if (advice == MADV_HUGEPAGE || advice == MADV_NOHUGEPAGE)
        last_advice = advice;
    else if (advice == MADV_POPULATE_WRITE)
        came_in_under = last_advice;
    if (advice == MADV_POPULATE_WRITE && last_advice == 0)
        came_in_unadvised = start;
    return __real_madvise(start, size, advice);
}

/* Whether a flag of the mapping is set at an address: hg, huge pages were asked for, or nh, were declined. */
static bool is_flagged(const void *address, const char *flag)
{
    FILE *smaps = fopen("/proc/self/smaps", "r");
    char line[512];
    unsigned long long from, to;
    bool within = false, flagged = false;

    REQUIRE(smaps != NULL);
    while (fgets(line, sizeof line, smaps) != NULL)
        if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
            within = from <= (uintptr_t)address && (uintptr_t)address < to;
        else if (within && strncmp(line, "VmFlags:", 8) == 0)
            flagged = strstr(line, flag) != NULL;
    fclose(smaps);
    return flagged;
}

static bool is_asked_for(const void *address)
{
    return is_flagged(address, " hg");
}

TEST(what_is_brought_in_is_there)
{
    struct cell_huge_account account = { .small_ns = 0 };
    char *map = mmap(NULL, 4 * UNIT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *start = (char *)(((uintptr_t)map + UNIT - 1) & ~(uintptr_t)(UNIT - 1));

    if (!can_populate())
        skip_test();
    REQUIRE(map != MAP_FAILED);
    for (int i = 0; i < 3; i++) {
        if (i == 2)                                     /* whatever they take */
            REQUIRE(cell_option_set("huge_cost", 0) == 0);
        long balance = account.balance_ns;
        REQUIRE(cell_huge_bring_in(&account, start + i * UNIT));
        REQUIRE_EQUAL(resident_bytes(start, 3 * UNIT), (i + 1) * UNIT);
        REQUIRE(account.small_ns > 0 && (i == 1 || account.balance_ns == balance));
        REQUIRE(!cell_os_huge_available() || is_asked_for(start + i * UNIT));
        REQUIRE(came_in_under == (i == 0 ? MADV_NOHUGEPAGE : MADV_HUGEPAGE));
    }
}

TEST(it_is_left_to_the_first_touch_where_it_cannot_be_brought_in)
{
    struct cell_huge_account account = { .small_ns = 0 };
    char *map = mmap(NULL, 2 * UNIT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *start = (char *)(((uintptr_t)map + UNIT - 1) & ~(uintptr_t)(UNIT - 1));

    REQUIRE(map != MAP_FAILED && cell_option_set("populate_share", 0) == 0);
    REQUIRE(!cell_huge_bring_in(&account, start));
    REQUIRE(account.small_ns == 0 && resident_bytes(start, UNIT) == 0);
    REQUIRE(!cell_os_huge_available() || is_asked_for(start));
}

#define SLOW (100 * 1000 * 1000)                        /* ns for a unit in small pages: whatever a huge page takes is less */

/* A segment that asks for huge pages early. False: the system gives none, or does not bring pages in. */
static bool begin(long small_ns)
{
    REQUIRE(cell_option_set("huge_min", 2 * UNIT) == 0);
    REQUIRE(cell_segment_init(&seg, 0));
    seg.huge.small_ns = small_ns;
    return can_populate() && cell_os_huge_available();
}

static void touch(size_t from, size_t size)
{
    while (seg.committed < from + size)
        REQUIRE(cell_segment_grow(&seg, CELL_PAGE));
    cell_segment_touch(&seg, seg.base + from, seg.base + from + size, NULL);
    memset(seg.base + from, 1, size);
}

/* No huge page comes in a nanosecond: the heap grows by small pages, and none is counted that is not there. */
TEST(a_heap_goes_on_with_small_pages)
{
    if (!begin(1))
        skip_test();
    for (size_t at = 0; at < 32 * UNIT; at += UNIT / 8)
        touch(at, UNIT / 8);
    REQUIRE(seg.huge.balance_ns < 0 && seg.huge_from == SIZE_MAX);
    for (size_t at = 0; at < seg.committed; at += UNIT)
        REQUIRE(!is_asked_for(seg.base + at));
    REQUIRE_EQUAL(seg.resident * CELL_PAGE, resident_bytes(seg.base, seg.committed));

    seg.huge.balance_ns = 0;                            /* from here on they pay */
    REQUIRE(cell_option_set("huge_cost", 0) == 0);
    size_t before = seg.committed;
    touch(before, UNIT);
    REQUIRE(seg.huge_from == before && is_asked_for(seg.base + before) && !is_asked_for(seg.base + before - UNIT));
    cell_segment_destroy(&seg);
}

/* Growth without them is what pays for the next trial. */
TEST(growth_by_small_pages_is_paid_in)
{
    if (!begin(1000 * 1000))
        skip_test();
    seg.huge.balance_ns = -6 * 1000 * 1000;
    for (size_t at = 0; at < 32 * UNIT; at += UNIT)
        touch(at, UNIT);
    REQUIRE(seg.huge.balance_ns < 0 && seg.huge_from == SIZE_MAX);
    while (seg.huge.balance_ns < 0)
        REQUIRE(cell_segment_grow(&seg, UNIT));
    REQUIRE(seg.committed <= 100 * UNIT && is_flagged(seg.base + seg.committed - UNIT, " nh"));
    REQUIRE(cell_segment_grow(&seg, UNIT));
    REQUIRE(seg.huge_from != SIZE_MAX);
    cell_segment_destroy(&seg);
}

/* A heap whose first growth is beyond any size, as by a large alignment, is none that huge pages fill. */
TEST(what_is_skipped_is_declined)
{
    if (!begin(SLOW))
        skip_test();
    seg.huge.known = seg.huge.available = false;
    REQUIRE(cell_segment_grow(&seg, 64 * UNIT));
    REQUIRE(seg.huge_from == SIZE_MAX && is_flagged(seg.base + 63 * UNIT, " nh"));
    cell_segment_destroy(&seg);
}

TEST(only_what_has_no_memory_is_measured)
{
    if (!begin(SLOW))
        skip_test();
    for (size_t at = 0; at < 4 * UNIT; at += UNIT)
        touch(at, UNIT);
    long balance = seg.huge.balance_ns;
    REQUIRE(balance > 0 && seg.huge_from < 3 * UNIT);
    cell_segment_purge(&seg, seg.base + 3 * UNIT, seg.base + 3 * UNIT + UNIT / 2);
    touch(3 * UNIT, UNIT / 4);
    REQUIRE_EQUAL(seg.huge.balance_ns, balance);
    cell_segment_destroy(&seg);
}

/* What nobody may ever touch stays without memory, and where threads have been waiting the lock is not held meanwhile. */
TEST(a_large_block_is_left_to_its_first_touch)
{
    struct cell_postponed postponed = { NULL, 0 };

    if (!begin(SLOW))
        skip_test();
    for (size_t at = 0; at < 4 * UNIT; at += UNIT)
        touch(at, UNIT);
    while (seg.committed < 64 * UNIT)
        REQUIRE(cell_segment_grow(&seg, UNIT));
    REQUIRE(seg.huge_from < 4 * UNIT);
    cell_segment_touch(&seg, seg.base + 8 * UNIT, seg.base + 40 * UNIT, NULL);
    REQUIRE(resident_bytes(seg.base + 8 * UNIT, 32 * UNIT) <= UNIT);

    long balance = seg.huge.balance_ns;
    cell_segment_touch(&seg, seg.base + 50 * UNIT, seg.base + 50 * UNIT + CELL_PAGE, &postponed);
    REQUIRE(seg.huge.balance_ns == balance && resident_bytes(seg.base + 50 * UNIT, UNIT) == 0);

    seg.huge.balance_ns = -1;                           /* somebody else's, meanwhile */
    cell_segment_touch(&seg, seg.base + 54 * UNIT, seg.base + 60 * UNIT, NULL);
    REQUIRE(seg.huge_from == SIZE_MAX && resident_bytes(seg.base + 54 * UNIT, 6 * UNIT) <= UNIT / 4);
    cell_segment_destroy(&seg);
}

/* How many of 30 huge pages are asked for in a mapped block of 64 MiB, once those before it have been used whole. */
static int asked_for_in_block(size_t huge_cost, long small_ns)
{
    char *block = NULL;

    cell_heap_main.segment.huge = (struct cell_huge_account){ .small_ns = small_ns };
    REQUIRE(cell_option_set("huge_cost", huge_cost) == 0 && cell_option_set("map_cache_share", 0) == 0);
    for (int i = 0; i < 3; i++) {
        cell_free(block);
        block = cell_malloc(32 * UNIT);
        REQUIRE(block != NULL);
        memset(block, 1, 32 * UNIT);
    }
    int asked = 0;
    for (int i = 1; i < 31; i++)
        asked += is_asked_for(block + i * UNIT);
    cell_free(block);
    return asked;
}

TEST(so_do_mapped_blocks)
{
    if (!can_populate() || !cell_os_huge_available())
        skip_test();
    REQUIRE_EQUAL(asked_for_in_block(0, 0), 30);
    REQUIRE_EQUAL(asked_for_in_block(100, SLOW), 30);
    REQUIRE(asked_for_in_block(1, 0) <= 1);             /* the one that tells */
}

/* A block of `from` bytes, full, grows to `to`. The system moves its pages: nothing is copied. */
static char *grow_block(size_t from, size_t to)
{
    char *block = cell_malloc(from);

    REQUIRE(block != NULL);
    for (size_t size = from, grown; size < to; size = grown) {
        memset(block, 1, size);
        struct cell_stats before = stats_now();
        grown = size * 2 < to ? size * 2 : to;
        block = cell_realloc(block, grown);
        REQUIRE(block != NULL && block[0] == 1 && block[size - 1] == 1);
        REQUIRE_EQUAL(stats_now().remaps, before.remaps + 1);
        REQUIRE_EQUAL(stats_now().maps, before.maps);
    }
    return block;
}

TEST(the_system_can_grow_and_move_a_mapped_block)
{
    static const struct { size_t huge_cost; long small_ns; } cases[] = { { 0, 0 }, { 100, 0 }, { 100, SLOW }, { 100, 1 } };

    REQUIRE(cell_option_set("map_cache_share", 0) == 0 && cell_option_set("mmap_dynamic", 0) == 0);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        cell_heap_main.segment.huge = (struct cell_huge_account){ .small_ns = cases[i].small_ns };
        REQUIRE(cell_option_set("huge_cost", cases[i].huge_cost) == 0);
        static const size_t from[] = { 3 * UNIT, 3 * UNIT, 20 * UNIT };    /* the second and third after what has been used whole */
        for (size_t j = 0; j < COUNT_OF(from); j++) {
            char *block = grow_block(from[j], 48 * UNIT);
            memset(block, 1, 48 * UNIT);
            cell_free(block);
        }
    }
}

/* Older kernels merge the parts of a mapping again only if it had memory before it was parted. */
TEST(the_first_page_comes_in_before_any_advice)
{
    if (!can_populate() || !cell_os_huge_available())
        skip_test();
    REQUIRE(cell_option_set("map_cache_share", 0) == 0 && cell_option_set("mmap_dynamic", 0) == 0);
    for (int i = 0; i < 2; i++) {
        last_advice = 0;
        came_in_unadvised = NULL;
        char *block = cell_malloc(5 * UNIT);
        REQUIRE(block != NULL);
        REQUIRE(i == 0 || (last_advice != 0 && came_in_unadvised == (void *)((uintptr_t)block & ~(uintptr_t)(CELL_PAGE - 1))));
        memset(block, 1, 5 * UNIT);
        cell_free(block);
    }
}

TEST(what_a_large_full_block_grows_by_has_huge_pages)
{
    static const struct { bool full; long small_ns; } cases[] = { { false, SLOW }, { true, SLOW }, { true, 1 } };

    if (!can_populate() || !cell_os_huge_available())
        skip_test();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        cell_heap_main.segment.huge = (struct cell_huge_account){ .small_ns = cases[i].small_ns };
        char *block = cell_malloc(20 * UNIT);
        REQUIRE(block != NULL);
        memset(block, 1, 20 * UNIT - (cases[i].full ? 0 : 2 * UNIT));
        for (size_t more = 4; more <= 120; more += 116) {
            size_t before = cell_usable_size(block);
            block = cell_realloc(block, before + more * UNIT);
            REQUIRE(block != NULL);
            REQUIRE_EQUAL(is_asked_for(block + before + more * UNIT - 1), cases[i].full && cases[i].small_ns == SLOW);
            char *fresh = (char *)((uintptr_t)(block + before + CELL_PAGE) & ~(uintptr_t)(CELL_PAGE - 1));
            size_t there = resident_bytes(fresh, (more - 1) * UNIT);
            /* An eighth comes in, of what was full at most, and with huge pages one at least, to see what it takes. */
            size_t eighth = (more * UNIT < before ? more * UNIT : before) / 8;
            REQUIRE(cases[i].full ? there >= eighth - 2 * CELL_PAGE && there <= eighth + 2 * UNIT : there == 0);
            if (cases[i].full && more == 4)
                memset(block + before, 1, more * UNIT);
        }
        cell_free(block);
    }
}

/* A block that was small until now, and one of which the ends alone are in use. */
TEST(nothing_else_that_grows_has_them)
{
    static const struct { size_t size, used; } cases[] = { { UNIT / 4, UNIT / 4 }, { 20 * UNIT, CELL_PAGE } };

    if (!can_populate() || !cell_os_huge_available())
        skip_test();
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        cell_heap_main.segment.huge = (struct cell_huge_account){ .small_ns = SLOW };
        char *block = cell_malloc(cases[i].size);
        REQUIRE(block != NULL);
        size_t before = cell_usable_size(block);
        memset(block, 1, cases[i].used);
        memset(block + before - cases[i].used, 1, cases[i].used);
        block = cell_realloc(block, 60 * UNIT);
        REQUIRE(block != NULL && block[before - 1] == 1);
        REQUIRE(!is_asked_for(block + 59 * UNIT));
        char *fresh = (char *)((uintptr_t)(block + before + CELL_PAGE) & ~(uintptr_t)(CELL_PAGE - 1));
        REQUIRE(resident_bytes(fresh, 39 * UNIT) <= UNIT / 8);
    }
}

/* What came in as part of a huge page says nothing of what the program used. */
TEST(a_block_that_is_not_used_where_it_has_grown_is_no_reason_for_more)
{
    if (!can_populate() || !cell_os_huge_available())
        skip_test();
    cell_heap_main.segment.huge = (struct cell_huge_account){ .small_ns = SLOW };
    REQUIRE(cell_option_set("map_cache_share", 0) == 0);
    char *block = cell_malloc(20 * UNIT);
    REQUIRE(block != NULL);
    memset(block, 1, 20 * UNIT);
    int before = cell_heap_main.segment.large_use;
    block = cell_realloc(block, 22 * UNIT);
    REQUIRE(block != NULL);
    cell_free(block);
    REQUIRE(cell_heap_main.segment.large_use <= before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_is_measured_in_small_pages), cmocka_unit_test(gains_make_up_for_a_loss_but_not_for_ever),
        cmocka_unit_test(it_is_tried_again_for_an_eighth_of_the_time_of_small_pages),
        cmocka_unit_test(huge_cost_is_the_measure), cmocka_unit_test(what_is_brought_in_is_there),
        cmocka_unit_test(it_is_left_to_the_first_touch_where_it_cannot_be_brought_in),
        cmocka_unit_test(a_heap_goes_on_with_small_pages), cmocka_unit_test(growth_by_small_pages_is_paid_in),
        cmocka_unit_test(what_is_skipped_is_declined),
        cmocka_unit_test(only_what_has_no_memory_is_measured), cmocka_unit_test(so_do_mapped_blocks),
        cmocka_unit_test(a_large_block_is_left_to_its_first_touch),
        cmocka_unit_test(the_system_can_grow_and_move_a_mapped_block),
        cmocka_unit_test(the_first_page_comes_in_before_any_advice),
        cmocka_unit_test(what_a_large_full_block_grows_by_has_huge_pages), cmocka_unit_test(nothing_else_that_grows_has_them),
        cmocka_unit_test(a_block_that_is_not_used_where_it_has_grown_is_no_reason_for_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
