/* test_limits.c - memory that is used up: NULL with ENOMEM, and a heap that is sound and goes on when some is free again. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "second_thread.h"
#include "segment.h"

#define MIB ((size_t)1 << 20)

static const size_t sizes[] = { 40, 200, 3000, 20000, 100000, 300000, 5 * MIB };

/* Blocks of one size until there is no more, chained; then frees all. Returns the bytes that were had. */
static size_t exhaust(size_t size)
{
    void **chain = NULL, **block;
    size_t bytes = 0;

    errno = 0;
    while ((block = cell_malloc(size)) != NULL) {
        *block = chain;
        chain = block;
        bytes += size;
        REQUIRE(bytes < (size_t)8 << 30);
    }
    REQUIRE_EQUAL(errno, ENOMEM);
    errno = 0;
    REQUIRE(cell_calloc(2, size) == NULL && errno == ENOMEM);
    if (chain != NULL) {
        errno = 0;
        REQUIRE(cell_realloc(chain, (size_t)1 << 40) == NULL && errno == ENOMEM);
        REQUIRE(cell_usable_size(chain) >= size);
    }
    void *untouched = &bytes;
    REQUIRE(cell_posix_memalign(&untouched, 4096, (size_t)1 << 40) == ENOMEM && untouched == &bytes);
    REQUIRE_SOUND_HEAP();
    while (chain != NULL) {
        block = *chain;
        cell_free(chain);
        chain = block;
    }
    REQUIRE_SOUND_HEAP();
    return bytes;
}

/* Each size in turn gets most of what the first run could have: nothing leaks, nothing stays pinned. */
static void exhaust_all(size_t at_least)
{
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            size_t bytes = exhaust(sizes[i]);
            if (bytes < at_least) {
                fprintf(stderr, "# %zu bytes in blocks of %zu (round %d), wanted %zu\n", bytes, sizes[i], round, at_least);
                _exit(1);
            }
        }
}

