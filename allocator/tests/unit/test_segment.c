/* test_segment.c - pages of a segment: what is said to be zero is zero, what is counted as resident is what the kernel has. */
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "freed.h"
#include "lock.h"
#include "pool.h"
#include "segment.h"
#include "support.h"

#define PAGES 1024

static struct cell_segment seg;

static size_t pages_in_memory(void)
{
    static unsigned char present[1 << 16];
    size_t pages = seg.committed / 4096, count = 0;

    REQUIRE(pages <= sizeof present);
    REQUIRE(mincore(seg.base, seg.committed, present) == 0);
    for (size_t i = 0; i < pages; i++)
        count += present[i] & 1;
    return count;
}

static void begin(void)
{
    REQUIRE(cell_segment_init(&seg, 0));
    while (seg.committed < PAGES * CELL_PAGE)
        REQUIRE(cell_segment_grow(&seg, CELL_PAGE));
}

TEST(grow_commits_within_the_range)
{
    begin();
    REQUIRE_EQUAL((uintptr_t)seg.base % ((uintptr_t)2 << 20), 0);      /* its huge pages are the system's */
    REQUIRE(seg.committed <= seg.range_end);
    REQUIRE(cell_segment_holds(&seg, seg.base) && cell_segment_holds(&seg, seg.base + seg.committed - 1));
    REQUIRE(!cell_segment_holds(&seg, seg.base + seg.committed) && !cell_segment_holds(&seg, seg.base - 1));
    REQUIRE_EQUAL(seg.slots, seg.committed / CELL_ALIGN);
    size_t committed = seg.committed;
    REQUIRE(!cell_segment_grow(&seg, SIZE_MAX / 2));
    REQUIRE_EQUAL(seg.committed, committed);
    cell_segment_destroy(&seg);
}

/* Up to it, by less than the usual step, and beyond it once it is gone. */
TEST(growth_spares_what_is_mapped_above)
{
    begin();
    REQUIRE((seg.map == NULL) == (sizeof(size_t) > 4));
    if (seg.map != NULL)                            /* what is reserved nobody else can have */
        return;
    while (seg.committed < (size_t)16 << 20)
        REQUIRE(cell_segment_grow(&seg, CELL_PAGE));
    size_t committed = seg.committed, mib = (size_t)1 << 20;
    unsigned char *other = mmap(seg.base + committed + mib, 4096, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    REQUIRE(other == (unsigned char *)seg.base + committed + mib);
    *other = 42;
    REQUIRE(cell_segment_grow(&seg, CELL_PAGE));
    REQUIRE_EQUAL(seg.committed, committed + mib);
    REQUIRE(!cell_segment_grow(&seg, CELL_PAGE));
    REQUIRE(seg.committed == committed + mib && seg.slots == seg.committed / CELL_ALIGN && *other == 42);
    REQUIRE(munmap(other, 4096) == 0);
    REQUIRE(cell_segment_grow(&seg, CELL_PAGE));
    REQUIRE(seg.committed > committed + 2 * mib);
    cell_segment_destroy(&seg);
}

/* The range and two parts of it, each to its end: their tables meet. */
TEST(parts_grow_to_their_ends)
{
    static struct cell_segment part[2];
    const size_t unit = (size_t)1 << 30;
    struct cell_segment *all[] = { &seg, &part[0], &part[1] };

    REQUIRE(cell_segment_init(&seg, 0));
    if (seg.range_end < 3 * unit)                   /* 32 bits: there are none */
        return;
    seg.range_end = unit - cell_segment_gap();
    for (size_t i = 0; i < 2; i++)
        REQUIRE(cell_segment_init_part(&part[i], &seg, (i + 1) * unit, (i + 2) * unit - cell_segment_gap()));
    for (size_t i = COUNT_OF(all); i-- > 0;) {
        while (!cell_segment_is_full(all[i]))
            REQUIRE(cell_segment_grow(all[i], CELL_PAGE));
        size_t last = cell_segment_page_of(&seg, seg.base + all[i]->committed - 1);
        cell_segment_info(&seg, last)->next = (uint32_t)last;
        REQUIRE(seg.kind[last] == CELL_PAGE_ABSENT);
    }
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        size_t last = all[i]->committed / CELL_PAGE - 1;
        REQUIRE_EQUAL(cell_segment_info(&seg, last)->next, last);
    }
}

