/* test_harden.c - harden:2 and count_requests: guard pages, quarantine, canaries, and the bytes asked for, counted exactly. */
#include <errno.h>
#include <pthread.h>
#include <sys/resource.h>

#include "heap.h"
#include "support.h"

#define MIB ((size_t)1 << 20)

static void harden(void)
{
    REQUIRE(cell_option_set("harden", 2) == 0);
}

/* Whether reading or writing the byte ends the program. */
static int faults(char *byte, int write)
{
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        if (write)
            *(volatile char *)byte = 1;
        else
            (void)*(volatile char *)byte;
        _exit(0);
    }
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

TEST(large_blocks_end_at_a_page_without_access)
{
    static const size_t sizes[] = { 16384, 16385, 20000, 131072, 1000001, 5 * MIB };

    harden();
    for (size_t alignment = 8; alignment <= 65536; alignment *= 4)
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            char *block = cell_memalign(alignment, sizes[i]);
            REQUIRE(block != NULL && (uintptr_t)block % alignment == 0);
            memset(block, 1, sizes[i]);
            size_t step = alignment < 16 ? 16 : alignment < 4096 ? alignment : 4096;
            char *end = block + (sizes[i] + step - 1) / step * step;
            REQUIRE_EQUAL((uintptr_t)end % 4096, 0);
            REQUIRE(faults(end, 1) && faults(end, 0) && !faults(end - 1, 0));
            cell_free(block);
            REQUIRE(faults(block, 0) && faults(block + sizes[i] - 1, 1));
        }
    REQUIRE_EQUAL(stats_now().guard_blocks, 0);
    REQUIRE_SOUND_HEAP();
}

/* Linux allows a process 65530 mappings: guard pages leave enough of them to the rest of the program. */
TEST(guard_pages_leave_mappings_to_others)
{
    static char *block[20000];

    harden();
    REQUIRE(cell_option_set("guard_min", 0) == 0);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT_OF(block); i++)
            block[i] = must_malloc(100);
        REQUIRE_EQUAL(stats_now().guard_blocks, 8192);
        REQUIRE(cell_malloc(8 << 20) != NULL);
        for (size_t i = 0; i < COUNT_OF(block); i++)
            cell_free(block[(i * 7919) % COUNT_OF(block)]);
    }
    REQUIRE_SOUND_HEAP();
}

TEST(guard_min_0_guards_every_block)
{
    harden();
    REQUIRE(cell_option_set("guard_min", 0) == 0);
    for (size_t size = 0; size < 400; size += 7) {
        char *block = must_malloc(size);
        memset(block, 1, size);
        REQUIRE(faults(block + (size == 0 ? 16 : (size + 15) / 16 * 16), 1));
    }
    REQUIRE_EQUAL(stats_now().guard_blocks, 58);
    REQUIRE_SOUND_HEAP();
}

/* Where a mapping is refused, the block has its canary all the same. */
TEST(without_mappings_there_are_no_guard_pages)
{
    harden();
    REQUIRE(cell_option_set("mmap_max", 0) == 0);
    char *block = must_malloc(100000);
    memset(block, 1, 100000);
    REQUIRE_EQUAL(stats_now().guard_blocks, 0);
    REQUIRE_EQUAL(cell_usable_size(block), 100000);
    block = cell_realloc(block, 200000);
    REQUIRE(block != NULL && block[99999] == 1);
    cell_free(block);
    REQUIRE(block[50000] == 0);
    REQUIRE_SOUND_HEAP();
}

TEST(freed_blocks_are_zero_and_wait)
{
    harden();
    for (size_t size = 0; size < 16000; size = size * 2 + 1) {
        unsigned char *block = must_malloc(size);
        memset(block, 0xee, size);
        cell_free(block);
        for (size_t i = 0; i < size; i++)
            REQUIRE_EQUAL(block[i], 0);
        for (int i = 0; i < 300; i++)
            REQUIRE((unsigned char *)must_malloc(size) != block);
    }
}

static size_t frees_until_back(size_t size, size_t most)
{
    char *block = must_malloc(size);
    size_t frees = 0;

    for (cell_free(block); frees < most; frees++) {
        char *next = must_malloc(size);
        if (next == block)
            break;
        cell_free(next);
    }
    return frees;
}

