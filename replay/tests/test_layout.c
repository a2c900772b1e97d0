/* test_layout.c - what is drawn for each sample: three offsets that differ between seeds, cover their range and keep alignment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "engine/run.h"

enum { SEEDS = 4000, RANGE = 4096 };

static void offsets_are_aligned_and_spread(void **state)
{
    static const unsigned step[3] = { 1, 16, 64 };
    static bool seen[3][RANGE];
    unsigned values[3] = { 0 }, alike = 0;

    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct hp_layout l = hp_run_layout(seed * 0x9e3779b97f4a7c15u);
        const uint32_t offset[3] = { l.padding, l.stack_offset, l.slot_offset };
        for (int i = 0; i < 3; i++) {
            assert_in_range(offset[i], 0, RANGE - 1);
            assert_int_equal(offset[i] % step[i], 0);
            values[i] += !seen[i][offset[i]];
            seen[i][offset[i]] = true;
        }
        alike += offset[1] / 64 == offset[2] / 64;
    }
    for (int i = 0; i < 3; i++) {   /* as many as so many draws are to find */
        unsigned places = RANGE / step[i];
        assert_true(values[i] > (places < SEEDS / 4 ? places * 95 / 100 : places / 2));
    }
    assert_in_range(alike, SEEDS / 64 / 2, SEEDS / 64 * 2);     /* drawn apart from each other */
}

static void a_seed_gives_the_same_again(void **state)
{
    struct hp_layout a = hp_run_layout(7), b = hp_run_layout(7);

    (void)state;
    assert_memory_equal(&a, &b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_are_aligned_and_spread),
        cmocka_unit_test(a_seed_gives_the_same_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
