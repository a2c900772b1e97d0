/* test_compile.c - plans: what operations become. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/compile_fixture.h"

static void touched_bytes_reach_the_operation_that_made_the_block(void **state)
{
    struct hp_compile_options options = { .serial = 1, .touch_recorded = 1 };
    struct hp_compiled c;
    char error[256];
    hp_writer *w = open_trace_with(HP_HAS_TIME | HP_HAS_THREADS | HP_HAS_RESIDENT);

    (void)state;
    add(w, (struct hp_event){ .kind = HP_THREAD_START });
    add(w, (struct hp_event){ .kind = HP_MALLOC, .id = 1, .size = 300000 });
    add(w, (struct hp_event){ .kind = HP_MALLOC, .id = 2, .size = 5000 });
    add(w, (struct hp_event){ .kind = HP_REALLOC, .old_id = 2, .id = 3, .size = 900000 });
    add(w, (struct hp_event){ .kind = HP_FREE, .old_id = 1, .resident_bytes = 123456 });
    add(w, (struct hp_event){ .kind = HP_DELETE, .old_id = 3, .resident_bytes = 0 });
    add(w, (struct hp_event){ .kind = HP_CALLOC, .id = 4, .size = 10, .count = 10 });
    assert_int_equal(finish(w, &options, &c, error), HP_OK);
    const struct hp_op *op = stream(&c, 0);
    assert_in_range(hp_touched_unpack(op[0].hi), 123456 - 123, 123456);
    assert_int_equal(op[1].hi, HP_TOUCHED_WHOLE);           /* a realloc took it along */
    assert_int_equal(op[2].hi, 0);
    assert_int_equal(op[2].aux, 1 + 12);                    /* 4096 of the old block's 5000 bytes */
    assert_int_equal(op[5].hi, HP_TOUCHED_WHOLE);           /* never freed */
    hp_compile_release(&c);

    w = open_trace();
    add(w, (struct hp_event){ .kind = HP_THREAD_START });
    add(w, (struct hp_event){ .kind = HP_MALLOC, .id = 1, .size = 1 });
    assert_int_equal(finish(w, &options, &c, error), HP_E_INVALID);
    assert_non_null(strstr(error, "record it with --touch"));
}

static void packed_touched_bytes_are_close(void **state)
{
    (void)state;
    for (uint64_t bytes = 0; bytes < UINT64_C(1) << 41; bytes += bytes / 100 + 1) {
        uint64_t back = hp_touched_unpack(hp_touched_pack(bytes));
        assert_true(back <= bytes && bytes - back <= bytes / 1024);
    }
    assert_int_equal(hp_touched_unpack(HP_TOUCHED_WHOLE), UINT64_MAX);
}

static void serial_plan_is_dense(void **state)
{
    struct hp_compile_options options = { .serial = 1 };
    struct hp_compiled c;
    char error[256];
    hp_writer *w = open_trace();

    (void)state;
    for (uint64_t i = 1; i <= 1000; i++) {
        add(w, (struct hp_event){ .kind = HP_MALLOC, .id = i, .size = 10 * i });
        if (i > 3)
            add(w, (struct hp_event){ .kind = HP_FREE, .old_id = i - 3 });
    }
    assert_int_equal(finish(w, &options, &c, error), 0);
    assert_int_equal(c.plan->calls, 1997);
    assert_int_equal(c.plan->live_max, 4);
    assert_true(c.plan->slots <= 16);
    assert_int_equal(c.plan->peak_live_bytes, 10 * (1000 + 999 + 998 + 997));
    assert_int_equal(c.plan->drain.count, 3);
    assert_int_equal(c.plan->edges, 0);
    hp_compile_release(&c);
}