TEST(quarantine_is_bounded_in_blocks)
{
    harden();
    REQUIRE(cell_option_set("quarantine_blocks", 100) == 0);
    size_t frees = frees_until_back(40, 1000);
    REQUIRE(frees >= 99 && frees < 200);
    REQUIRE_EQUAL(stats_now().quarantine_blocks, 100);
}

TEST(quarantine_is_bounded_in_bytes)
{
    harden();
    REQUIRE(cell_option_set("quarantine_bytes", 100000) == 0);
    size_t frees = frees_until_back(1000, 1000);
    REQUIRE(frees >= 95 && frees < 200);
    struct cell_stats stats = stats_now();
    REQUIRE(stats.quarantine_bytes <= 100000 && stats.quarantine_bytes > 98000);
    REQUIRE(cell_option_set("quarantine_bytes", 0) == 0);
    cell_free(must_malloc(1000));       /* it empties with the next free */
    REQUIRE(cell_malloc(1000) != NULL);
    REQUIRE_SOUND_HEAP();
}

TEST(quarantine_gives_way_when_memory_is_used_up)
{
    harden();
    cell_option_set("quarantine_bytes", 64 * MIB);
    cell_option_set("quarantine_blocks", 10000);
    cell_option_set("footprint_limit", 16 * MIB);
    for (int i = 0; i < 100000; i++) {
        void *block = cell_malloc(1000);
        REQUIRE(block != NULL);
        cell_free(block);
    }
    REQUIRE(stats_now().quarantine_bytes > 4 * MIB);
    while (cell_malloc(10000) != NULL)
        ;
    REQUIRE_EQUAL(errno, ENOMEM);
    REQUIRE_EQUAL(stats_now().quarantine_blocks, 0);
    REQUIRE(stats_now().requested_bytes > 14 * MIB);
    REQUIRE_SOUND_HEAP();
}

/* ---- the bytes asked for ----------------------------------------------------------------------------------------- */

enum { SLOTS = 400 };
static struct { unsigned char *block; size_t size; } slot[SLOTS];

static size_t some_size(uint64_t *state)
{
    return random_from(state) % (random_from(state) % 8 == 0 ? 60000 : random_from(state) % 8 == 0 ? 4000 : 200);
}

static void renew(size_t at, uint64_t *state)
{
    size_t size = some_size(state), alignment = (size_t)16 << random_from(state) % 6;

    switch (random_from(state) % 5) {
    case 0:  slot[at].block = cell_calloc(1, size); break;
    case 1:  slot[at].block = cell_memalign(alignment, size); break;
    default: slot[at].block = cell_malloc(size);
    }
    REQUIRE(slot[at].block != NULL);
    slot[at].size = size;
}

static void step(uint64_t *state)
{
    size_t at = random_from(state) % SLOTS;

    if (slot[at].block == NULL) {
        renew(at, state);
    } else if (random_from(state) % 3 == 0) {
        size_t size = some_size(state) + 1;
        if (slot[at].size != 0)
            slot[at].block[0] = (unsigned char)at;
        unsigned char *block = cell_realloc(slot[at].block, size);
        REQUIRE(block != NULL && (slot[at].size == 0 || block[0] == (unsigned char)at));
        slot[at].block = block;
        slot[at].size = size;
    } else {
        cell_free_sized(slot[at].block, slot[at].size);
        slot[at].block = NULL;
    }
    if (slot[at].block != NULL) {
        memset(slot[at].block, 0x5a, slot[at].size);
        REQUIRE_EQUAL(cell_usable_size(slot[at].block), slot[at].size);
    }
}

static void require_exact_sum(int with_quarantine)
{
    uint64_t state = 99, requested = 0;

    REQUIRE(stats_now().requested_bytes == 0 || stats_now().requested_bytes == CELL_NOT_COUNTED);
    for (int i = 0; i < 20000; i++)
        step(&state);
    struct cell_stats stats = stats_now();
    uint64_t blocks = 0;
    for (size_t i = 0; i < SLOTS; i++)
        if (slot[i].block != NULL) {
            requested += slot[i].size;
            blocks++;
        }
    REQUIRE_EQUAL(stats.requested_bytes, requested);
    REQUIRE_EQUAL(stats.live_blocks, blocks);
    REQUIRE_EQUAL(stats.live_bytes, stats.pool_live_bytes + stats.chunk_live_bytes + stats.mapped_live_bytes);
    REQUIRE(stats.live_bytes >= requested + blocks * 16 - stats.guard_blocks * 16);
    REQUIRE((stats.quarantine_blocks != 0) == with_quarantine);
    REQUIRE_SOUND_HEAP();
    for (size_t i = 0; i < SLOTS; i++)
        cell_free(slot[i].block);
    REQUIRE_EQUAL(stats_now().requested_bytes, 0);
    REQUIRE_EQUAL(stats_now().live_blocks, 0);
}

