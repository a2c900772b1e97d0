/* test_thread_ends.c - threads that come and go: their caches are given back, memory stays bounded, and destructors and
 * handlers at exit allocate. */
#include <limits.h>

#include "tcache.h"
#include "threads.h"

static void *allocate_and_end(void *unused)
{
    void *block[50];

    for (size_t i = 0; i < COUNT_OF(block); i++)
        block[i] = cell_malloc(16 + i * 9);
    for (size_t i = 0; i < COUNT_OF(block); i++)
        cell_free(block[i]);
    return unused;
}

TEST(short_threads_with_bounded_memory)
{
    pthread_t thread;
    int count = 10000 / SCALE;
    size_t footprint = 0, metadata = 0;

    for (int i = 0; i < count; i++) {
        start(&thread, allocate_and_end, NULL);
        pthread_join(thread, NULL);
        if (i == 100) {
            footprint = stats_now().footprint_bytes;
            metadata = stats_now().metadata_bytes;
        }
    }
    REQUIRE(stats_now().footprint_bytes <= footprint + 65536);
    REQUIRE_EQUAL(stats_now().metadata_bytes, metadata);
    REQUIRE_SOUND_HEAP();
}

/* The same with 16 at a time, one of which ends for each that starts; each leaves a block to the next. What all need at once is known from
 * the beginning, however seldom a busy machine runs them at the same time. An arena that opens in between is a heap as large as the others. */
static void *left_behind[16];
static pthread_barrier_t all_hold_theirs;

static void *allocate_together(void *unused)
{
    void *block[30];

    for (size_t i = 0; i < COUNT_OF(block); i++)
        block[i] = cell_malloc(i * i * 7);
    pthread_barrier_wait(&all_hold_theirs);
    for (size_t i = 0; i < COUNT_OF(block); i++)
        cell_free(block[i]);
    return unused;
}

static void run_all_at_once(void)
{
    pthread_t thread[COUNT_OF(left_behind)];

    REQUIRE(pthread_barrier_init(&all_hold_theirs, NULL, COUNT_OF(thread)) == 0);
    for (size_t i = 0; i < COUNT_OF(thread); i++)
        start(&thread[i], allocate_together, NULL);
    for (size_t i = 0; i < COUNT_OF(thread); i++)
        pthread_join(thread[i], NULL);
    pthread_barrier_destroy(&all_hold_theirs);
}

static void *allocate_and_leave(void *place)
{
    void **left = place, *block[30];

    for (size_t i = 0; i < COUNT_OF(block); i++)
        block[i] = cell_malloc(i * i * 7);
    cell_free(__atomic_exchange_n(left, cell_malloc(500), __ATOMIC_ACQ_REL));
    for (size_t i = 0; i < COUNT_OF(block); i++)
        cell_free(block[i]);
    return NULL;
}

TEST(short_threads_side_by_side_with_bounded_memory)
{
    pthread_t thread[COUNT_OF(left_behind)];
    size_t count = 10000 / SCALE, peak = 0, metadata = 0, arenas = 0;

    run_all_at_once();
    for (size_t i = 0; i < count + COUNT_OF(thread); i++) {
        size_t at = i % COUNT_OF(thread);
        if (i >= COUNT_OF(thread))
            pthread_join(thread[at], NULL);
        if (i < count)
            start(&thread[at], allocate_and_leave, &left_behind[at]);
        if (i == count / 4) {
            arenas = stats_now().arenas;
            peak = stats_now().footprint_peak_bytes;
            metadata = stats_now().metadata_bytes;
        }
    }
    size_t opened = stats_now().arenas - arenas;
    peak += opened * peak / arenas;
    REQUIRE(stats_now().footprint_bytes <= peak);
    REQUIRE(stats_now().footprint_peak_bytes <= 2 * peak);
    REQUIRE(stats_now().metadata_bytes <= metadata + (1 + opened) * 65536);     /* as many caches as threads live at once */
    REQUIRE_SOUND_HEAP();
    for (size_t i = 0; i < COUNT_OF(left_behind); i++)
        cell_free(left_behind[i]);
    cell_trim(0);
    REQUIRE_EQUAL(stats_now().live_blocks, 0);
    REQUIRE(stats_now().footprint_bytes <= (14 + 2 * stats_now().arenas) * 4096);
}

static void *fill_a_cache(void *unused)
{
    void *block[500];

    for (size_t i = 0; i < COUNT_OF(block); i++)
        block[i] = cell_malloc(40);
    for (size_t i = 0; i < COUNT_OF(block); i++)
        cell_free(block[i]);
    REQUIRE(stats_now().cached_bytes != 0);
    return unused;
}

/* With its cache returned, every byte of the heap but a few kept pools is free again. */
TEST(thread_end_returns_its_cache)
{
    pthread_t thread;

    cell_malloc(40);
    for (int i = 0; i < 20; i++) {
        start(&thread, fill_a_cache, NULL);
        pthread_join(thread, NULL);
    }
    REQUIRE(stats_now().pool_bytes <= 16 * 4096);
    REQUIRE(stats_now().heap_bytes <= 32 * 4096);
}

/* Also when it was the first of the process to allocate. */
TEST(the_end_of_the_first_thread_to_allocate_returns_its_cache)
{
    pthread_t thread;

    start(&thread, fill_a_cache, NULL);
    pthread_join(thread, NULL);
    cell_trim(0);
    REQUIRE_EQUAL(stats_now().live_blocks, 0);
}

static pthread_key_t key;
static int destroyed;

