/* test_limits.c - memory that is used up: NULL with ENOMEM, and a heap that is sound and goes on when some is free again. */
#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>

#include "support.h"

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

static void set_address_space(size_t more)
{
    unsigned long pages = 0;
    FILE *statm = fopen("/proc/self/statm", "r");

    REQUIRE(statm != NULL && fscanf(statm, "%lu", &pages) == 1);
    fclose(statm);
    struct rlimit limit = { pages * 4096 + more, pages * 4096 + more };
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

/* The limit comes when the heap has its range already. */
TEST(address_space_limited_later)
{
    REQUIRE(cell_malloc(100) != NULL);
    set_address_space(16 * MIB);
    cell_option_set("footprint_limit", 64 * MIB);
    exhaust_all(8 * MIB);
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

TEST(requests_beyond_everything)
{
    static const size_t huge[] = { PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1, SIZE_MAX, SIZE_MAX - 8, SIZE_MAX - 4096,
                                   (size_t)PTRDIFF_MAX - 4096, (size_t)1 << 47, (size_t)1 << 56 };
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

/* ---- overcommit_memory = 2: needs root and changes the machine for a moment, so it is asked for ----------------------- */

static int set_overcommit(const char *value, char *old)
{
    int fd = open("/proc/sys/vm/overcommit_memory", O_RDWR);
    int done = fd >= 0 && (old == NULL || pread(fd, old, 1, 0) == 1) && pwrite(fd, value, 1, 0) == 1;

    if (fd >= 0)
        close(fd);
    return done;
}

static void use_strictly(const void *unused)
{
    (void)unused;
    cell_option_set("footprint_limit", 64 * MIB);
    exhaust_all(30 * MIB);
}

static void overcommit_forbidden(void **state)
{
    char old[2] = "";

    (void)state;
    if (!is_long_run() || !set_overcommit("2", old)) {
        print_message("# overcommit_memory is left alone: LONG=1 as root switches it\n");
        skip();
    }
    int status = status_of_child(use_strictly, NULL);
    set_overcommit(old, NULL);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#if !UNDER_SANITIZER
        cmocka_unit_test(address_space_of_64_mib), cmocka_unit_test(address_space_of_8_mib),
        cmocka_unit_test(address_space_limited_later), cmocka_unit_test(hardly_any_address_space),
#endif
        cmocka_unit_test(footprint_limit), cmocka_unit_test(footprint_limit_is_nearly_kept_at_every_step),
        cmocka_unit_test(requests_beyond_everything), cmocka_unit_test(overcommit_forbidden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
