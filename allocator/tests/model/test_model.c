/* test_model.c - random operations against a table of what must be there: stamps, alignment, overlap by content, zeroed
 * calloc, copied realloc, and the heap's own check every so often. Runs over settings of the tunables, one process each. */
#include <pthread.h>
#include <sched.h>

#include "model.h"

#define SLOTS       3000
#define OPERATIONS  100000
#define CHECK_EVERY 5000

static uint64_t random_state;

static uint64_t random_next(void)
{
    return random_from(&random_state);
}

/* Sizes as programs have them: mostly small, sometimes large, now and then a mapping. */
static size_t random_size(void)
{
    uint64_t kind = random_next() % 1000;

    if (kind < 600)
        return random_next() % 100;
    if (kind < 900)
        return random_next() % 1200;
    if (kind < 990)
        return random_next() % 20000;
    if (kind < 998)
        return random_next() % 200000;
    return random_next() % 1500000;
}

static void allocate(struct slot *slot)
{
    slot->size = random_size();
    slot->stamp = (unsigned char)random_next();
    slot->alignment = 0;
    switch (random_next() % 8) {
    case 0:
        slot->block = cell_calloc(1, slot->size);
        REQUIRE(slot->block != NULL);
        REQUIRE(is_zero(slot));
        break;
    case 1: {
        size_t alignment = (size_t)8 << random_next() % 12;
        void *block = NULL;
        REQUIRE(cell_posix_memalign(&block, alignment, slot->size) == 0);
        REQUIRE((uintptr_t)block % alignment == 0);
        slot->block = block;
        slot->alignment = alignment;
        break;
    }
    default:
        slot->block = cell_malloc(slot->size);
    }
    REQUIRE(slot->block != NULL && (uintptr_t)slot->block % 16 == 0);
    REQUIRE(cell_usable_size(slot->block) >= slot->size);
    fill(slot);
}

static void resize(struct slot *slot)
{
    size_t size = random_next() % 4 == 0 ? random_size() : slot->size + random_next() % 64;
    size_t kept = size < slot->size ? size : slot->size;

    size += size == 0;
    slot->block = cell_realloc(slot->block, size);
    REQUIRE(slot->block != NULL && is_intact(slot, kept));
    slot->size = size;
    slot->alignment = 0;
    fill(slot);
}

static void release(struct slot *slot)
{
    REQUIRE(is_intact(slot, slot->size));
    if (slot->alignment != 0)
        cell_free_aligned_sized(slot->block, slot->alignment, slot->size);
    else if (random_next() % 2 == 0)
        cell_free_sized(slot->block, slot->size);
    else
        cell_free(slot->block);
    slot->block = NULL;
}

static void run_model(uint64_t seed, int operations)
{
    static struct slot slots[SLOTS];

    random_state = seed;
    for (int i = 0; i < operations; i++) {
        size_t range = (size_t)i / 20000 % 2 == 0 ? SLOTS : SLOTS / 10;     /* phases: grow, shrink */
        struct slot *slot = &slots[random_next() % range];
        if (slot->block == NULL)
            allocate(slot);
        else if (random_next() % 4 == 0)
            resize(slot);
        else
            release(slot);
        if (i % CHECK_EVERY == 0)
            REQUIRE_SOUND_HEAP();
        if (i % 50000 == 49999)
            cell_trim(0);
    }
    for (size_t i = 0; i < SLOTS; i++)
        if (slots[i].block != NULL)
            release(&slots[i]);
    REQUIRE_SOUND_HEAP();
    cell_trim(0);
    REQUIRE_SOUND_HEAP();
}

typedef const char *const setting[2];

static void run_settings(const void *argument)
{
    int rounds = is_long_run() ? 20 : 1;

    for (setting *s = argument; (*s)[0] != NULL; s++)
        REQUIRE(cell_option_set((*s)[0], strtoull((*s)[1], NULL, 10)) == 0);
    for (int i = 0; i < rounds; i++)
        run_model(88172645463325252u + (uint64_t)i, OPERATIONS);
}

#define MODEL(name, ...)                                                    \
    static void name(void **state)                                          \
    {                                                                       \
        static setting settings[] = { __VA_ARGS__ { NULL, NULL } };         \
        (void)state;                                                        \
        assert_int_equal(status_of_child(run_settings, settings), 0);       \
    }

