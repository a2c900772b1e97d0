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
#include "measure/stopping.h"

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

static double uniform(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return ((double)(*state >> 11) + 0.5) / 9007199254740992.0;
}

/* Logs of ratios as machines make them: normal, and one of ten from a normal four times as wide. */
static double noise(uint64_t *state, double spread)
{
    double wide = uniform(state) < 0.1 ? 4 : 1;

    return wide * spread * sqrt(-2 * log(uniform(state))) * cos(2 * M_PI * uniform(state));
}

/* Of 2,000 runs that stop by the rule: how many intervals hold the truth, and how many are as narrow as was asked? */
static void stopping_keeps_its_promises(void **state)
{
    double logs[2000];
    unsigned held = 0, narrow = 0, early = 0;
    uint64_t random = 88172645463325252u;

    (void)state;
    for (int run = 0; run < 2000; run++) {
        double truth = 0.05, spread = 0.005 * (1 + run % 4), mean = 0, variance = 0;
        for (unsigned i = 0; i < HP_PILOT_BLOCKS; i++)
            logs[i] = truth + noise(&random, spread);
        unsigned n = hp_stopping_blocks(logs, 0.01, 2000);
        for (unsigned i = HP_PILOT_BLOCKS; i < n; i++)
            logs[i] = truth + noise(&random, spread);
        for (unsigned i = 0; i < n; i++)
            mean += logs[i] / n;
        for (unsigned i = 0; i < n; i++)
            variance += (logs[i] - mean) * (logs[i] - mean) / (n - 1);
        double reach = (1.96 + 2.6 / (n - 1)) * sqrt(variance / n);
        held += fabs(mean - truth) <= reach;
        narrow += fabs(mean - truth) <= log(1.01);
        early += n < 20;
    }
    assert_true(held >= 1860);                      /* 93 % */
    assert_true(narrow >= 1860);
    assert_true(early >= 400 && early <= 1600);     /* it does stop early where little noise is, and only there */
}

static void stopping_follows_the_pilot(void **state)
{
    double logs[HP_PILOT_BLOCKS] = { 0 };

    (void)state;
    assert_int_equal(hp_stopping_blocks(logs, 0.01, 500), HP_PILOT_BLOCKS);
    for (unsigned i = 0; i < HP_PILOT_BLOCKS; i++)
        logs[i] = i % 2 ? 0.03 : -0.03;             /* variance 0.001: 2.2622^2 * 0.001 / log(1.01)^2 = 51.7 */
    assert_int_equal(hp_stopping_blocks(logs, 0.01, 500), 52);
    assert_int_equal(hp_stopping_blocks(logs, 0.01, 40), 40);
    logs[0] = NAN;
    assert_int_equal(hp_stopping_blocks(logs, 0.01, 500), HP_PILOT_BLOCKS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_are_the_textbook_ones),
        cmocka_unit_test(missing_samples_do_not_count),
        cmocka_unit_test(interval_covers_the_median),
        cmocka_unit_test(stopping_keeps_its_promises),
        cmocka_unit_test(stopping_follows_the_pilot),
        cmocka_unit_test(sha256_is_the_standards),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