/* Allocates anew, and sets the key again as long as it may. */
static void destroy(void *block)
{
    for (size_t size = 1; size < 700; size += 13) {
        void *other = cell_malloc(size);
        REQUIRE(other != NULL);
        memset(other, 7, size);
        cell_free(other);
    }
    cell_free(block);
    __atomic_fetch_add(&destroyed, 1, __ATOMIC_RELAXED);
    pthread_setspecific(key, cell_malloc(100));
}

static void *set_key(void *unused)
{
    pthread_setspecific(key, cell_malloc(50));
    return unused;
}

/* Keys of the program, made before and after the allocator's own: some destructors run when the cache is gone. */
TEST(allocation_in_destructors)
{
    pthread_t thread;

    REQUIRE(pthread_key_create(&key, destroy) == 0);
    for (int i = 0; i < 200; i++) {
        start(&thread, set_key, NULL);
        pthread_join(thread, NULL);
    }
    REQUIRE(pthread_key_create(&key, destroy) == 0);
    for (int i = 0; i < 200; i++) {
        start(&thread, set_key, NULL);
        pthread_join(thread, NULL);
    }
    REQUIRE(destroyed >= 400);
    REQUIRE_SOUND_HEAP();
    REQUIRE(stats_now().footprint_bytes < (size_t)4 << 20);
}

/* A cache that was full of blocks set aside, too. */
static void *widen_a_bin(void *unused)
{
    static void *block[3000];

    for (int round = 0; round < 30; round++) {
        for (size_t i = 0; i < COUNT_OF(block); i++)
            block[i] = must_malloc(64);
        for (size_t i = 0; i < COUNT_OF(block); i++)
            cell_free(block[i]);
    }
    return unused;
}

static void *look_at_the_cache(void *unused)
{
    cell_free(must_malloc(64));
    REQUIRE_SOUND_HEAP();
    return unused;
}

TEST(the_next_thread_finds_a_cache_as_new)
{
    pthread_t thread;

    cell_free(must_malloc(40));
    for (int i = 0; i < 2; i++) {
        start(&thread, widen_a_bin, NULL);
        pthread_join(thread, NULL);
        start(&thread, look_at_the_cache, NULL);
        pthread_join(thread, NULL);
    }
}

/* The C library frees for threads that ended on the stacks of others, after these have given their caches back. */
static void *free_alone(void *few)
{
    size_t before = cell_tcache_count();
    void **block = few;

    for (; *block != NULL; block++)
        cell_free(*block);
    return (void *)(cell_tcache_count() - before);
}

TEST(a_thread_that_frees_little_takes_no_cache)
{
    static void *few[9], *many[200];
    pthread_t thread;
    void *made;

    for (size_t i = 0; i + 1 < COUNT_OF(few); i++)
        few[i] = must_malloc(50 + i * 40);
    for (size_t i = 0; i + 1 < COUNT_OF(many); i++)
        many[i] = must_malloc(50);
    start(&thread, free_alone, few);
    pthread_join(thread, &made);
    REQUIRE_EQUAL((size_t)made, 0);
    start(&thread, free_alone, many);
    pthread_join(thread, &made);
    REQUIRE_EQUAL((size_t)made, 1);
    REQUIRE_EQUAL(cell_tcache_count(), 1);
    cell_trim(0);
    REQUIRE_EQUAL(stats_now().live_blocks, 0);
}

/* With no key left, nobody would tell of a thread's end. */
static pthread_key_t keys_of_the_program[PTHREAD_KEYS_MAX];

static void *allocate_without_a_key(void *unused)
{
    cell_free(must_malloc(100));
    for (size_t i = 0; i < COUNT_OF(keys_of_the_program); i++)
        REQUIRE(pthread_getspecific(keys_of_the_program[i]) == NULL);
    return unused;
}

TEST(a_program_may_have_all_keys)
{
    pthread_t thread;
    size_t keys = 0;

    cell_free(must_malloc(100));
    while (keys < COUNT_OF(keys_of_the_program) && pthread_key_create(&keys_of_the_program[keys], NULL) == 0)
        keys++;
    REQUIRE(keys < COUNT_OF(keys_of_the_program) || pthread_key_create(&key, NULL) != 0);
    for (size_t i = keys; i < COUNT_OF(keys_of_the_program); i++)
        keys_of_the_program[i] = keys_of_the_program[0];
    start(&thread, allocate_without_a_key, NULL);
    pthread_join(thread, NULL);
    REQUIRE_EQUAL(cell_tcache_count(), 1);
    REQUIRE_SOUND_HEAP();
}

static void allocate_at_exit(void)
{
    void *block = cell_malloc(100), *large = cell_malloc(1 << 20);

    REQUIRE(block != NULL && large != NULL);
    cell_free(block);
    cell_free(large);
    const char *why;
    if (cell_check(&why) != 0)
        _exit(1);
    _exit(42);
}

static void leave(const void *unused)
{
    (void)unused;
    atexit(allocate_at_exit);
    cell_free(cell_malloc(10));
    exit(1);
}

static void allocation_at_exit(void **state)
{
    (void)state;
    assert_int_equal(WEXITSTATUS(status_of_child(leave, NULL)), 42);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_threads_with_bounded_memory),
        cmocka_unit_test(short_threads_side_by_side_with_bounded_memory),
        cmocka_unit_test(thread_end_returns_its_cache),
        cmocka_unit_test(the_end_of_the_first_thread_to_allocate_returns_its_cache),
#if !defined(__SANITIZE_THREAD__)       /* it counts a thread as ended before the last destructors run */
        cmocka_unit_test(allocation_in_destructors),
#endif
        cmocka_unit_test(the_next_thread_finds_a_cache_as_new), cmocka_unit_test(a_thread_that_frees_little_takes_no_cache),
        cmocka_unit_test(a_program_may_have_all_keys), cmocka_unit_test(allocation_at_exit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