static bool is_mapped(const void *address)
{
    unsigned char present;

    return mincore((void *)((uintptr_t)address & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1)), 1, &present) == 0;
}

/* Bytes of a range for which a place is found, and of one that is reserved; 0: of the first. */
static const size_t ranges[] = { 0, (size_t)1 << 28, SIZE_MAX > UINT32_MAX ? (size_t)(UINT64_C(1) << 36) : (size_t)1 << 28 };

TEST(destroyed_it_leaves_nothing_mapped)
{
    for (size_t i = 0; i < COUNT_OF(ranges); i++) {
        REQUIRE(cell_segment_init(&seg, ranges[i]));
        REQUIRE(i == 1 || (seg.map == NULL) == (sizeof(size_t) > 4 && i == 0));
        while (seg.committed < (size_t)128 << 20)
            REQUIRE(cell_segment_grow(&seg, CELL_PAGE));
        const char *ends[] = { (char *)seg.kind - seg.info_committed, (char *)seg.kind + seg.kind_committed - 1,
                               seg.base, seg.base + seg.committed - 1 };
        const char *last = seg.base + seg.range_end - 1;
        REQUIRE(is_mapped(last) == (seg.map != NULL));
        for (size_t j = 0; j < COUNT_OF(ends); j++)
            REQUIRE(is_mapped(ends[j]));
        cell_segment_destroy(&seg);
        for (size_t j = 0; j < COUNT_OF(ends); j++)
            REQUIRE(!is_mapped(ends[j]));
        REQUIRE(!is_mapped(last));
    }
}

/* From the tables' first byte to the range's last. */
static bool are_apart(const struct cell_segment *a, const struct cell_segment *b)
{
    size_t unit = sizeof(struct cell_page_info);

    return a->base + a->range_end <= (char *)b->kind - b->range_end / CELL_PAGE * unit ||
           b->base + b->range_end <= (char *)a->kind - a->range_end / CELL_PAGE * unit;
}

/* As many as there are places for: each has one of its own, which the next one gets when it is gone. */
TEST(each_grows_in_a_place_of_its_own)
{
    static struct cell_segment all[400];
    size_t count = 0;

    REQUIRE(cell_segment_init(&seg, 0) && cell_segment_init(&all[0], CELL_HUGE_PAGE));
    if (all[0].map != NULL)                         /* few bits of address: they are reserved */
        return;
    cell_segment_destroy(&all[0]);
    do {
        REQUIRE(count < COUNT_OF(all));
        REQUIRE(cell_segment_init(&all[count], (size_t)1 << (count % 2 == 0 ? 28 : 34)));
    } while (all[count++].map == NULL);
    REQUIRE(count >= 200);
    for (size_t i = 0; i < count; i++) {
        REQUIRE(are_apart(&all[i], &seg));
        for (size_t j = 0; j < i; j++)
            REQUIRE(are_apart(&all[i], &all[j]));
    }
    char *base = all[7].base;
    cell_segment_destroy(&all[7]);
    REQUIRE(cell_segment_init(&all[7], all[7].range_end));
    REQUIRE(all[7].base == base);
}

