/* test_batch.c - dlmalloc's interface: independent_calloc and _comalloc, bulk_free, realloc_in_place, footprint, inspect_all. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "cellmalloc.h"

static void assert_sound(void)
{
    const char *why = NULL;

    if (cell_check(&why) != 0)
        fail_msg("%s", why);
}

static void independent_calloc_gives_neighbours(void **state)
{
    (void)state;
    for (size_t size = 0; size <= 3000; size = size * 2 + 1) {
        char **blocks = (char **)cell_independent_calloc(40, size, NULL);
        assert_non_null(blocks);
        for (size_t i = 0; i < 40; i++) {
            assert_true(cell_usable_size(blocks[i]) >= size);
            assert_int_equal((uintptr_t)blocks[i] % 16, 0);
            for (size_t k = 0; k < size; k++)
                assert_int_equal(blocks[i][k], 0);
            if (i > 0)
                assert_int_equal(blocks[i] - blocks[i - 1], cell_usable_size(blocks[i - 1]) + sizeof(size_t));
            memset(blocks[i], 0x5a, cell_usable_size(blocks[i]));
        }
        assert_sound();
        for (size_t i = 0; i < 40; i++)                 /* one by one, not in order */
            cell_free(blocks[i * 7 % 40]);
        cell_free(blocks);
        assert_sound();
    }
}

static void independent_comalloc_gives_each_its_size(void **state)
{
    static const size_t sizes[] = { 1, 5000, 24, 0, 300, 200000, 64 };
    void *blocks[7];

    (void)state;
    assert_ptr_equal(cell_independent_comalloc(7, sizes, blocks), blocks);
    for (size_t i = 0; i < 7; i++) {
        assert_true(cell_usable_size(blocks[i]) >= sizes[i]);
        memset(blocks[i], 1 + (int)i, cell_usable_size(blocks[i]));
    }
    for (size_t i = 0; i < 7; i++)
        for (size_t k = 0; k < cell_usable_size(blocks[i]); k++)
            assert_int_equal(((char *)blocks[i])[k], 1 + i);
    assert_sound();
    assert_int_equal(cell_bulk_free(blocks, 7), 0);
    for (size_t i = 0; i < 7; i++)
        assert_null(blocks[i]);
    assert_sound();
}

static void independent_edges(void **state)
{
    void *one[1] = { NULL };
    size_t huge[2] = { PTRDIFF_MAX - 4096, 4096 };

    (void)state;
    assert_ptr_equal(cell_independent_calloc(0, 8, one), one);
    void **empty = cell_independent_calloc(0, 8, NULL);
    assert_non_null(empty);
    cell_free(empty);
    errno = 0;
    assert_null(cell_independent_calloc(SIZE_MAX / 8, 64, NULL));
    assert_int_equal(errno, ENOMEM);
    errno = 0;
    assert_null(cell_independent_comalloc(2, huge, NULL));
    assert_int_equal(errno, ENOMEM);
    assert_sound();
}

static void realloc_in_place_never_moves(void **state)
{
    char **neighbours = (char **)cell_independent_calloc(3, 2000, NULL);
    char *block = neighbours[0], *wall = neighbours[2];

    (void)state;
    memset(block, 3, 2000);
    assert_null(cell_realloc_in_place(block, 3000));
    cell_free(neighbours[1]);
    assert_ptr_equal(cell_realloc_in_place(block, 3000), block);
    assert_true(cell_usable_size(block) >= 3000);
    assert_null(cell_realloc_in_place(block, 50000));
    assert_true(cell_usable_size(block) >= 3000 && cell_usable_size(block) < 50000);
    assert_ptr_equal(cell_realloc_in_place(block, 600), block);
    assert_true(cell_usable_size(block) < 3000);
    for (size_t i = 0; i < 600; i++)
        assert_int_equal(block[i], 3);
    assert_ptr_equal(cell_realloc_in_place(block, 0), block);
    errno = 0;
    assert_null(cell_realloc_in_place(block, SIZE_MAX));
    assert_int_equal(errno, ENOMEM);
    assert_null(cell_realloc_in_place(NULL, 10));
    errno = 0;
    assert_null(cell_realloc_in_place(block, 1 << 20));
    assert_int_equal(errno, ENOMEM);
    char *cell = cell_malloc(20);
    assert_ptr_equal(cell_realloc_in_place(cell, 32), cell);
    assert_null(cell_realloc_in_place(cell, 33));
    cell_free(cell);
    cell_free(wall);
    cell_free(block);
    cell_free(neighbours);
    assert_sound();
}

static void assert_stamped(const unsigned char *block, size_t size)
{
    for (size_t i = 0; i < size; i += 509)
        assert_int_equal(block[i], i % 251);
}

static unsigned char *stamped(unsigned char *block, size_t from, size_t size)
{
    for (size_t i = from; i < size; i++)
        block[i] = (unsigned char)(i % 251);
    return block;
}

