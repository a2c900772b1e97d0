/* test_figure.c - medians and their intervals against known values, and the SHA-256 against the standard's examples. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "allocs/allocs.h"
#include "measure/figure.h"

static void ranks_are_the_textbook_ones(void **state)
{
    (void)state;
    assert_int_equal(hp_figure_rank(5), 0);     /* 2 * (1/2)^5 = 6 % */
    assert_int_equal(hp_figure_rank(6), 1);     /* 2 * (1/2)^6 = 3 % */
    assert_int_equal(hp_figure_rank(10), 2);
    assert_int_equal(hp_figure_rank(20), 6);
    assert_int_equal(hp_figure_rank(100), 40);
}

static void missing_samples_do_not_count(void **state)
{
    double sample[] = { 3, NAN, 1, 2 }, none[] = { NAN, NAN };
    struct hp_figure f;

    (void)state;
    assert_true(hp_figure_of(sample, 4, &f));
    assert_int_equal(f.count, 3);
    assert_true(f.median == 2 && f.low == 1 && f.high == 3 && !f.interval);
    assert_false(hp_figure_of(none, 2, &f));
}

/* 400 runs of 15 skewed samples whose true median is 0: the interval must hold it about 95 times in 100. */
static void interval_covers_the_median(void **state)
{
    unsigned seed = 7, covered = 0;

    (void)state;
    for (int run = 0; run < 400; run++) {
        double sample[15];
        struct hp_figure f;
        for (int i = 0; i < 15; i++)
            sample[i] = log2(-log((rand_r(&seed) + 1.0) / (RAND_MAX + 2.0)) / log(2));
        assert_true(hp_figure_of(sample, 15, &f));
        covered += f.low <= 0 && f.high >= 0;
    }
    assert_in_range(covered, 370, 399);
}

static void sha256_of(const char *text, size_t length, char hex[65])
{
    char path[64];

    snprintf(path, sizeof path, "/tmp/hp-test-figure-%d", (int)getpid());
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, length, f), length);
    fclose(f);
    assert_true(hp_sha256_file(path, hex));
    unlink(path);
}

static void sha256_is_the_standards(void **state)
{
    char hex[65], a[64];

    (void)state;
    memset(a, 'a', sizeof a);
    sha256_of("abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    sha256_of("", 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    sha256_of(a, 64, hex);
    assert_string_equal(hex, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_are_the_textbook_ones),
        cmocka_unit_test(missing_samples_do_not_count),
        cmocka_unit_test(interval_covers_the_median),
        cmocka_unit_test(sha256_is_the_standards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