TEST(requested_bytes_are_exact_when_hardened)
{
    harden();
    require_exact_sum(1);
}

TEST(requested_bytes_are_exact_when_counted)
{
    REQUIRE(cell_option_set("count_requests", 1) == 0);
    require_exact_sum(0);
}

TEST(a_mapping_in_quarantine_is_not_live)
{
    harden();
    REQUIRE(cell_option_set("guard_min", (size_t)1 << 30) == 0);
    cell_free(must_malloc(MIB));
    struct cell_stats stats = stats_now();
    REQUIRE_EQUAL(stats.quarantine_blocks, 1);
    REQUIRE_EQUAL(stats.live_blocks, 0);
    REQUIRE_EQUAL(stats.live_bytes + stats.mapped_live_bytes + stats.overhead_bytes, 0);
    REQUIRE(stats.mapped_bytes >= MIB);
}

/* Nor does it make what malloc_stats() prints as in use less than nothing. */
TEST(malloc_stats_knows_of_it)
{
    char text[2000] = "";
    int ends[2];

    harden();
    REQUIRE(cell_option_set("guard_min", (size_t)1 << 40) == 0);
    cell_free(must_malloc(3 * MIB));
    must_malloc(200);
    REQUIRE(pipe(ends) == 0 && dup2(ends[1], 2) == 2);
    cell_malloc_stats();
    REQUIRE(read(ends[0], text, sizeof text - 1) > 0);
    const char *in_use = strstr(text, "in use bytes");
    REQUIRE(in_use != NULL);
    REQUIRE(strtoull(strchr(in_use, '=') + 1, NULL, 10) <= stats_now().heap_bytes);
}

TEST(requested_bytes_are_not_made_up)
{
    must_malloc(100);
    REQUIRE(stats_now().requested_bytes == CELL_NOT_COUNTED);
}

TEST(a_heap_check_finds_damage)
{
    const char *why = NULL;

    harden();
    char *block __attribute__((unused)) = must_malloc(45), *freed = must_malloc(300);
    cell_free(freed);
    REQUIRE_SOUND_HEAP();
#if !defined(__SANITIZE_THREAD__)   /* which has a thread of its own: live blocks are looked at while there is none */
    block[45] ^= 1;
    REQUIRE(cell_check(&why) == -1 && strcmp(why, "a block was written past its end") == 0);
    block[45] ^= 1;
#endif
    REQUIRE_SOUND_HEAP();
    freed[250] = 1;
    REQUIRE(cell_check(&why) == -1 && strcmp(why, "a freed block in quarantine was written to") == 0);
    freed[250] = 0;
    REQUIRE_SOUND_HEAP();
    REQUIRE(stats_now().quarantine_blocks == 1);
}

/* ---- what else comes along ------------------------------------------------------------------------------------------- */

TEST(the_default_has_none_of_it)
{
    char *block = must_malloc(40);

    cell_free(block);
    REQUIRE(must_malloc(40) == block);
    REQUIRE_EQUAL(stats_now().quarantine_blocks + stats_now().guard_blocks, 0);
    REQUIRE(cell_option_set("harden", 2) == -1 && errno == EBUSY);
    REQUIRE(cell_option_set("count_requests", 1) == -1 && errno == EBUSY);
}

TEST(caches_stay_off)
{
    harden();
    REQUIRE_EQUAL(option_value("cache_bytes"), 0);
    REQUIRE_EQUAL(option_value("count_requests"), 1);
    REQUIRE(cell_option_set("cache_bytes", MIB) == 0);
    REQUIRE_EQUAL(option_value("cache_bytes"), 0);
    cell_free(must_malloc(40));
    REQUIRE_EQUAL(stats_now().cached_blocks, 0);
}

