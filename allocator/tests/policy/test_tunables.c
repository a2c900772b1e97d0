/* test_tunables.c - every tunable reaches its threshold: by the environment, by cell_option_set, by mallopt where it has a name
 * there; wrong names and values give one line and the default. A probe gives a number that the tunable decides. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>

#include "heap.h"
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
        cell_free(block_of(200000));
    return stats_now().maps + stats_now().map_cached_bytes;
}

/* With `value` the probe gives at most or at least a bound that it misses with the default. */
struct probe {
    const char *name;
    size_t value;
    size_t (*probe)(void);
    char relation;              /* '<': at most `bound`; '>': at least */
    size_t bound;
    int mallopt_name;           /* 0: none */
};

static const struct probe probes[] = {
    { "small_limit", 32, cell_end, '<', 47, 0 },
    { "cache_limit", 100, cached_of_300, '<', 0, M_MXFAST },
    { "cache_bytes", 0, cached_after_many, '<', 0, 0 },
    { "cache_share", 1024, cached_of_all_sizes, '<', 12000, 0 },
    { "batch", 1, refills, '>', 1000, 0 },
    { "mmap_threshold", 20000, mapped_of_20000, '>', 1, M_MMAP_THRESHOLD },
    { "mmap_max", 0, mapped_of_mib, '<', 0, M_MMAP_MAX },
    { "mmap_dynamic", 0, maps_of_cycling, '>', 4, 0 },
    { "map_cache_share", 0, kept_mapping, '<', 0, 0 },
    { "populate_share", 0, populates, '<', 0, 0 },
    { "top_pad", 64 * MIB, committed, '>', 64 * MIB, M_TOP_PAD },
    { "purge_share", 0, purges, '<', 0, 0 },
    { "purge_min", 1024 * MIB, purges, '<', 0, M_TRIM_THRESHOLD },
    { "footprint_limit", 4 * MIB, limited, '>', 1, 0 },
};

enum way { DEFAULT, ENVIRONMENT, OPTION, MALLOPT };
struct reach { const struct probe *probe; enum way way; };

static int is_met(const struct probe *p, size_t got)
{
    return p->relation == '<' ? got <= p->bound : got >= p->bound;
}

static void reach(const void *argument)
{
    const struct reach *r = argument;
    const struct probe *p = r->probe;
    char text[100];

    snprintf(text, sizeof text, "%s:%zu", p->name, p->value);
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

    for (size_t i = 0; i < COUNT_OF(probes); i++)
        if (way != MALLOPT || probes[i].mallopt_name != 0)
            wrong += status_of_child(reach, &(struct reach){ &probes[i], way }) != 0;
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

/* ---- the environment's text ----------------------------------------------------------------------------------------- */

struct text {
    const char *variable, *value;
    const char *name;           /* the tunable to look at */
    size_t wanted;
    const char *said;           /* on stderr; NULL: nothing */
};

static const struct text texts[] = {
    { "CELLMALLOC_CONF", "batch:7", "batch", 7, NULL },
    { "CELLMALLOC_CONF", "top_pad:3K,batch:9", "top_pad", 3072, NULL },
    { "CELLMALLOC_CONF", "batch:9,top_pad:2m", "top_pad", 2 << 20, NULL },
    { "CELLMALLOC_CONF", "mmap_threshold:1G", "mmap_threshold", 1 << 30, NULL },
    { "CELLMALLOC_CONF", ",,batch:9,", "batch", 9, NULL },
    { "CELLMALLOC_CONF", "batch:9,batch:10", "batch", 10, NULL },
    { "CELLMALLOC_CONF", "bitch:9,batch:5", "batch", 5, "\"bitch:9\" ignored: no such tunable" },
    { "CELLMALLOC_CONF", "batch:0", "batch", 0, "\"batch:0\" ignored: the value must be a number from 1 to 512" },
    { "CELLMALLOC_CONF", "batch:x", "batch", 0, "\"batch:x\" ignored: the value must be" },
    { "CELLMALLOC_CONF", "batch:5x", "batch", 0, "\"batch:5x\" ignored" },
    { "CELLMALLOC_CONF", "batch:-1", "batch", 0, "\"batch:-1\" ignored" },
    { "CELLMALLOC_CONF", "batch:5KK", "batch", 0, "\"batch:5KK\" ignored" },
    { "CELLMALLOC_CONF", "batch:", "batch", 0, "\"batch:\" ignored" },
    { "CELLMALLOC_CONF", "batch", "batch", 0, "\"batch\" ignored" },
    { "CELLMALLOC_CONF", "top_pad:99999999999999999999999", "top_pad", 0, "ignored" },
    { "CELLMALLOC_CONF", "top_pad:99999999999999999G", "top_pad", 0, "ignored" },
    { "CELLMALLOC_CONF", "help", "batch", 0, "small_limit:64" },
    { "MALLOC_MMAP_THRESHOLD_", "70000", "mmap_threshold", 70000, NULL },
    { "MALLOC_MMAP_MAX_", "5", "mmap_max", 5, NULL },
    { "MALLOC_TRIM_THRESHOLD_", "70000", "purge_min", 70000, NULL },
    { "MALLOC_TOP_PAD_", "70000", "top_pad", 70000, NULL },
    { "MALLOC_TOP_PAD_", "seven", "top_pad", 0, "MALLOC_TOP_PAD_" },
    { "CELLMALLOC_CONF2", "batch:7", "batch", 0, NULL },
};

static void read_text(const void *argument)
{
    const struct text *t = argument;
    size_t before = option_value(t->name);
    char said[8192] = "";
    int pipes[2], old = dup(2);

    setenv(t->variable, t->value, 1);
    REQUIRE(pipe(pipes) == 0);
    dup2(pipes[1], 2);
    block_of(10);
    dup2(old, 2);
    fcntl(pipes[0], F_SETFL, O_NONBLOCK);
    ssize_t length = read(pipes[0], said, sizeof said - 1);
    said[length > 0 ? length : 0] = '\0';

    size_t wanted = t->wanted != 0 ? t->wanted : before, got = option_value(t->name);
    if (got != wanted || (t->said == NULL ? said[0] != '\0' : strstr(said, t->said) == NULL)) {
        fprintf(stderr, "# %s=%s: %s is %zu, wanted %zu; said: %s\n", t->variable, t->value, t->name, got, wanted, said);
        _exit(1);
    }
}

static void text_of_the_environment(void **state)
{
    int wrong = 0;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        wrong += status_of_child(read_text, &texts[i]) != 0;
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_is_another), cmocka_unit_test(reached_by_environment),
        cmocka_unit_test(reached_by_option_set), cmocka_unit_test(reached_by_mallopt),
        cmocka_unit_test(errors_of_option_set), cmocka_unit_test(text_of_the_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