/* Where others have mapped something, as does another copy of the library, it is elsewhere. */
TEST(a_place_that_others_have_is_left_to_them)
{
    enum { OTHERS = 6 };

    for (int i = 0; i < OTHERS; i++) {
        REQUIRE(cell_segment_init(&seg, CELL_HUGE_PAGE));
        if (i == 0 && seg.map != NULL)              /* few bits of address */
            return;
        REQUIRE(seg.map == NULL);
        void *page = (void *)((uintptr_t)seg.kind & ~((uintptr_t)sysconf(_SC_PAGESIZE) - 1));
        cell_segment_destroy(&seg);
        REQUIRE(mmap(page, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == page);
    }
    REQUIRE(cell_segment_init(&seg, CELL_HUGE_PAGE));
    REQUIRE(seg.map == NULL);
}

/* Tables grow to both sides of a page: what was written stays, what is new is there, and neither meets the other. */
TEST(tables_share_a_page_and_grow)
{
    size_t pages = 0;

    REQUIRE(cell_segment_init(&seg, 0));
    while (pages < 65536) {
        REQUIRE(cell_segment_grow(&seg, CELL_PAGE));
        for (; pages < seg.committed / CELL_PAGE; pages++) {
            REQUIRE_EQUAL(seg.kind[pages], CELL_PAGE_ABSENT);
            REQUIRE_EQUAL(cell_segment_info(&seg, pages)->next, 0);
            cell_segment_info(&seg, pages)->next = UINT32_MAX - (uint32_t)pages;
            seg.kind[pages] = (uint8_t)(pages % 251);
        }
    }
    for (size_t page = 0; page < pages; page++) {
        REQUIRE_EQUAL(seg.kind[page], page % 251);
        REQUIRE_EQUAL(cell_segment_info(&seg, page)->next, UINT32_MAX - (uint32_t)page);
    }
    uintptr_t os_page = (uintptr_t)sysconf(_SC_PAGESIZE);
    REQUIRE_EQUAL((uintptr_t)cell_segment_info(&seg, 0) / os_page, (uintptr_t)seg.kind / os_page);
    REQUIRE((char *)cell_segment_info(&seg, pages - 1) + seg.info_committed >= (char *)seg.kind && (char *)seg.kind + pages <= seg.base);
    cell_segment_destroy(&seg);
}

/* Random touches, writes and purges; a shadow knows which pages were written. */
TEST(touch_and_purge_against_the_kernel)
{
    static bool dirty[PAGES];
    uint64_t state = 12345;

    begin();
    for (int i = 0; i < 3000; i++) {
        size_t page = random_from(&state) % (PAGES - 40), count = random_from(&state) % 40 + 1;
        char *from = seg.base + page * CELL_PAGE, *to = from + count * CELL_PAGE;
        if (random_from(&state) % 3 == 0) {
            cell_segment_purge(&seg, from, to);
            for (size_t p = page; p < page + count; p++) {
                REQUIRE_EQUAL(seg.kind[p], CELL_PAGE_ABSENT);
                REQUIRE(from[(p - page) * CELL_PAGE + 99] == 0);
                dirty[p] = false;
            }
            cell_segment_purge(&seg, from, to);     /* our look brought them in, the segment does not know */
            madvise(from, count * CELL_PAGE, MADV_DONTNEED);
            continue;
        }
        from += random_from(&state) % CELL_PAGE;
        struct cell_zero_run zero = cell_segment_touch(&seg, from, to, NULL);
        REQUIRE(zero.begin >= from && zero.begin <= zero.end && zero.end <= to);
        for (char *at = zero.begin; at < zero.end; at += 64)
            REQUIRE(*at == 0);
        memset(from, 0x5a, (size_t)(to - from));
        for (size_t p = page; p < page + count; p++) {
            REQUIRE_EQUAL(seg.kind[p], CELL_PAGE_CHUNK);
            dirty[p] = true;
        }
        size_t wanted = pages_in_memory();
        REQUIRE_EQUAL(seg.resident, wanted);
    }
    for (size_t p = 0; p < PAGES; p++)
        REQUIRE(!dirty[p] || seg.kind[p] == CELL_PAGE_CHUNK);
    cell_segment_destroy(&seg);
}

/* ---- pools on pages of a segment --------------------------------------------------------------------------------------- */

TEST(pool_gives_every_cell_once)
{
    struct cell_pools pools;

    for (unsigned pool_class = 1; pool_class <= CELL_POOL_CLASSES; pool_class++) {
        size_t size = cell_pool_cell_size(pool_class), capacity = cell_pool_capacity(pool_class);
        begin();
        cell_segment_touch(&seg, seg.base, seg.base + 4 * CELL_PAGE, NULL);
        cell_pool_init(&pools, &seg);
        cell_pool_add(&pools, 1, pool_class);
        REQUIRE((capacity + 1) * size > CELL_PAGE - CELL_WORD && capacity * size <= CELL_PAGE - CELL_WORD);
        REQUIRE_EQUAL(seg.kind[1], size);

        struct cell_freed *stack = NULL, *cell[256];
        size_t count = 0;
        while (cell_pool_take(&pools, pool_class, 7, &stack) != 0)
            while (stack != NULL)
                cell[count++] = cell_freed_pop(&stack);
        REQUIRE_EQUAL(count, capacity);
        for (size_t i = 0; i < count; i++) {
            REQUIRE_EQUAL(((uintptr_t)cell[i] - (uintptr_t)seg.base - CELL_PAGE) % size, 0);
            REQUIRE((char *)cell[i] >= seg.base + CELL_PAGE && (char *)cell[i] + size <= seg.base + 2 * CELL_PAGE - CELL_WORD);
            memset(cell[i], (int)i, size);
        }
        for (size_t i = 0; i < count; i++)
            REQUIRE(*(unsigned char *)cell[i] == (unsigned char)i);         /* none overlaps another */
        REQUIRE(cell_pool_is_valid(&pools, 1));
        for (size_t i = 0, run = 1; i < count; run = run % 5 + 1) {
            for (size_t n = 0; n < run && i < count; n++)
                cell_freed_push(&stack, cell[i++]);
            while (stack != NULL) {
                size_t left = 3, page;
                REQUIRE(!cell_pool_give(&pools, &stack, &left, &page)); /* the only empty one stays */
                REQUIRE(left < 3 && (left == 0 || stack == NULL));
                REQUIRE(cell_pool_is_valid(&pools, 1));
            }
        }
        REQUIRE_EQUAL(pools.empty[pool_class], 1);
        cell_pool_remove(&pools, 1);
        REQUIRE_EQUAL(pools.pages[pool_class], 0);
        cell_segment_destroy(&seg);
    }
}

/* Cells of two pools in turns, and between them one of another class. */
TEST(cells_of_a_class_go_back_together)
{
    struct cell_pools pools;
    struct cell_freed *taken[2] = { NULL, NULL }, *other = NULL, *stack = NULL;
    size_t size = cell_pool_cell_size(2), capacity = cell_pool_capacity(2), left = 3 * capacity, page = 0;

    begin();
    cell_segment_touch(&seg, seg.base, seg.base + 5 * CELL_PAGE, NULL);
    cell_pool_init(&pools, &seg);
    cell_pool_add(&pools, 3, 4);
    REQUIRE_EQUAL(cell_pool_take(&pools, 4, 1, &other), 1);
    for (size_t i = 0; i < 2; i++) {
        cell_pool_add(&pools, 1 + i, 2);
        REQUIRE_EQUAL(cell_pool_take(&pools, 2, capacity, &taken[i]), capacity);
    }
    size_t free_before = pools.free_bytes;
    for (size_t i = 0; i < 2 * capacity; i++) {
        if (i == 2 * capacity - 6)
            cell_freed_push(&stack, cell_freed_pop(&other));
        cell_freed_push(&stack, cell_freed_pop(&taken[i % 2]));
    }

    REQUIRE(!cell_pool_give(&pools, &stack, &left, &page));         /* the six above the other */
    REQUIRE(left == 3 * capacity - 6 && pools.free_bytes == free_before + 6 * size);
    REQUIRE(stack != NULL && cell_segment_page_of(&seg, stack) == 3);
    REQUIRE(!cell_pool_give(&pools, &stack, &left, &page));         /* the only one of its class */
    REQUIRE(left == 3 * capacity - 7 && stack != NULL);
    REQUIRE_EQUAL(cell_segment_info(&seg, 3)->free_count, cell_pool_capacity(4));
    REQUIRE(cell_pool_give(&pools, &stack, &left, &page));          /* the second of two that have become empty */
    REQUIRE(left == capacity - 1 && stack == NULL);
    REQUIRE((page == 1 || page == 2) && cell_segment_info(&seg, page)->free_count == capacity);
    for (size_t i = 1; i <= 3; i++)
        REQUIRE(cell_pool_is_valid(&pools, i));
    REQUIRE_EQUAL(pools.free_bytes, 2 * capacity * size + cell_pool_capacity(4) * cell_pool_cell_size(4));

    for (size_t i = 0; i < 2; i++)
        REQUIRE_EQUAL(cell_pool_take(&pools, 2, 3, &taken[i]), 3);
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < 2; j++)
            cell_freed_push(&stack, cell_freed_pop(&taken[j]));
    left = 5;
    REQUIRE(!cell_pool_give(&pools, &stack, &left, &page));
    REQUIRE(left == 0 && stack != NULL);                            /* no more than it may */
    cell_segment_destroy(&seg);
}