MODEL(defaults, )
MODEL(every_block_has_a_header, { "small_limit", "0" },)
MODEL(large_cells, { "small_limit", "240" },)
MODEL(small_cells, { "small_limit", "16" },)
MODEL(no_caches, { "cache_bytes", "0" },)
MODEL(tiny_caches, { "cache_bytes", "1000" }, { "batch", "1" },)
MODEL(wide_caches, { "cache_bytes", "67108864" }, { "cache_share", "1" },)
MODEL(nothing_cached_but_cells, { "cache_limit", "0" },)
MODEL(early_mapping, { "mmap_threshold", "4096" },)
MODEL(no_mapping, { "mmap_max", "0" },)
MODEL(mappings_given_back, { "map_cache_share", "0" }, { "mmap_dynamic", "0" },)
MODEL(eager_purge, { "purge_share", "1024" }, { "purge_min", "0" },)
MODEL(no_purge, { "purge_share", "0" },)
MODEL(pages_by_faults, { "populate_share", "0" },)
MODEL(huge_pages_early, { "huge_min", "2097152" },)
MODEL(top_pad, { "top_pad", "1000000" },)
MODEL(hardened, { "harden", "2" },)
MODEL(hardened_with_guards_everywhere, { "harden", "2" }, { "guard_min", "0" }, { "quarantine_blocks", "1000" },)
MODEL(hardened_without_quarantine, { "harden", "2" }, { "quarantine_blocks", "0" },)
MODEL(requests_counted, { "count_requests", "1" },)
MODEL(requests_counted_with_headers, { "count_requests", "1" }, { "small_limit", "0" },)

/* ---- every tunable at both ends of its range, alone and beside another thread, without which some of them mean nothing ---- */

static const struct extreme {
    const char *name;
    unsigned long long value;
} extremes[] = {
#define CELL_TUNABLE(name, initial, minimum, maximum, unit, when, text) { #name, (minimum) }, { #name, (maximum) },
#include "tunables.def"
#undef CELL_TUNABLE
};

static void *allocate_and_stay(void *ready)
{
    cell_free(cell_malloc(1000));
    __atomic_store_n((int *)ready, 1, __ATOMIC_RELEASE);
    pause();                            /* until the process ends */
    return NULL;
}

static void run_extreme(const void *argument)
{
    const struct extreme *extreme = argument;
    size_t value = extreme->value > SIZE_MAX ? SIZE_MAX : (size_t)extreme->value;
    int ready = 0, rounds = is_long_run() ? 20 : 1;
    pthread_t thread;

    if (strncmp(extreme->name, "quarantine", 10) == 0 || strcmp(extreme->name, "guard_min") == 0)
        REQUIRE(cell_option_set("harden", 2) == 0);
    REQUIRE(cell_option_set(extreme->name, value) == 0);
    run_model(2463534242u, OPERATIONS / 20 * rounds);
    REQUIRE(pthread_create(&thread, NULL, allocate_and_stay, &ready) == 0);
    while (!__atomic_load_n(&ready, __ATOMIC_ACQUIRE))
        sched_yield();
    run_model(362436069u, OPERATIONS / 20 * rounds);
}

static void each_tunable_at_either_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(extremes); i++) {
        int status = status_of_child(run_extreme, &extremes[i]);
        if (status != 0)
            fail_msg("%s:%llu ends with status %d", extremes[i].name, extremes[i].value, status);
    }
}

/* What was cells is handed out as chunks and freed unwritten: what the cells left behind must not pass for a free. */
static void reuse_unwritten(void **state)
{
    static void *block[60000];

    (void)state;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 60000; i++)
            block[i] = cell_malloc(16 + 16 * (i % 4));
        for (size_t i = 0; i < 60000; i++)
            cell_free(block[i]);
        for (size_t i = 0; i < 6000; i++)
            block[i] = i % 3 == 0 ? cell_aligned_alloc(32, 96 + 16 * (i % 9))
                     : i % 3 == 1 ? cell_memalign(64, 100 + i % 300) : cell_malloc(600 + i % 400);
        for (size_t i = 2; i < 6000; i += 3)
            block[i] = cell_realloc(block[i], 90 + i % 200);
        for (size_t i = 0; i < 6000; i++)
            cell_free(block[i]);
        void *batch[500];
        size_t sizes[500];
        for (size_t i = 0; i < 500; i++)
            sizes[i] = 100 + i % 300;
        assert_non_null(cell_independent_comalloc(500, sizes, batch));
        for (size_t i = 0; i < 500; i++)
            cell_free(batch[i]);
    }
    assert_int_equal(cell_check(NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults), cmocka_unit_test(every_block_has_a_header), cmocka_unit_test(large_cells),
        cmocka_unit_test(small_cells), cmocka_unit_test(no_caches), cmocka_unit_test(tiny_caches),
        cmocka_unit_test(wide_caches), cmocka_unit_test(nothing_cached_but_cells), cmocka_unit_test(early_mapping),
        cmocka_unit_test(no_mapping), cmocka_unit_test(mappings_given_back), cmocka_unit_test(eager_purge),
        cmocka_unit_test(no_purge), cmocka_unit_test(pages_by_faults), cmocka_unit_test(huge_pages_early),
        cmocka_unit_test(top_pad), cmocka_unit_test(hardened), cmocka_unit_test(hardened_without_quarantine),
        cmocka_unit_test(hardened_with_guards_everywhere), cmocka_unit_test(requests_counted),
        cmocka_unit_test(requests_counted_with_headers), cmocka_unit_test(each_tunable_at_either_end),
        cmocka_unit_test(reuse_unwritten),          /* the last: here the parent itself allocates */
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
