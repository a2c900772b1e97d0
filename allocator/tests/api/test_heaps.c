/* test_heaps.c - separate heaps: they keep their blocks apart, give all back, hold their capacity and survive fork(). */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cellmalloc.h"

#define SLOTS 500

static void assert_sound(struct cell_heap *heap)
{
    const char *why = NULL;

    if (cell_heap_check(heap, &why) != 0)
        fail_msg("%s", why);
}

/* Random traffic with stamps; true when no byte was lost. */
static int churn(struct cell_heap *heap, unsigned seed, size_t operations)
{
    static const size_t sizes[] = { 16, 64, 100, 900, 6000, 300000 };
    struct { unsigned char *block; size_t size; unsigned char stamp; } slots[SLOTS] = { { 0 } };

    for (size_t i = 0; i < operations; i++) {
        size_t at = (size_t)rand_r(&seed) % SLOTS;
        size_t size = (size_t)rand_r(&seed) % sizes[(size_t)rand_r(&seed) % (i % 50 == 0 ? 6 : 5)];
        unsigned char *block = slots[at].block;
        size_t kept = slots[at].size < size ? slots[at].size : size;
        for (size_t k = 0; block != NULL && k < slots[at].size; k++)
            if (block[k] != slots[at].stamp)
                return 0;
        if (block != NULL && i % 3 == 0) {
            slots[at].block = cell_heap_realloc(heap, block, size);
            for (size_t k = 0; slots[at].block != NULL && k < kept; k++)
                if (slots[at].block[k] != slots[at].stamp)
                    return 0;
        } else {
            cell_heap_free(heap, block);
            slots[at].block = i % 7 == 0 ? cell_heap_memalign(heap, 256, size) : cell_heap_malloc(heap, size);
        }
        slots[at].size = slots[at].block == NULL ? 0 : size;
        slots[at].stamp = (unsigned char)i;
        if (slots[at].block != NULL)
            memset(slots[at].block, (int)i & 255, size);
    }
    for (size_t at = 0; at < SLOTS; at++)
        cell_heap_free(heap, slots[at].block);
    return 1;
}

static void a_heap_serves_every_call(void **state)
{
    struct cell_heap *heap = cell_heap_create(0);
    struct cell_stats stats;

    (void)state;
    assert_non_null(heap);
    assert_true(churn(heap, 1, 30000));
    assert_sound(heap);
    cell_heap_stats(heap, &stats);
    assert_int_equal(stats.live_blocks, 0);
    assert_int_equal(stats.mapped_bytes, 0);
    assert_null(cell_heap_malloc(heap, SIZE_MAX));
    assert_int_equal(errno, ENOMEM);
    assert_null(cell_heap_calloc(heap, SIZE_MAX / 2, 4));
    unsigned char *zero = cell_heap_calloc(heap, 10, 5000);
    for (size_t i = 0; i < 50000; i++)
        assert_int_equal(zero[i], 0);
    assert_true(cell_heap_usable_size(heap, zero) >= 50000);
    assert_int_equal(cell_heap_usable_size(heap, NULL), 0);
    cell_heap_destroy(heap);
    cell_heap_destroy(NULL);
}

static void heaps_keep_apart(void **state)
{
    struct cell_heap *a = cell_heap_create(0), *b = cell_heap_create(0);
    struct cell_stats before, after;

    (void)state;
    cell_stats_get(&before);
    void *in_a = cell_heap_malloc(a, 1000);
    cell_heap_stats(b, &after);
    assert_int_equal(after.live_blocks, 0);
    cell_heap_stats(a, &after);
    assert_int_equal(after.live_blocks, 1);
    assert_int_equal(after.live_bytes, cell_heap_usable_size(a, in_a));
    cell_stats_get(&after);
    assert_int_equal(after.live_blocks, before.live_blocks);
    cell_heap_destroy(a);
    void *in_b = cell_heap_malloc(b, 1000);
    memset(in_b, 1, 1000);
    assert_sound(b);
    cell_heap_destroy(b);
}

