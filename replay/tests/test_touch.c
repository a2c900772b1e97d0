/* test_touch.c - which bytes of a block each touch policy writes to, of a new one and of the grown part of an old one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "engine/worker_execute.h"

enum { SIZE = 3 * HP_PAGE + 100, MARGIN = 64 };

static char memory[SIZE + MARGIN];

void hp_execute_refused(const struct hp_op *op)
{
    (void)op;
    abort();
}

/* Touches bytes from..size and says how many bytes were written to. */
static size_t touch(int policy, size_t from, size_t size, uint64_t lines)
{
    size_t written = 0;

    memset(memory, 0, sizeof memory);
    hp_touch(memory, from, size, policy, lines);
    for (size_t i = 0; i < sizeof memory; i++)
        written += memory[i] != 0;
    return written;
}

static void none_writes_nothing(void **state)
{
    (void)state;
    assert_int_equal(touch(HP_TOUCH_NONE, 0, SIZE, 0), 0);
}

static void first_writes_one_byte_of_a_new_block(void **state)
{
    (void)state;
    assert_int_equal(touch(HP_TOUCH_FIRST, 0, SIZE, 0), 1);
    assert_true(memory[0]);
    assert_int_equal(touch(HP_TOUCH_FIRST, 16, SIZE, 0), 0);
    assert_int_equal(touch(HP_TOUCH_FIRST, 0, 0, 0), 0);
}

static void page_writes_one_byte_a_page_and_the_last(void **state)
{
    (void)state;
    assert_int_equal(touch(HP_TOUCH_PAGE, 0, SIZE, 0), 5);
    assert_true(memory[0] && memory[HP_PAGE] && memory[2 * HP_PAGE] && memory[3 * HP_PAGE] && memory[SIZE - 1]);
    assert_int_equal(touch(HP_TOUCH_PAGE, 50, 60, 0), 2);
    assert_true(memory[50] && memory[59]);
    assert_int_equal(touch(HP_TOUCH_PAGE, 0, 1, 0), 1);
}

static void line_writes_one_byte_a_line_up_to_k(void **state)
{
    (void)state;
    assert_int_equal(touch(HP_TOUCH_LINE, 0, SIZE, 3), 3);
    assert_true(memory[0] && memory[HP_LINE] && memory[2 * HP_LINE]);
    assert_int_equal(touch(HP_TOUCH_LINE, 0, HP_LINE + 1, 3), 2);
    assert_int_equal(touch(HP_TOUCH_LINE, 3 * HP_LINE, SIZE, 3), 0);
}

static void all_writes_every_byte_of_its_part(void **state)
{
    (void)state;
    assert_int_equal(touch(HP_TOUCH_ALL, 0, SIZE, 0), SIZE);
    assert_int_equal(touch(HP_TOUCH_ALL, 100, 300, 0), 200);
    assert_true(!memory[99] && memory[100] && memory[299] && !memory[300]);
}

static void recorded_writes_one_byte_a_page_of_what_was_resident(void **state)
{
    struct hp_op op = { .code = OP_MALLOC, .hi = hp_touched_pack(2 * HP_PAGE) };
    size_t from = 0, size = SIZE;

    (void)state;
    hp_touched_part(&op, HP_TOUCH_PAGE, &from, &size);
    assert_int_equal(size, SIZE);
    hp_touched_part(&op, HP_TOUCH_RECORDED, &from, &size);
    assert_int_equal(touch(HP_TOUCH_RECORDED, from, size, 0), 2);
    assert_true(memory[0] && memory[HP_PAGE]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(none_writes_nothing),
        cmocka_unit_test(first_writes_one_byte_of_a_new_block),
        cmocka_unit_test(page_writes_one_byte_a_page_and_the_last),
        cmocka_unit_test(line_writes_one_byte_a_line_up_to_k),
        cmocka_unit_test(all_writes_every_byte_of_its_part),
        cmocka_unit_test(recorded_writes_one_byte_a_page_of_what_was_resident),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