static void kinds_are_kept(void **state)
{
    struct hp_compile_options options = { .serial = 1 };
    struct hp_compiled c;
    char error[256];
    hp_writer *w = open_trace();

    (void)state;
    add(w, (struct hp_event){ .kind = HP_CALLOC, .id = 1, .count = 3, .size = 7 });
    add(w, (struct hp_event){ .kind = HP_REALLOC, .id = 2, .old_id = 1, .size = 100000 });
    add(w, (struct hp_event){ .kind = HP_REALLOC, .id = 3, .old_id = 2, .size = 200000 });
    add(w, (struct hp_event){ .kind = HP_REALLOC, .id = 0, .old_id = 3, .size = 1 << 30 });  /* failed: 3 lives on */
    add(w, (struct hp_event){ .kind = HP_MALLOC, .id = 0, .size = (uint64_t)1 << 60 });      /* failed */
    add(w, (struct hp_event){ .kind = HP_POSIX_MEMALIGN, .id = 4, .alignment = 4096, .size = 5 });
    add(w, (struct hp_event){ .kind = HP_REALLOC, .id = 0, .old_id = 3, .size = 0 });
    add(w, (struct hp_event){ .kind = HP_REALLOC, .id = 5, .old_id = 0, .size = 9 });
    add(w, (struct hp_event){ .kind = HP_FREE, .old_id = 0 });
    assert_int_equal(finish(w, &options, &c, error), 0);
    const struct hp_op *op = stream(&c, 0);
    assert_int_equal(c.operations, 9);
    assert_int_equal(c.failed, 2);
    assert_int_equal(c.plan->calls, 7);
    assert_int_equal(op[0].code, OP_CALLOC);
    assert_int_equal(op[0].size, (uint64_t)3 << 32 | 7);
    assert_int_equal(op[1].code, OP_REALLOC);
    assert_int_equal((uint64_t)op[1].hi << op[1].aux, 21);
    assert_true(((uint64_t)op[2].hi << op[2].aux) <= 100000 && ((uint64_t)op[2].hi << op[2].aux) > 99990);
    assert_int_equal(op[3].code, OP_POSIX_MEMALIGN);
    assert_int_equal(op[3].aux, 12);
    assert_int_equal(op[4].code, OP_REALLOC_FREE);
    assert_int_equal(op[5].code, OP_REALLOC_NEW);
    assert_int_equal(op[6].slot, 0);
    assert_int_equal(c.plan->drain.count, 2);
    hp_compile_release(&c);
}

static void nonsense_is_refused(void **state)
{
    struct hp_compile_options options = { .serial = 1 };
    struct hp_compiled c;
    char error[256];
    hp_writer *w = open_trace();

    (void)state;
    add(w, (struct hp_event){ .kind = HP_MALLOC, .id = 1, .size = 8 });
    add(w, (struct hp_event){ .kind = HP_FREE, .old_id = 1 });
    add(w, (struct hp_event){ .kind = HP_FREE, .old_id = 1 });
    assert_int_equal(finish(w, &options, &c, error), HP_E_INVALID);
    assert_non_null(strstr(error, "operation 2"));
    assert_non_null(strstr(error, "object 1"));
    w = open_trace();
    assert_int_equal(finish(w, &options, &c, error), HP_E_INVALID);
    assert_non_null(strstr(error, "no operation"));
}

static void expect_alike(const struct hp_compiled *a, const struct hp_compiled *b, unsigned threads)
{
    for (unsigned t = 0; t < threads; t++) {
        const struct hp_op *whole = stream(a, t);
        struct hp_stream s = { 0 };
        for (uint32_t k = 0; k < b->plan->sections; k++) {
            s = hp_plan_stream(b->plan, k, t);
            assert_memory_equal(hp_plan_op(b->plan, s.first), whole + s.before, s.count * sizeof *whole);
        }
        assert_int_equal(s.before + s.count, hp_plan_stream(a->plan, 0, t).count);
    }
}

/* In pieces on disk or in one in memory, a plan for one thread is the same: operations, what is touched, live bytes. */
static void pieces_make_the_whole(void **state)
{
    struct hp_compile_options options = { .serial = 1, .touch_recorded = 1 }, bounded = options;
    struct hp_compiled whole, pieces;
    char error[256], kept[80];
    hp_writer *w = open_trace_with(HP_HAS_TIME | HP_HAS_THREADS | HP_HAS_RESIDENT);

    (void)state;
    for (uint64_t i = 1; i <= 20000; i++) {
        add(w, (struct hp_event){ .kind = HP_MALLOC, .thread = i % 3, .id = i, .size = 10 + i % 500 });
        if (i > 3000)
            add(w, (struct hp_event){ .kind = HP_FREE, .thread = i % 5, .old_id = i - 3000, .resident_bytes = i % 300 });
    }
    snprintf(kept, sizeof kept, "%s.kept", path);
    assert_int_equal(link(path, kept), 0);
    assert_int_equal(finish(w, &options, &whole, error), 0);
    bounded.memory_bytes = 128 << 10;
    bounded.directory = "/tmp";
    assert_int_equal(hp_compile_file(kept, &bounded, &pieces, error, sizeof error), 0);
    unlink(kept);
    assert_int_equal(whole.plan->sections, 1);
    assert_false(whole.plan->streamed);
    assert_in_range(pieces.plan->sections, 37000 * 16 / (32 << 10), 37000 * 16 / (32 << 10) + 1);
    assert_true(pieces.plan->streamed && pieces.plan->section_most <= 32 << 10);
    expect_alike(&whole, &pieces, 1);
    assert_int_equal(pieces.plan->calls, whole.plan->calls);
    assert_int_equal(pieces.plan->peak_live_bytes, whole.plan->peak_live_bytes);
    assert_int_equal(pieces.plan->peak_call, whole.plan->peak_call);
    assert_int_equal(pieces.plan->points, whole.plan->points);
    assert_memory_equal(pieces.plan->live_bytes, whole.plan->live_bytes, sizeof whole.plan->live_bytes);
    hp_compile_release(&whole);
    hp_compile_release(&pieces);
}