static size_t address_space_pages(void)
{
    char text[64] = "";
    FILE *file = fopen("/proc/self/statm", "r");

    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    return (size_t)strtoull(text, NULL, 10);
}

/* Heaps that come and go, between pages that stay for a while and keep their ranges from lying where the last ones did. */
static void destroy_gives_all_back(void **state)
{
    enum { HEAPS = 300 };
    const size_t capacity[] = { 0, 1 << 20, SIZE_MAX > UINT32_MAX ? (size_t)((UINT64_C(1) << 36) + (1 << 28)) : 1 << 24 };
    void *apart[HEAPS];
    size_t pages = 0;

    (void)state;
    for (size_t i = 0; i < HEAPS; i++) {
        apart[i] = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(apart[i], MAP_FAILED);
        struct cell_heap *heap = cell_heap_create(capacity[i % 3]);
        assert_non_null(heap);
        memset(cell_heap_malloc(heap, 5000), 1, 5000);
        memset(cell_heap_malloc(heap, 300000), 1, 300000);      /* mapped: destroy must find it */
        cell_heap_destroy(heap);
        if (i == 10)
            pages = address_space_pages();
    }
    for (size_t i = 11; i < HEAPS; i++)
        munmap(apart[i], 4096);
    assert_true(address_space_pages() <= pages + 100);
}

static void a_capacity_is_a_limit(void **state)
{
    struct cell_heap *heap = cell_heap_create(1 << 20);
    struct cell_stats stats;
    size_t made = 0;

    (void)state;
    assert_null(cell_heap_malloc(heap, 2 << 20));
    errno = 0;
    while (cell_heap_malloc(heap, 1000) != NULL)
        made++;
    assert_int_equal(errno, ENOMEM);
    assert_in_range(made, 900, 1048);
    while (cell_heap_malloc(heap, 10) != NULL)
        made++;
    cell_heap_stats(heap, &stats);
    assert_true(stats.footprint_bytes <= (1 << 20) + 65536);
    assert_sound(heap);
    cell_heap_destroy(heap);
    assert_null(cell_heap_create(SIZE_MAX));
}

/* Where no page is left for an aligned block of none, it has a mapping, and an address within it. */
static void aligned_blocks_of_no_bytes(void **state)
{
    struct cell_heap *heap = cell_heap_create(16384);

    (void)state;
    for (size_t alignment = 32; alignment <= 65536; alignment *= 2) {
        void *block = cell_heap_memalign(heap, alignment, 0);
        if (block == NULL)                  /* beyond the capacity */
            continue;
        assert_int_equal((uintptr_t)block % alignment, 0);
        assert_true(cell_heap_usable_size(heap, block) > 0);
        memset(block, 1, cell_heap_usable_size(heap, block));
        assert_sound(heap);
        cell_heap_free(heap, block);
    }
    cell_heap_destroy(heap);
}

static atomic_bool forks_are_done;

/* For as long as there are forks: none of them finds the heap at rest. */
static void *churn_thread(void *heap)
{
    unsigned seed = (unsigned)(uintptr_t)pthread_self();

    do {
        if (!churn(heap, seed++, 500))
            return NULL;
    } while (!atomic_load(&forks_are_done));
    return heap;
}

static void threads_and_forks_share_a_heap(void **state)
{
    struct cell_heap *heap = cell_heap_create(0);
    pthread_t threads[3];

    (void)state;
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn_thread, heap), 0);
    for (int i = 0; i < 20; i++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            alarm(10);
            void *block = cell_heap_malloc(heap, 100);
            cell_heap_free(heap, block);
            _exit(block == NULL || cell_heap_check(heap, NULL) != 0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
    atomic_store(&forks_are_done, true);
    for (size_t i = 0; i < 3; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_ptr_equal(result, heap);
    }
    assert_sound(heap);
    cell_heap_destroy(heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_heap_serves_every_call),
        cmocka_unit_test(heaps_keep_apart),
        cmocka_unit_test(destroy_gives_all_back),
        cmocka_unit_test(a_capacity_is_a_limit),
        cmocka_unit_test(aligned_blocks_of_no_bytes),
        cmocka_unit_test(threads_and_forks_share_a_heap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
