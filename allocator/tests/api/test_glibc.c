/* test_glibc.c - glibc's remaining interface: mallopt answer for answer as the C library's own, which lives in the same process
 * beside cell_*; perturb; malloc_info as XML of glibc's shape. */
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cellmalloc.h"

static const struct {
    int parameter, value;
} cases[] = {
    { M_MXFAST, 0 }, { M_MXFAST, 160 }, { M_MXFAST, 161 }, { M_MXFAST, -1 }, { M_TRIM_THRESHOLD, -1 },
    { M_TRIM_THRESHOLD, 0 }, { M_TRIM_THRESHOLD, INT_MAX }, { M_TOP_PAD, 0 }, { M_TOP_PAD, INT_MAX },
    { M_MMAP_THRESHOLD, 0 }, { M_MMAP_THRESHOLD, 65536 }, { M_MMAP_THRESHOLD, 32 << 20 },
    { M_MMAP_THRESHOLD, (32 << 20) + 1 }, { M_MMAP_THRESHOLD, -1 }, { M_MMAP_MAX, 0 }, { M_MMAP_MAX, INT_MAX }, { M_PERTURB, 0 },
    { M_PERTURB, 255 }, { M_PERTURB, 256 }, { M_ARENA_MAX, 1 }, { M_ARENA_TEST, 1 }, { M_CHECK_ACTION, 3 }, { 12345, 1 },
};

/* Runs in a child, so that no setting outlives its case. */
static int answer_of(int (*function)(int, int), int parameter, int value)
{
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(function(parameter, value));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void mallopt_answers_as_glibc(void **state)
{
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip();                                 /* its mallopt is not the C library's */
#endif
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int wanted = answer_of(mallopt, cases[i].parameter, cases[i].value);
        int got = answer_of(cell_mallopt, cases[i].parameter, cases[i].value);
        if (got != wanted)
            fail_msg("mallopt(%d, %d): %d, glibc: %d", cases[i].parameter, cases[i].value, got, wanted);
    }
}

static void mallopt_reaches_the_tunables(void **state)
{
    size_t value, before;

    (void)state;
    assert_int_equal(cell_option_get("purge_min", &before), 0);
    assert_int_equal(cell_mallopt(M_MMAP_THRESHOLD, 70000), 1);
    assert_int_equal(cell_option_get("mmap_threshold", &value), 0);
    assert_int_equal(value, 70000);
    assert_int_equal(cell_mallopt(M_MMAP_THRESHOLD, 0), 1);
    cell_option_get("mmap_threshold", &value);
    assert_int_equal(value, 4096);
    assert_int_equal(cell_mallopt(M_TRIM_THRESHOLD, -1), 1);
    cell_option_get("purge_share", &value);
    assert_int_equal(value, 0);
    assert_int_equal(cell_mallopt(M_TRIM_THRESHOLD, 200000), 1);
    cell_option_get("purge_min", &value);
    assert_int_equal(value, 200000);
    cell_option_get("purge_share", &value);
    assert_int_equal(value, 3);
    assert_int_equal(cell_mallopt(M_MXFAST, 64), 1);
    cell_option_get("cache_limit", &value);
    assert_in_range(value, 49, 64);              /* a chunk is cached for all requests of its size or for none */
    cell_option_set("mmap_threshold", 131072);
    cell_option_set("cache_limit", 511);
    cell_option_set("purge_min", before);
}

static int filled(const unsigned char *block, size_t from, size_t to, int byte)
{
    for (size_t i = from; i < to; i++)
        if (block[i] != byte)
            return 0;
    return 1;
}

static int check_fills(int (*set_perturb)(void))
{
    static const size_t sizes[] = { 1, 40, 64, 100, 500, 5000, 100000 };
    unsigned char *blocks[sizeof sizes / sizeof sizes[0]], *old;

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        blocks[i] = cell_malloc(sizes[i]);
        memset(blocks[i], 7, sizes[i]);
        cell_free(blocks[i]);                       /* into the cache, if there were one */
    }
    set_perturb();
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        blocks[i] = cell_malloc(sizes[i]);
        if (!filled(blocks[i], 0, cell_usable_size(blocks[i]), 0xa5))
            return 1;
    }
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        old = blocks[i];
        cell_free(blocks[i]);
        if (sizes[i] >= 100 && sizes[i] < 600 && !filled(old, 96, sizes[i] - 16, 0x5a))
            return 2;
        unsigned char *zero = cell_calloc(1, sizes[i]);
        if (!filled(zero, 0, sizes[i], 0))
            return 3;
        cell_free(zero);
    }
    return cell_check(NULL) == 0 ? 0 : 4;
}

static int by_mallopt(void) { return cell_mallopt(M_PERTURB, 0x5a); }
static int by_option(void)  { return cell_option_set("perturb", 0x5a); }
static int check_perturb(void)           { return check_fills(by_mallopt); }
static int check_perturb_by_option(void) { return check_fills(by_option); }

/* Asked for before the first block, it leaves no cache that could be given room. */
static int check_perturb_from_the_start(void)
{
    cell_mallopt(M_PERTURB, 0x5a);
    cell_option_set("cache_bytes", 65536);
    for (size_t size = 1; size < 3000; size += 40) {
        unsigned char *block = cell_malloc(size);
        if (!filled(block, 0, cell_usable_size(block), 0xa5))
            return 1;
        cell_free(block);
    }
    return 0;
}

static void perturb_fills_at_both_ends_of_a_life(void **state)
{
    int (*const checks[])(void) = { check_perturb, check_perturb_by_option, check_perturb_from_the_start };
    int status;

    (void)state;
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(checks[i]());
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
}

static void malloc_info_has_the_shape_of_glibcs(void **state)
{
    static const char *const parts[] = {
        "<malloc version=\"1\">\n<heap nr=\"0\">\n<sizes>\n", "</sizes>\n<total type=\"fast\" count=\"",
        "<total type=\"rest\" count=\"", "<total type=\"mmap\" count=\"1\" size=\"", "<system type=\"current\" size=\"",
        "<system type=\"max\" size=\"", "<aspace type=\"total\" size=\"", "<aspace type=\"mprotect\" size=\"",
        "</heap>\n<total type=\"fast\"", "</malloc>\n",
    };
    char text[8192] = "";
    FILE *stream = fmemopen(text, sizeof text, "w");
    void *mapped = cell_malloc(4 << 20);

    (void)state;
    assert_int_equal(cell_malloc_info(1, stream), EINVAL);
    assert_int_equal(cell_malloc_info(0, stream), 0);
    fclose(stream);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strstr(text, parts[i]) == NULL)
            fail_msg("malloc_info does not print %s", parts[i]);
    cell_free(mapped);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mallopt_answers_as_glibc),
        cmocka_unit_test(mallopt_reaches_the_tunables),
        cmocka_unit_test(perturb_fills_at_both_ends_of_a_life),
        cmocka_unit_test(malloc_info_has_the_shape_of_glibcs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
