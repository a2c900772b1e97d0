/* test_tunables.c - every tunable of tunables.def has the effect it is documented with: by the environment, by
 * cell_option_set, by mallopt where it has a name there. A probe gives a number that the tunable decides. */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>

#include "can_populate.h"
#include "heap.h"
#include "os.h"
#include "other_processor.h"
#include "recurring.h"
#include "support.h"

#define MIB ((size_t)1 << 20)

static void *block_of(size_t size)
{
    void *block = cell_malloc(size);

    REQUIRE(block != NULL);
    return block;
}

static void free_many(size_t size, size_t count)
{
    void **chain = NULL;

    for (size_t i = 0; i < count; i++) {
        void **block = block_of(size);
        *block = chain;
        chain = block;
    }
    while (chain != NULL) {
        void **next = *chain;
        cell_free(chain);
        chain = next;
    }
}

static size_t cell_end(void)            { return cell_usable_size(block_of(33)); }
static size_t cached_of_300(void)       { cell_free(block_of(300)); return stats_now().cached_bytes; }
static size_t cached_after_many(void)   { free_many(48, 60000); return stats_now().cached_bytes; }
static size_t cached_of_all_sizes(void)
{
    for (int i = 0; i < 4000; i++)
        block_of(1000);
    for (size_t size = 32; size <= 496; size += 16)
        free_many(size, 1000);
    return stats_now().cached_bytes;
}
static size_t refills(void)             { for (int i = 0; i < 1000; i++) block_of(48); return stats_now().refills; }
static size_t mapped_of_20000(void)     { block_of(20000); return stats_now().maps; }
static size_t mapped_of_mib(void)       { block_of(MIB); return stats_now().mapped_bytes; }
static size_t committed(void)           { block_of(100); for (int i = 0; i < 2000; i++) block_of(1000); return cell_heap_main.segment.committed; }
static size_t purges(void)
{
    for (int i = 0; i < 10; i++) {
        free_many(60000, 300);
        free_many(3000, 4000);
    }
    return stats_now().purges;
}
/* What one free block has in pages is far below purge_share, and no other block fits there. */
static size_t purges_at_growth(void)
{
    block_of(100000);
    void *block = block_of(60000);
    for (int i = 0; i < 4000; i++)
        block_of(1000);
    cell_free(block);
    for (int i = 0; i < 10; i++)
        block_of(90000);
    return stats_now().purges;
}
static size_t limited(void)             { return cell_malloc(8 * MIB) == NULL; }
static size_t populates(void)           { free_many(3000, 4000); return stats_now().populates; }
static size_t kept_mapping(void)
{
    block_of(64 * MIB);
    for (int i = 0; i < 20; i++)
        cell_free(block_of(MIB));
    return stats_now().map_cached_bytes;
}
static size_t maps_of_cycling(void)
{
    for (int i = 0; i < 20000; i++)
        block_of(1000);
    for (int i = 0; i < 10; i++)
        cell_free(memset(block_of(200000), 1, 200000));     /* what is hardly used stays mapped */
    return stats_now().maps + stats_now().map_cached_bytes;
}

static size_t quarantined_bytes(void)   { free_many(1000, 100); return stats_now().quarantine_bytes; }
static size_t quarantined_blocks(void)  { free_many(100, 100); return stats_now().quarantine_blocks; }
static size_t guarded(void)             { block_of(100); return stats_now().guard_blocks; }
static size_t requested(void)           { block_of(100); return stats_now().requested_bytes; }
static size_t fresh_byte(void)          { return ((unsigned char *)block_of(100))[50]; }

static size_t cached_of_recurring(void)
{
    for (unsigned i = 0; i < 2 * CELL_RECURS; i++)
        cell_free(block_of(2000));
    return stats_now().cached_bytes;
}

/* Two neighbours of a size that caches do not keep; statistics would let them coalesce. */
static size_t merges_at_once(void)
{
    void *a = block_of(2000), *b = block_of(2000);

    block_of(2000);
    cell_free(a);
    cell_free(b);
    return cell_heap_main.counts.merges;
}