TEST(batches_and_resizing_in_place)
{
    size_t sizes[] = { 10, 0, 3000, 40000 };
    void *made[4];

    harden();
    REQUIRE(cell_independent_comalloc(4, sizes, made) == made);
    for (size_t i = 0; i < 4; i++) {
        REQUIRE_EQUAL(cell_usable_size(made[i]), sizes[i]);
        memset(made[i], 1, sizes[i]);
    }
    REQUIRE_EQUAL(cell_bulk_free(made, 4), 0);
    void **zeroed = cell_independent_calloc(50, 30, NULL);
    REQUIRE(zeroed != NULL && ((char *)zeroed[49])[29] == 0);
    for (size_t i = 0; i < 50; i++)
        cell_free(zeroed[i]);
    cell_free(zeroed);
    sizes[3] = PTRDIFF_MAX;
    REQUIRE(cell_independent_comalloc(4, sizes, NULL) == NULL && errno == ENOMEM);
    REQUIRE_EQUAL(stats_now().requested_bytes, 0);

    char *block = must_malloc(100);
    REQUIRE(cell_realloc_in_place(block, 50) == block && cell_usable_size(block) == 50);
    REQUIRE(cell_realloc_in_place(block, 100) == block && cell_usable_size(block) == 100);
    REQUIRE(cell_realloc_in_place(block, 100000) == NULL && cell_usable_size(block) == 100);
    REQUIRE_SOUND_HEAP();
}

static void *work(void *seed)
{
    uint64_t state = 77 + (uintptr_t)seed;
    char *block[60] = { NULL };

    for (int i = 0; i < 8000; i++) {
        size_t at = random_from(&state) % COUNT_OF(block);
        cell_free(block[at]);
        size_t size = some_size(&state);
        block[at] = cell_malloc(size);
        REQUIRE(block[at] != NULL);
        memset(block[at], 1, size);
    }
    for (size_t i = 0; i < COUNT_OF(block); i++)
        cell_free(block[i]);
    return NULL;
}

static void run_threads(void)
{
    pthread_t thread[4];

    cell_free(must_malloc(1));          /* as pthread_create() does where the names are malloc's */
    for (size_t i = 0; i < COUNT_OF(thread); i++)
        REQUIRE(pthread_create(&thread[i], NULL, work, (void *)i) == 0);
#if !defined(__SANITIZE_THREAD__)
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        int status = -1;
        if (child == 0) {
            alarm(30);
            work(NULL);
            _exit(cell_check(NULL) != 0);
        }
        REQUIRE(waitpid(child, &status, 0) == child);
        REQUIRE_EQUAL(status, 0);
    }
#endif
    for (size_t i = 0; i < COUNT_OF(thread); i++)
        pthread_join(thread[i], NULL);
    REQUIRE_SOUND_HEAP();
    REQUIRE_EQUAL(stats_now().requested_bytes, 0);
}

TEST(threads_and_fork)              { harden(); cell_option_set("quarantine_blocks", 500); run_threads(); }
TEST(threads_and_fork_counted)      { REQUIRE(cell_option_set("count_requests", 1) == 0); run_threads(); }

int main(void)
{
    const struct CMUnitTest tests[] = {
#if !UNDER_SANITIZER
        cmocka_unit_test(large_blocks_end_at_a_page_without_access),
        cmocka_unit_test(guard_pages_leave_mappings_to_others), cmocka_unit_test(guard_min_0_guards_every_block),
#endif
        cmocka_unit_test(without_mappings_there_are_no_guard_pages), cmocka_unit_test(freed_blocks_are_zero_and_wait),
        cmocka_unit_test(quarantine_is_bounded_in_blocks), cmocka_unit_test(quarantine_is_bounded_in_bytes),
        cmocka_unit_test(quarantine_gives_way_when_memory_is_used_up),
        cmocka_unit_test(requested_bytes_are_exact_when_hardened),
        cmocka_unit_test(requested_bytes_are_exact_when_counted), cmocka_unit_test(requested_bytes_are_not_made_up),
        cmocka_unit_test(a_mapping_in_quarantine_is_not_live), cmocka_unit_test(malloc_stats_knows_of_it),
        cmocka_unit_test(a_heap_check_finds_damage), cmocka_unit_test(the_default_has_none_of_it),
        cmocka_unit_test(caches_stay_off), cmocka_unit_test(batches_and_resizing_in_place),
        cmocka_unit_test(threads_and_fork), cmocka_unit_test(threads_and_fork_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
