/* test_threads.c - many threads at once: churn with stamps, blocks freed by other threads, what caches and the depot pass on. */
#include <sched.h>

#include "depot.h"
#include "threads.h"

/* ---- churn: every thread by itself ------------------------------------------------------------------------------- */

static size_t churn_size(uint64_t *state)
{
    uint64_t kind = random_from(state) % 100;

    return random_from(state) % (kind < 70 ? 128 : kind < 95 ? 2000 : kind < 99 ? 30000 : 200000) + sizeof(uint64_t);
}

static void *churn(void *argument)
{
    enum { SLOTS = 200 };
    struct { uint64_t *block; size_t size; uint64_t stamp; } slot[SLOTS] = { { NULL, 0, 0 } };
    uint64_t state = 77 + (uintptr_t)argument;
    int steps = (is_long_run() ? 1000000 : 30000) / SCALE;

    for (int i = 0; i < steps; i++) {
        size_t at = random_from(&state) % SLOTS;
        uint64_t *block = slot[at].block;
        if (block == NULL) {
            slot[at].size = churn_size(&state);
            slot[at].stamp = random_from(&state);
            block = slot[at].block = cell_malloc(slot[at].size);
            REQUIRE(block != NULL);
            block[0] = slot[at].stamp;
            ((char *)block)[slot[at].size - 1] ^= 0;
            continue;
        }
        REQUIRE_EQUAL(block[0], slot[at].stamp);
        if (random_from(&state) % 4 == 0) {
            slot[at].size = churn_size(&state);
            slot[at].block = cell_realloc(block, slot[at].size);
            REQUIRE(slot[at].block != NULL);
            REQUIRE_EQUAL(slot[at].block[0], slot[at].stamp);
        } else {
            cell_free(block);
            slot[at].block = NULL;
        }
    }
    for (size_t i = 0; i < SLOTS; i++)
        cell_free(slot[i].block);
    return NULL;
}

static void churn_by(size_t count)
{
    pthread_t thread[64];

    for (size_t i = 0; i < count; i++)
        start(&thread[i], churn, (void *)i);
    for (size_t i = 0; i < count; i++)
        pthread_join(thread[i], NULL);
    REQUIRE_SOUND_HEAP();
}

TEST(churn_by_1)        { churn_by(1); }
TEST(churn_by_2)        { churn_by(2); }
TEST(churn_by_4)        { churn_by(4); }
TEST(churn_by_16)       { churn_by(16); }
TEST(churn_by_64)       { churn_by(64); }
TEST(churn_without_caches)
{
    cell_option_set("cache_bytes", 0);
    churn_by(4);
}
TEST(churn_without_cells)
{
    cell_option_set("small_limit", 0);
    churn_by(4);
}
TEST(churn_while_purging)
{
    cell_option_set("purge_min", 0);
    cell_option_set("purge_share", 1024);
    churn_by(4);
}

/* The heap's check and the statistics may be asked for at any time. */
static int asking;

static void *ask(void *unused)
{
    while (__atomic_load_n(&asking, __ATOMIC_RELAXED)) {
        struct cell_stats stats = stats_now();
        REQUIRE(stats.heap_bytes < (size_t)1 << 40);
        REQUIRE_SOUND_HEAP();
        cell_trim(0);
        sched_yield();
    }
    return unused;
}

TEST(check_and_trim_while_others_allocate)
{
    pthread_t asker;

    cell_free(cell_malloc(1));      /* the heap exists before it is asked about */
    asking = 1;
    start(&asker, ask, NULL);
    churn_by(2);
    __atomic_store_n(&asking, 0, __ATOMIC_RELAXED);
    pthread_join(asker, NULL);
}

/* ---- producer and consumer: blocks are freed by another thread ------------------------------------------------------ */

enum { RING = 256 };

struct ring {
    void *slot[RING];
    unsigned long head, tail;       /* written by one thread each */
    unsigned long count;
};