/* Pages of a fresh block that have memory before the program touches them. */
static size_t pages_ahead(void)
{
    size_t page = cell_os_page_size(), pages = 0;

    block_of(1000);
    char *block = block_of(60000);
    for (char *at = (char *)(((uintptr_t)block + page - 1) & ~(page - 1)); at + page <= block + 60000; at += page)
        pages += cell_os_is_resident(at);
    return pages;
}

/* Mappings within the heap's range that the system was asked to back with huge pages. */
static size_t huge_ranges(void)
{
    FILE *smaps = fopen("/proc/self/smaps", "r");
    char line[512];
    uintptr_t from = 0;
    size_t count = 0;

    REQUIRE(smaps != NULL);
    REQUIRE(cell_option_set("huge_cost", 0) == 0);      /* whatever they take here */
    for (int i = 0; i < 8000; i++)
        block_of(1000);
    while (fgets(line, sizeof line, smaps) != NULL) {
        char *dash = strchr(line, '-');
        if (strncmp(line, "VmFlags:", 8) == 0)
            count += strstr(line, " hg") != NULL && cell_segment_holds(&cell_heap_main.segment, (void *)from);
        else if (dash != NULL && dash < strchr(line, ' '))
            from = strtoull(line, NULL, 16);
    }
    fclose(smaps);
    return count;
}

/* Whether the time of huge pages is taken. */
static size_t huge_measured(void)
{
    REQUIRE(cell_option_set("huge_min", 2 * MIB) == 0);
    for (int i = 0; i < 8000; i++)
        block_of(1000);
    return cell_heap_main.segment.huge.small_ns != 0;
}

/* What a second thread's cache holds, or the depot, once there are two threads. */
static size_t in_thread(void *(*work)(void *))
{
    pthread_t thread;
    size_t result = 0;

    cell_free(block_of(10));        /* the first thread is the one with the main cache */
    REQUIRE(pthread_create(&thread, NULL, work, &result) == 0);
    pthread_join(thread, NULL);
    return result;
}

static void *free_one_of_5000(void *result)
{
    cell_free(block_of(5000));
    *(size_t *)result = stats_now().cached_bytes;
    return NULL;
}

static void *free_many_small(void *result)
{
    free_many(48, 4000);
    *(size_t *)result = stats_now().depot_bytes;
    return NULL;
}

static void *free_all_sizes(void *result)
{
    *(size_t *)result = cached_of_all_sizes();
    return NULL;
}

static size_t cached_of_5000_in_thread(void)    { return in_thread(free_one_of_5000); }
static size_t depot_after_thread(void)          { return in_thread(free_many_small); }
static size_t cached_in_thread(void)
{
    for (int i = 0; i < 4000; i++)
        block_of(4000);
    return in_thread(free_all_sizes);
}

static size_t arenas(void)
{
    run_apart();
    cell_heap_main.lock.waits = 1000;
    block_of(48);
    return cell_arena_count();
}

/* Why a probe cannot tell on this system, or NULL. */
static const char *one_processor(void)
{
    return last_processor() != 0 ? NULL : "the only processor is the first";
}

static const char *no_huge_pages(void)
{
    return cell_os_huge_available() ? NULL : "the kernel gives no huge pages";
}

static const char *no_populate(void)
{
    return can_populate() ? NULL : "the kernel has no MADV_POPULATE_WRITE";
}

static const char *no_huge_populate(void)
{
    const char *unmet = no_populate();

    return unmet == NULL ? no_huge_pages() : unmet;
}

/* With `value` the probe gives at most or at least a bound that it misses with the default. */
struct probe {
    const char *name;
    size_t value;
    size_t (*probe)(void);
    char relation;              /* '<': at most `bound`; '>': at least; '=' */
    size_t bound;
    int mallopt_name;           /* 0: none */
    int hardened;               /* under harden:2 alone */
    const char *(*unmet)(void);
};