static void no_room_is_told(void **state)
{
    struct hp_compile_options options = { .serial = 1, .memory_bytes = 64 << 10, .directory = "/proc/nowhere" };
    struct hp_compiled c;
    char error[256];
    hp_writer *w = open_trace();

    (void)state;
    for (uint64_t i = 1; i <= 5000; i++)
        add(w, (struct hp_event){ .kind = HP_MALLOC, .id = i, .size = 8 });
    assert_int_equal(finish(w, &options, &c, error), HP_E_NO_ROOM);
    assert_non_null(strstr(error, "/proc/nowhere"));
    assert_non_null(strstr(error, "--plan-dir"));
}

/* A hands 1000 blocks to B in one order: known once is known for good, and B's own operations need no wait. */
static void redundant_edges_go(void **state)
{
    struct hp_compile_options options = { .window = 0 };
    struct hp_compiled c;
    char error[256];
    hp_writer *w = open_trace();

    (void)state;
    for (uint64_t i = 1; i <= 1000; i++)
        add(w, (struct hp_event){ .kind = HP_MALLOC, .id = i, .size = 8 });
    for (uint64_t i = 1000; i >= 1; i--)
        add(w, (struct hp_event){ .kind = HP_USABLE_SIZE, .thread = 1, .old_id = i, .size = 8 });
    for (uint64_t i = 1; i <= 1000; i++)
        add(w, (struct hp_event){ .kind = HP_FREE, .thread = 2, .old_id = i });
    assert_int_equal(finish(w, &options, &c, error), 0);
    /* B waits once for A's last block; C once for B's last look at the first block: A's work follows from it. */
    assert_int_equal(c.plan->edges, 2);
    assert_int_equal(c.plan->edges_dropped, 999 + 999);
    hp_compile_release(&c);
}

static uint64_t epoch_of(uint64_t live_blocks, uint64_t passing_bytes)
{
    struct hp_compile_options options = { .window = -1 };
    struct hp_compiled c;
    char error[256];
    hp_writer *w = open_trace();
    uint64_t id = 0;

    while (id < live_blocks)
        add(w, (struct hp_event){ .kind = HP_MALLOC, .id = ++id, .size = 1024 });
    for (int i = 0; i < 20000; i++) {
        add(w, (struct hp_event){ .kind = HP_MALLOC, .id = ++id, .size = passing_bytes });
        add(w, (struct hp_event){ .kind = HP_FREE, .thread = 1, .old_id = id });
    }
    assert_int_equal(finish(w, &options, &c, error), 0);
    uint64_t epoch_calls = c.plan->epoch_calls;
    hp_compile_release(&c);
    return epoch_calls;
}

/* Small blocks against much live memory: epochs of 4096 calls per thread. Blocks as large as what lives: no more calls than
 * ask for a sixteenth of it, down to 32 per thread. */
static void threads_run_ahead_by_bytes(void **state)
{
    (void)state;
    assert_int_equal(epoch_of(200000, 16), 2 * 4096);
    assert_in_range(epoch_of(8000, 1024), 500, 1300);
    assert_int_equal(epoch_of(10, 100000), 2 * 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_run_ahead_by_bytes),
        cmocka_unit_test(touched_bytes_reach_the_operation_that_made_the_block),
        cmocka_unit_test(packed_touched_bytes_are_close),
        cmocka_unit_test(serial_plan_is_dense),
        cmocka_unit_test(kinds_are_kept),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(pieces_make_the_whole),
        cmocka_unit_test(no_room_is_told),
        cmocka_unit_test(redundant_edges_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