static size_t mapped_bytes(void)
{
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");

    REQUIRE(statm != NULL && fscanf(statm, "%lu", &pages) == 1);
    fclose(statm);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void set_address_space(size_t more)
{
    struct rlimit limit = { mapped_bytes() + more, mapped_bytes() + more };

    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
}

TEST(address_space_of_64_mib)
{
    set_address_space(64 * MIB);
    exhaust_all(30 * MIB);
}

TEST(address_space_of_8_mib)
{
    set_address_space(8 * MIB);
    exhaust_all(1 * MIB);
}

enum { HEAPS = 8 };

/* Else what they may grow to is reserved, as where addresses have few bits. */
static bool heaps_map_what_they_use(void)
{
    static struct cell_segment segment;

    REQUIRE(cell_segment_init(&segment, CELL_HUGE_PAGE));
    bool reserved = segment.map != NULL;
    cell_segment_destroy(&segment);
    return !reserved;
}

static void make_heaps(void)
{
    for (int i = 0; i < HEAPS; i++) {
        struct cell_heap *heap = cell_heap_create(0);
        REQUIRE(heap != NULL);
        REQUIRE(cell_heap_malloc(heap, 1000) != NULL);
    }
}

/* The limit comes when the heaps have their ranges already: what they have not grown to does not count, and others find room. */
TEST(address_space_limited_later)
{
    bool all = heaps_map_what_they_use();
    size_t before = mapped_bytes();

    REQUIRE(cell_malloc(100) != NULL);
    make_heaps();
    if (all)
        REQUIRE(mapped_bytes() - before <= (1 + HEAPS) * 4 * MIB);
    set_address_space(64 * MIB);
    start_and_end_a_thread();
    void *mapped = mmap(NULL, 16 * MIB, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(mapped != MAP_FAILED);
    exhaust_all(20 * MIB);
    munmap(mapped, 16 * MIB);
}

/* They leave most of it to others. */
TEST(separate_heaps_in_an_address_space_of_128_mib)
{
    bool all = heaps_map_what_they_use();
    set_address_space(128 * MIB);
    size_t before = mapped_bytes();
    make_heaps();
    REQUIRE(mapped_bytes() - before <= (all ? 0 : 64 * MIB) + HEAPS * 4 * MIB);
    exhaust_all(20 * MIB);
}

TEST(hardly_any_address_space)
{
    set_address_space(256 * 1024);
    errno = 0;
    void *block = cell_malloc(100);
    REQUIRE(block != NULL || errno == ENOMEM);
    cell_free(block);
    REQUIRE(cell_malloc(1 << 30) == NULL);
    REQUIRE_SOUND_HEAP();
}

TEST(footprint_limit)
{
    cell_option_set("footprint_limit", 32 * MIB);
    exhaust_all(20 * MIB);
    REQUIRE(stats_now().footprint_bytes <= 32 * MIB);
}

/* The peaks, of the heap and of all, lie far above what the limit will be, so that nothing is given back for their sake. */
static void set_a_high_peak(void)
{
    void *block[200];

    cell_option_set("purge_min", 64 * MIB);
    cell_free(must_malloc(64 * MIB));
    for (size_t i = 0; i < COUNT_OF(block); i++)
        memset(block[i] = must_malloc(100000), 1, 100000);
    for (size_t i = 0; i < COUNT_OF(block); i++)
        cell_free(block[i]);
    cell_trim(0);
}

static void allow_no_more(void)
{
    cell_option_set("footprint_limit", stats_now().footprint_bytes + 65536);
}

TEST(kept_mappings_make_way_under_a_limit)
{
    set_a_high_peak();
    for (int i = 0; i < 8; i++)
        cell_free(must_malloc(4 * MIB));
    REQUIRE(stats_now().map_cached_bytes >= 4 * MIB);
    allow_no_more();
    for (size_t bytes = 0; bytes < 3 * MIB; bytes += 1000)
        must_malloc(1000);
}

TEST(a_block_may_grow_at_the_cost_of_kept_mappings_under_a_limit)
{
    set_a_high_peak();
    for (int i = 0; i < 8; i++)
        cell_free(must_malloc(20 * MIB));
    void *block = must_malloc(30 * MIB);
    cell_free(must_malloc(20 * MIB));
    REQUIRE(stats_now().map_cached_bytes >= 20 * MIB);
    allow_no_more();
    block = cell_realloc(block, 45 * MIB);
    REQUIRE(block != NULL);
    REQUIRE(cell_realloc(block, 80 * MIB) == NULL);
    REQUIRE(cell_usable_size(block) >= 45 * MIB);
    REQUIRE_SOUND_HEAP();
}

/* In 40 places, each too small for what comes. */
static void leave_free_pages(void)
{
    void *block[40];

    for (size_t i = 0; i < COUNT_OF(block); i++) {
        memset(block[i] = must_malloc(100000), 1, 100000);
        must_malloc(200);
    }
    for (size_t i = 0; i < COUNT_OF(block); i++)
        cell_free(block[i]);
    REQUIRE(stats_now().dirty_bytes >= 3 * MIB);
}

TEST(free_pages_make_way_for_a_large_block_under_a_limit)
{
    set_a_high_peak();
    leave_free_pages();
    allow_no_more();
    must_malloc(2 * MIB);
}

TEST(free_pages_make_way_for_others_under_a_limit)
{
    set_a_high_peak();
    leave_free_pages();
    allow_no_more();
    uint64_t maps = stats_now().maps;
    for (int i = 0; i < 20; i++)
        must_malloc(120000);
    REQUIRE_EQUAL(stats_now().maps, maps);      /* none had to be mapped for want of pages in the heap */
}

TEST(footprint_limit_is_nearly_kept_at_every_step)
{
    uint64_t state = 17;
    void *slot[300] = { NULL };

    cell_option_set("footprint_limit", 8 * MIB);
    for (int i = 0; i < 20000; i++) {
        size_t at = random_from(&state) % COUNT_OF(slot);
        cell_free(slot[at]);
        slot[at] = cell_malloc(random_from(&state) % (random_from(&state) % 4 == 0 ? 400000 : 3000));
        if (slot[at] == NULL)
            REQUIRE_EQUAL(errno, ENOMEM);
        REQUIRE(stats_now().footprint_bytes <= 9 * MIB);    /* pages brought in ahead may exceed it by their share */
    }
    REQUIRE_SOUND_HEAP();
}

/* Small aligned requests are cells; where a pool of theirs finds no page, they are aligned all the same. */
TEST(aligned_when_no_pool_can_be_had)
{
    size_t made = 0;

    must_malloc(10);
    cell_option_set("footprint_limit", 16384);
    for (int i = 0; i < 2000; i++)
        for (size_t alignment = 32; alignment <= 64; alignment *= 2) {
            void *block = cell_aligned_alloc(alignment, i % 64);
            REQUIRE(block != NULL || errno == ENOMEM);
            REQUIRE((uintptr_t)block % alignment == 0);
            made += block != NULL;
            if (i % 3 == 0)
                cell_free_aligned_sized(block, alignment, i % 64);
        }
    REQUIRE(made > 100);
    REQUIRE_SOUND_HEAP();
}

static void require_none_is_served(void)
{
    static const size_t huge[] = { PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1, SIZE_MAX - 4096, (size_t)PTRDIFF_MAX - 4096,
                                   (size_t)1 << 47, (size_t)1 << 56, SIZE_MAX - 512, SIZE_MAX - 24, SIZE_MAX - 16,
                                   SIZE_MAX - 8, SIZE_MAX - 7, SIZE_MAX - 1, SIZE_MAX };
    void *kept = cell_malloc(100);

    for (size_t i = 0; i < COUNT_OF(huge); i++) {
        errno = 0;
        REQUIRE(cell_malloc(huge[i]) == NULL && errno == ENOMEM);
        errno = 0;
        REQUIRE(cell_calloc(1, huge[i]) == NULL && errno == ENOMEM);
        errno = 0;
        REQUIRE(cell_realloc(kept, huge[i]) == NULL && errno == ENOMEM);
        errno = 0;
        REQUIRE(cell_aligned_alloc(64, huge[i]) == NULL && errno == ENOMEM);
        errno = 0;
        REQUIRE(cell_pvalloc(huge[i]) == NULL && errno == ENOMEM);
        errno = 0;
        REQUIRE(cell_valloc(huge[i]) == NULL && errno == ENOMEM);
    }
    REQUIRE_SOUND_HEAP();
}

TEST(requests_beyond_everything)
{
    require_none_is_served();
}

TEST(requests_beyond_everything_between_threads)
{
    start_and_end_a_thread();
    require_none_is_served();
}

/* ---- overcommit_memory = 2: needs root and changes the machine for a moment, so only the long run does ------------------ */

#define VM "/proc/sys/vm/overcommit_"

static unsigned long read_number(const char *path, const char *before)
{
    char line[128], format[64];
    unsigned long number = 0;
    FILE *file = fopen(path, "r");

    snprintf(format, sizeof format, "%s%%lu", before);
    while (file != NULL && fgets(line, sizeof line, file) != NULL && sscanf(line, format, &number) != 1)
        continue;
    if (file != NULL)
        fclose(file);
    return number;
}

static int write_number(const char *path, unsigned long number)
{
    char text[32];
    int fd = open(path, O_WRONLY), length = snprintf(text, sizeof text, "%lu", number);
    int done = fd >= 0 && write(fd, text, (size_t)length) == length;

    if (fd >= 0)
        close(fd);
    return done;
}

struct overcommit {
    unsigned long memory, ratio, kbytes;
};

/* Waits in a session of its own until the test is over, however it ends, and puts the settings back. */
static pid_t restore_in_the_end(const struct overcommit *old, int *test_is_alive)
{
    int pipes[2];
    char none;

    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setsid();
        close(pipes[1]);
        while (read(pipes[0], &none, 1) > 0)
            continue;
        write_number(VM "memory", old->memory);
        _exit(!write_number(old->kbytes != 0 ? VM "kbytes" : VM "ratio", old->kbytes != 0 ? old->kbytes : old->ratio));
    }
    close(pipes[0]);
    *test_is_alive = pipes[1];
    return child;
}

/* The kernel refuses what it has not got: growth of the heap, and mappings. */
static void use_strictly(const void *test_is_alive)
{
    close(*(const int *)test_is_alive);
    REQUIRE_EQUAL(read_number(VM "memory", ""), 2);
    cell_option_set("populate_share", 0);
    for (int round = 0; round < 2; round++) {
        REQUIRE(exhaust(3000) >= 20 * MIB);
        REQUIRE(exhaust(300000) >= 20 * MIB);
    }
}

__attribute__((unused)) static void overcommit_forbidden(void **state)
{
    struct overcommit old = { read_number(VM "memory", ""), read_number(VM "ratio", ""), read_number(VM "kbytes", "") };
    int test_is_alive, restored = -1;

    (void)state;
    if (!is_long_run()) {
        print_message("# overcommit_memory is left alone: make test-long switches it\n");
        skip();
    }
    if (!write_number(VM "memory", old.memory)) {
        print_message("# overcommit_memory cannot be switched: that needs root\n");
        skip();
    }
    /* What is in use, what the kernel keeps back from a process with a large range, and room for this test. */
    unsigned long limit = read_number("/proc/meminfo", "Committed_AS: ") +
                          read_number("/proc/sys/vm/user_reserve_kbytes", "") + 96 * 1024;
    pid_t restorer = restore_in_the_end(&old, &test_is_alive);
    int switched = write_number(VM "kbytes", limit) && write_number(VM "memory", 2);
    int status = switched ? status_of_child(use_strictly, &test_is_alive) : -1;
    close(test_is_alive);
    assert_int_equal(waitpid(restorer, &restored, 0), restorer);
    assert_int_equal(restored, 0);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#if !UNDER_SANITIZER
        cmocka_unit_test(address_space_of_64_mib), cmocka_unit_test(address_space_of_8_mib),
        cmocka_unit_test(address_space_limited_later), cmocka_unit_test(separate_heaps_in_an_address_space_of_128_mib),
        cmocka_unit_test(hardly_any_address_space),
        cmocka_unit_test(overcommit_forbidden),
#endif
        cmocka_unit_test(footprint_limit), cmocka_unit_test(kept_mappings_make_way_under_a_limit),
        cmocka_unit_test(a_block_may_grow_at_the_cost_of_kept_mappings_under_a_limit),
        cmocka_unit_test(free_pages_make_way_for_a_large_block_under_a_limit),
        cmocka_unit_test(free_pages_make_way_for_others_under_a_limit),
        cmocka_unit_test(footprint_limit_is_nearly_kept_at_every_step),
        cmocka_unit_test(aligned_when_no_pool_can_be_had), cmocka_unit_test(requests_beyond_everything),
        cmocka_unit_test(requests_beyond_everything_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