static const struct probe probes[] = {
    { .name = "small_limit", .value = 32, cell_end, '<', 47 },
    { .name = "cache_limit", .value = 100, cached_of_300, '<', 0, .mallopt_name = M_MXFAST },
    { .name = "recurring_limit", .value = 0, cached_of_recurring, '<', 0 },
    { .name = "cache_bytes", .value = 0, cached_after_many, '<', 0 },
    { .name = "cache_share", .value = 1024, cached_of_all_sizes, '<', 40000 },
    { .name = "cache_share_threads", .value = 1024, cached_in_thread, '<', 120000 },
    { .name = "cache_limit_threads", .value = 0, cached_of_5000_in_thread, '<', 4999 },
    { .name = "arenas", .value = 1, arenas, '<', 1, .unmet = one_processor },
    { .name = "depot_share", .value = 0, depot_after_thread, '<', 0 },
    { .name = "defer", .value = 0, merges_at_once, '>', 1 },
    { .name = "batch", .value = 1, refills, '>', 1000 },
    { .name = "mmap_threshold", .value = 20000, mapped_of_20000, '>', 1, .mallopt_name = M_MMAP_THRESHOLD },
    { .name = "mmap_max", .value = 0, mapped_of_mib, '<', 0, .mallopt_name = M_MMAP_MAX },
    { .name = "mmap_dynamic", .value = 0, maps_of_cycling, '>', 4 },
    { .name = "map_cache_share", .value = 0, kept_mapping, '<', 0 },
    { .name = "populate_share", .value = 0, populates, '<', 0, .unmet = no_populate },
    { .name = "populate_max", .value = 8192, pages_ahead, '<', 4, .unmet = no_populate },
    { .name = "huge_min", .value = 2 * MIB, huge_ranges, '>', 1, .unmet = no_huge_pages },
    { .name = "huge_cost", .value = 0, huge_measured, '<', 0, .unmet = no_huge_populate },
    { .name = "top_pad", .value = 64 * MIB, committed, '>', 64 * MIB, .mallopt_name = M_TOP_PAD },
    { .name = "purge_share", .value = 0, purges, '<', 0 },
    { .name = "purge_min", .value = 1024 * MIB, purges, '<', 0, .mallopt_name = M_TRIM_THRESHOLD },
    { .name = "keep_share", .value = 0, purges_at_growth, '>', 1 },
    { .name = "footprint_limit", .value = 4 * MIB, limited, '>', 1 },
    { .name = "harden", .value = 2, quarantined_blocks, '>', 100 },
    { .name = "guard_min", .value = 0, guarded, '>', 1, .hardened = 1 },
    { .name = "quarantine_bytes", .value = 20000, quarantined_bytes, '<', 20000, .hardened = 1 },
    { .name = "quarantine_blocks", .value = 10, quarantined_blocks, '<', 10, .hardened = 1 },
    { .name = "count_requests", .value = 1, requested, '=', 100 },
    { .name = "perturb", .value = 0xa5, fresh_byte, '=', 0x5a, .mallopt_name = M_PERTURB },
};

/* A tunable without a probe fails here. */
static void every_tunable_has_a_probe(void **state)
{
    static const char *const names[] = {
#define CELL_TUNABLE(name, initial, minimum, maximum, unit, when, text) #name,
#include "tunables.def"
#undef CELL_TUNABLE
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        size_t found = 0;
        for (size_t k = 0; k < COUNT_OF(probes); k++)
            found += strcmp(probes[k].name, names[i]) == 0;
        if (found == 0)
            fail_msg("%s of tunables.def has no probe in test_tunables.c", names[i]);
    }
}

enum way { DEFAULT, ENVIRONMENT, OPTION, MALLOPT };
struct reach { const struct probe *probe; enum way way; };

static int is_met(const struct probe *p, size_t got)
{
    return p->relation == '<' ? got <= p->bound : p->relation == '>' ? got >= p->bound : got == p->bound;
}

static void reach(const void *argument)
{
    const struct reach *r = argument;
    const struct probe *p = r->probe;
    char text[100];

    snprintf(text, sizeof text, "%s:%zu", p->name, p->value);
    if (p->hardened)
        REQUIRE(cell_option_set("harden", 2) == 0);
    if (r->way == ENVIRONMENT)
        setenv("CELLMALLOC_CONF", text, 1);
    if (r->way == OPTION)
        REQUIRE(cell_option_set(p->name, p->value) == 0);
    if (r->way == MALLOPT)
        REQUIRE_EQUAL(cell_mallopt(p->mallopt_name, (int)p->value), 1);
    size_t got = p->probe();
    if (is_met(p, got) == (r->way == DEFAULT)) {
        fprintf(stderr, "# %s, way %d: the probe gives %zu, wanted %s%c %zu\n", text, r->way, got,
                r->way == DEFAULT ? "not " : "", p->relation, p->bound);
        _exit(1);
    }
}