/* ---- stacks of freed blocks, and the lock -------------------------------------------------------------------------------- */

TEST(freed_stack_is_last_in_first_out_and_tagged)
{
    static struct cell_freed block[10];
    struct cell_freed *stack = NULL;

    cell_freed_secret[0] = 0x1234567890abcdef;
    cell_freed_secret[1] = 0xfedcba0987654321;
    for (size_t i = 0; i < COUNT_OF(block); i++) {
        REQUIRE(!cell_freed_is_tagged(&block[i]));
        cell_freed_push(&stack, &block[i]);
        REQUIRE(cell_freed_is_tagged(&block[i]));
        REQUIRE(block[i].next != (uintptr_t)(i == 0 ? NULL : &block[i - 1]));       /* mangled */
    }
    for (size_t i = COUNT_OF(block); i-- > 0;) {
        REQUIRE(cell_freed_pop(&stack) == &block[i]);
        REQUIRE(!cell_freed_is_tagged(&block[i]));
    }
    REQUIRE(stack == NULL);
}

static struct cell_lock lock;
static unsigned long guarded;

static void *count_up(void *unused)
{
    for (int i = 0; i < 100000; i++) {
        cell_lock_acquire(&lock);
        guarded++;
        cell_lock_release(&lock);
    }
    return unused;
}

TEST(lock_excludes)
{
    pthread_t thread[4];

    for (size_t i = 0; i < COUNT_OF(thread); i++)
        REQUIRE(pthread_create(&thread[i], NULL, count_up, NULL) == 0);
    for (size_t i = 0; i < COUNT_OF(thread); i++)
        pthread_join(thread[i], NULL);
    REQUIRE_EQUAL(guarded, 400000);
    REQUIRE_EQUAL(lock.state, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grow_commits_within_the_range), cmocka_unit_test(growth_spares_what_is_mapped_above), cmocka_unit_test(parts_grow_to_their_ends),
        cmocka_unit_test(destroyed_it_leaves_nothing_mapped), cmocka_unit_test(each_grows_in_a_place_of_its_own),
        cmocka_unit_test(a_place_that_others_have_is_left_to_them),
        cmocka_unit_test(touch_and_purge_against_the_kernel),
        cmocka_unit_test(tables_share_a_page_and_grow),
        cmocka_unit_test(pool_gives_every_cell_once), cmocka_unit_test(cells_of_a_class_go_back_together),
        cmocka_unit_test(freed_stack_is_last_in_first_out_and_tagged),
        cmocka_unit_test(lock_excludes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