static void *produce(void *argument)
{
    struct ring *ring = argument;
    uint64_t state = 99;

    for (unsigned long i = 0; i < ring->count; i++) {
        size_t size = churn_size(&state);
        uint64_t *block = cell_malloc(size);
        REQUIRE(block != NULL);
        block[0] = i;
        while (i - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE) >= RING)
            sched_yield();
        ring->slot[i % RING] = block;
        __atomic_store_n(&ring->head, i + 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void *consume(void *argument)
{
    struct ring *ring = argument;

    for (unsigned long i = 0; i < ring->count; i++) {
        while (__atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) <= i)
            sched_yield();
        uint64_t *block = ring->slot[i % RING];
        REQUIRE_EQUAL(block[0], i);
        cell_free(block);
        __atomic_store_n(&ring->tail, i + 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

TEST(producer_and_consumer)
{
    static struct ring ring[2];
    pthread_t thread[4];

    for (size_t i = 0; i < 2; i++) {
        ring[i].count = (is_long_run() ? 2000000 : 60000) / SCALE;
        start(&thread[2 * i], produce, &ring[i]);
        start(&thread[2 * i + 1], consume, &ring[i]);
    }
    for (size_t i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    REQUIRE_SOUND_HEAP();
    struct cell_stats stats = stats_now();
    REQUIRE(stats.heap_bytes < (size_t)32 << 20);       /* at most 256 blocks live at a time in each ring */
}

/* ---- what threads keep and pass on ----------------------------------------------------------------------------------------- */

static void *freed_there[4000];

static void *fill_the_depot(void *unused)
{
    for (size_t i = 0; i < COUNT_OF(freed_there); i++)
        freed_there[i] = cell_malloc(48);
    for (size_t i = 0; i < COUNT_OF(freed_there); i++)
        cell_free(freed_there[i]);
    return unused;
}

/* What one thread frees in batches the next to ask for that size gets, and malloc_trim leaves none of it. */
TEST(batches_pass_from_thread_to_thread)
{
    pthread_t thread;
    bool passed_on = false;

    cell_malloc(20);                /* not of that size: its bin here must be empty */
    start(&thread, fill_the_depot, NULL);
    pthread_join(thread, NULL);
    size_t waiting = cell_depot_bytes();
    REQUIRE(waiting != 0 && waiting % 48 == 0);

    char *block = cell_malloc(48);
    for (size_t i = 0; i < COUNT_OF(freed_there); i++)
        passed_on |= block == freed_there[i];
    REQUIRE(passed_on);
    REQUIRE(cell_depot_bytes() < waiting);
    REQUIRE_SOUND_HEAP();

    cell_free(block);
    cell_trim(0);
    REQUIRE_EQUAL(cell_depot_bytes(), 0);
    REQUIRE(stats_now().pool_bytes <= 2 * 4096);
    REQUIRE_SOUND_HEAP();
}

enum { LINE = 64, HANDED = 2 };

static char *handed[HANDED], *made[HANDED];
static pthread_barrier_t all_made;

static void *make_in_turn(void *argument)
{
    size_t i = (size_t)argument;

    cell_free(cell_malloc(48));             /* the thread has its cache */
    size_t before = stats_now().cached_bytes;
    cell_free(handed[i]);
    REQUIRE_EQUAL(stats_now().cached_bytes, before + 16);
    made[i] = cell_malloc(8);
    pthread_barrier_wait(&all_made);
    cell_free(made[i]);
    REQUIRE(cell_malloc(8) == made[i]);
    cell_free(made[i]);
    REQUIRE_SOUND_HEAP();
    return NULL;
}

/* Cells of one cache line that two threads were given do not become theirs: each allocates elsewhere from then on. */
TEST(cells_of_one_line_for_two_threads)
{
    pthread_t thread[HANDED];

    REQUIRE(pthread_barrier_init(&all_made, NULL, HANDED) == 0);
    for (size_t i = 0; i < HANDED; i++)
        handed[i] = cell_malloc(8);
    REQUIRE_EQUAL((uintptr_t)handed[0] / LINE, (uintptr_t)handed[1] / LINE);
    for (size_t i = 0; i < HANDED; i++)
        start(&thread[i], make_in_turn, (void *)i);
    for (size_t i = 0; i < HANDED; i++)
        pthread_join(thread[i], NULL);
    REQUIRE((uintptr_t)made[0] / LINE != (uintptr_t)made[1] / LINE);
    REQUIRE_SOUND_HEAP();
    cell_trim(0);
    REQUIRE_SOUND_HEAP();
}

static void *free_many(void *unused)
{
    for (size_t i = 0; i < COUNT_OF(freed_there); i++)
        cell_free(freed_there[i]);
    return unused;
}

/* A thread that frees only passes batches on all the same. */
TEST(batches_of_a_thread_that_frees_only)
{
    pthread_t thread;

    for (size_t i = 0; i < COUNT_OF(freed_there); i++)
        freed_there[i] = cell_malloc(48);
    start(&thread, free_many, NULL);
    pthread_join(thread, NULL);
    REQUIRE(cell_depot_bytes() != 0);
    cell_trim(0);
    REQUIRE(stats_now().pool_bytes <= 2 * 4096);
    REQUIRE_SOUND_HEAP();
}

static void *reuse_by_class(void *unused)
{
    char *block = cell_malloc(5000), *apart = cell_malloc(600);

    REQUIRE(cell_usable_size(block) >= 5000);
    cell_free(block);
    REQUIRE(cell_malloc(4700) == block);        /* of the same class: 4616 to 5112 */
    REQUIRE(cell_malloc(4700) != block);
    cell_free(block);
    REQUIRE(cell_malloc(4616) == block);
    cell_free(apart);
    return unused;
}

/* A class rounds sizes up, and its bin holds chunks that were made for others of it. */
static void *free_by_size(void *unused)
{
    void *block[8];

    for (size_t size = 0; size < 40000; size += size / 97 + 1) {
        for (size_t i = 0; i < COUNT_OF(block); i++)
            block[i] = cell_malloc(size);
        for (size_t i = 0; i < COUNT_OF(block); i++)
            cell_free_sized(block[i], size);
    }
    return unused;
}

TEST(sized_frees_between_threads)
{
    pthread_t thread;

    free_by_size(NULL);
    start(&thread, free_by_size, NULL);
    pthread_join(thread, NULL);
    free_by_size(NULL);
    REQUIRE_SOUND_HEAP();
}

static void *exceed_the_share(void *unused)
{
    static void *block[4096];

    for (size_t round = 0; round < 8; round++) {
        size_t size = 1500 << round % 4;
        for (size_t i = 0; i < COUNT_OF(block) >> round % 4; i++)
            block[i] = cell_malloc(size);
        for (size_t i = 0; i < COUNT_OF(block) >> round % 4; i++)
            cell_free(block[i]);
    }
    const struct cell_stats stats = stats_now();
    REQUIRE(stats.cached_bytes > 8192);
    REQUIRE(stats.cached_bytes <= stats.resident_bytes / 4);
    REQUIRE_SOUND_HEAP();
    return unused;
}

/* Between threads, chunks up to 32 KiB are cached by size class, and bounded in bytes. */
TEST(classes_between_threads)
{
    pthread_t thread;

    cell_free(cell_malloc(6000));               /* of no size that follows */
    start(&thread, reuse_by_class, NULL);
    pthread_join(thread, NULL);
    start(&thread, exceed_the_share, NULL);
    pthread_join(thread, NULL);
    REQUIRE_SOUND_HEAP();
}

enum { CROWD = 64 };

static pthread_barrier_t all_there, all_done;

static void *one_of_a_crowd(void *argument)
{
    static void *block[24000];

    cell_free(cell_malloc(48));             /* the thread has its cache */
    pthread_barrier_wait(&all_there);
    if (argument != NULL) {
        for (size_t round = 0; round < 4; round++) {
            for (size_t i = 0; i < COUNT_OF(block); i++)
                block[i] = cell_malloc(200 + i % 32 * 40);
            for (size_t i = 0; i < COUNT_OF(block); i++)
                cell_free(block[i]);
        }
        const struct cell_stats stats = stats_now();
        REQUIRE(stats.resident_bytes >= (size_t)16 << 20);
        REQUIRE(stats.cached_bytes > 16384);
        REQUIRE(stats.cached_bytes <= stats.resident_bytes / 4 / (2 * CROWD) * 9 / 8);
    }
    pthread_barrier_wait(&all_done);
    return NULL;
}

/* The caches of twice 32 threads hold half of what those of 32 may, or else the peak of many threads is their caches. */
TEST(caches_of_a_crowd)
{
    pthread_t thread[CROWD];

    REQUIRE(cell_option_set("purge_share", 0) == 0);    /* on a slow machine a second passes, and what was freed goes back */
    REQUIRE(pthread_barrier_init(&all_there, NULL, CROWD) == 0 && pthread_barrier_init(&all_done, NULL, CROWD) == 0);
    for (size_t i = 0; i < CROWD; i++)
        start(&thread[i], one_of_a_crowd, i == 0 ? thread : NULL);
    for (size_t i = 0; i < CROWD; i++)
        pthread_join(thread[i], NULL);
    REQUIRE_SOUND_HEAP();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(churn_by_1), cmocka_unit_test(churn_by_2), cmocka_unit_test(churn_by_4),
        cmocka_unit_test(churn_by_16), cmocka_unit_test(churn_by_64), cmocka_unit_test(churn_without_caches),
        cmocka_unit_test(churn_without_cells),
        cmocka_unit_test(churn_while_purging), cmocka_unit_test(check_and_trim_while_others_allocate),
        cmocka_unit_test(producer_and_consumer), cmocka_unit_test(batches_pass_from_thread_to_thread),
        cmocka_unit_test(cells_of_one_line_for_two_threads), cmocka_unit_test(batches_of_a_thread_that_frees_only),
        cmocka_unit_test(classes_between_threads), cmocka_unit_test(sized_frees_between_threads),
        cmocka_unit_test(caches_of_a_crowd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