static void reached_by(enum way way)
{
    int wrong = 0;

    for (size_t i = 0; i < COUNT_OF(probes); i++) {
        const char *unmet = probes[i].unmet == NULL ? NULL : probes[i].unmet();
        if (unmet != NULL)
            print_message("# %s is left out: %s\n", probes[i].name, unmet);
        else if (way != MALLOPT || probes[i].mallopt_name != 0)
            wrong += status_of_child(reach, &(struct reach){ &probes[i], way }) != 0;
    }
    assert_int_equal(wrong, 0);
}

static void the_default_is_another(void **state)        { (void)state; reached_by(DEFAULT); }
static void reached_by_environment(void **state)        { (void)state; reached_by(ENVIRONMENT); }
static void reached_by_option_set(void **state)         { (void)state; reached_by(OPTION); }
static void reached_by_mallopt(void **state)            { (void)state; reached_by(MALLOPT); }

TEST(errors_of_option_set)
{
    size_t value;

    errno = 0;
    REQUIRE(cell_option_set("no_such", 1) == -1 && errno == ENOENT);
    REQUIRE(cell_option_get("no_such", &value) == -1 && errno == ENOENT);
    REQUIRE(cell_option_set("batch", 0) == -1 && errno == ERANGE);
    REQUIRE(cell_option_set("small_limit", 1000) == -1 && errno == ERANGE);
    REQUIRE(cell_option_set("small_limit", 50) == 0 && option_value("small_limit") == 48);
    block_of(10);
    REQUIRE(cell_option_set("small_limit", 32) == -1 && errno == EBUSY);
    REQUIRE_EQUAL(option_value("small_limit"), 48);
    REQUIRE(cell_option_set("batch", 7) == 0 && option_value("batch") == 7);
}

/* ---- both ends of each range ------------------------------------------------------------------------------------------ */

struct end {
    const char *name;
    size_t value;
};

/* Some of everything, with the tunable at one end of its range. */
static void use_at_end(const void *argument)
{
    const struct end *end = argument;
    static void *slot[200];
    uint64_t state = 31;

    REQUIRE(cell_option_set(end->name, end->value) == 0);
    REQUIRE(cell_option_get(end->name, &(size_t){ 0 }) == 0);
    for (int i = 0; i < 4000; i++) {
        size_t at = random_from(&state) % COUNT_OF(slot), kind = random_from(&state) % 100;
        size_t size = random_from(&state) % (kind < 60 ? 100 : kind < 95 ? 3000 : 300000);
        cell_free(slot[at]);
        slot[at] = block_of(size);
        memset(slot[at], (int)i, size);
    }
    REQUIRE_SOUND_HEAP();
    for (size_t i = 0; i < COUNT_OF(slot); i++)
        cell_free(slot[i]);
    REQUIRE_SOUND_HEAP();
}

static void both_ends_of_every_range_work(void **state)
{
    static const struct { struct end low, high; } rows[] = {
#define CELL_TUNABLE(name, initial, minimum, maximum, unit, when, text) { { #name, (size_t)(minimum) }, { #name, (size_t)(maximum) } },
#include "tunables.def"
#undef CELL_TUNABLE
    };
    int wrong = 0;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        for (int high = 0; high < 2; high++) {
            const struct end *end = high ? &rows[i].high : &rows[i].low;
            if (status_of_child(use_at_end, end) != 0) {
                print_error("# %s:%zu\n", end->name, end->value);
                wrong++;
            }
        }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_tunable_has_a_probe), cmocka_unit_test(the_default_is_another),
        cmocka_unit_test(reached_by_environment), cmocka_unit_test(reached_by_option_set),
        cmocka_unit_test(reached_by_mallopt), cmocka_unit_test(errors_of_option_set),
        cmocka_unit_test(both_ends_of_every_range_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