/* What the block gives up is free for it to have back, until something else lies there. */
static void resize_mapped(unsigned char *block, size_t size)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), small = 300000;
    struct cell_stats before, after;

    stamped(block, 0, size);
    cell_stats_get(&before);
    assert_ptr_equal(cell_realloc_in_place(block, small), block);
    cell_stats_get(&after);
    assert_true(cell_usable_size(block) >= small && cell_usable_size(block) < small + page);
    assert_in_range(before.mapped_bytes - after.mapped_bytes, size - small - page, size - small + 2 * page);
    assert_int_equal(after.mapped_blocks, before.mapped_blocks);
    assert_stamped(block, small);

    assert_ptr_equal(cell_realloc_in_place(block, size), block);
    cell_stats_get(&after);
    assert_int_equal(after.remaps - before.remaps, 2);
    assert_stamped(block, small);
    assert_stamped(stamped(block, small, cell_usable_size(block)), cell_usable_size(block));
    assert_sound();

    assert_ptr_equal(cell_realloc_in_place(block, small), block);
    char *end = (char *)block + cell_usable_size(block);
    assert_ptr_equal(mmap(end, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), end);
    errno = 0;
    assert_null(cell_realloc_in_place(block, size));
    assert_int_equal(errno, ENOMEM);
    assert_true(cell_usable_size(block) >= small && cell_usable_size(block) < small + page);
    assert_stamped(block, small);
    munmap(end, page);

    assert_ptr_equal(cell_realloc_in_place(block, 0), block);
    assert_true(cell_usable_size(block) > 0 && cell_usable_size(block) <= page);
    stamped(block, 0, cell_usable_size(block));
    assert_sound();
    cell_free(block);
    assert_sound();
}

static void realloc_in_place_of_mapped_blocks(void **state)
{
    (void)state;
    resize_mapped(cell_malloc(1 << 20), 1 << 20);
    resize_mapped(cell_calloc(1, 4 << 20), 4 << 20);
    resize_mapped(cell_aligned_alloc(4096, 1 << 20), 1 << 20);      /* its header lies in a page of its own */
    resize_mapped(cell_aligned_alloc(65536, 1 << 20), 1 << 20);
}

/* Growth where it lies counts against the limit like any other. */
static void realloc_in_place_within_the_limit(void **state)
{
    unsigned char *block = cell_malloc(8 << 20);

    (void)state;
    assert_ptr_equal(cell_realloc_in_place(block, 1 << 20), block);
    stamped(block, 0, 1 << 20);
    cell_set_footprint_limit(cell_footprint() + (2 << 20));
    errno = 0;
    assert_null(cell_realloc_in_place(block, 8 << 20));
    assert_int_equal(errno, ENOMEM);
    assert_ptr_equal(cell_realloc_in_place(block, 2 << 20), block);
    assert_stamped(block, 1 << 20);
    cell_set_footprint_limit(0);
    assert_ptr_equal(cell_realloc_in_place(block, 8 << 20), block);
    assert_stamped(block, 1 << 20);
    cell_free(block);
    assert_sound();
}

static void the_footprint_limit_holds(void **state)
{
    size_t limit;
    void *blocks[64];
    size_t made = 0;

    (void)state;
    cell_trim(0);                   /* what lies free would make way */
    limit = cell_footprint() + (4 << 20);
    assert_int_equal(cell_set_footprint_limit(limit), limit);
    errno = 0;
    while (made < 64 && (blocks[made] = cell_malloc(100000)) != NULL) {
        memset(blocks[made++], 1, 100000);
        assert_true(cell_footprint() <= limit + 65536);
    }
    assert_true(made >= 30 && made < 64);
    assert_int_equal(errno, ENOMEM);
    assert_null(cell_malloc(8 << 20));
    cell_bulk_free(blocks, made);
    assert_int_equal(cell_set_footprint_limit(0), 0);
    assert_true(cell_max_footprint() >= made * 100000);
    void *block = cell_malloc(8 << 20);
    assert_non_null(block);
    cell_free(block);
    assert_sound();
}

struct seen {
    void *wanted;
    size_t size;
    size_t used_regions, free_regions;
};

static void look(void *start, void *end, size_t used, void *argument)
{
    struct seen *seen = argument;

    assert_true((char *)start < (char *)end && used <= (size_t)((char *)end - (char *)start));
    if (start == seen->wanted)
        seen->size = used;
    seen->used_regions += used != 0;
    seen->free_regions += used == 0;
}

static void inspect_all_meets_every_block(void **state)
{
    struct seen seen = { cell_malloc(777), 0, 0, 0 };

    (void)state;
    cell_inspect_all(look, &seen);
    assert_int_equal(seen.size, cell_usable_size(seen.wanted));
    assert_true(seen.used_regions >= 1 && seen.free_regions >= 1);
    cell_free(seen.wanted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(independent_calloc_gives_neighbours),
        cmocka_unit_test(independent_comalloc_gives_each_its_size),
        cmocka_unit_test(independent_edges),
        cmocka_unit_test(realloc_in_place_never_moves),
        cmocka_unit_test(realloc_in_place_of_mapped_blocks),
        cmocka_unit_test(realloc_in_place_within_the_limit),
        cmocka_unit_test(the_footprint_limit_holds),
        cmocka_unit_test(inspect_all_meets_every_block),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
