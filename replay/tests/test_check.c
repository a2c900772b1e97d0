/* test_check.c - each rule of validate.c is broken once, and the figures of analyze.c are known for a small trace. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "trace/analyze.h"
#include "trace/live.h"
#include "trace/validate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/heaplay-test-check-XXXXXX";

/* Writes the events; change (may be NULL) spoils the trailer. */
static hp_reader *write_and_open(const struct hp_event *events, size_t count, void (*change)(struct hp_trailer *))
{
    char error[512];
    int code;
    struct hp_meta meta = { .flags = HP_HAS_THREADS };
    struct hp_trailer trailer = { .exit_status = 0 };
    hp_writer *w = hp_writer_open(path, &meta, error, sizeof error);
    hp_reader *r;

    assert_non_null(w);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(hp_writer_append(w, &events[i]), 0);
    hp_writer_count(w, &trailer);
    if (change)
        change(&trailer);
    assert_int_equal(hp_writer_close(w, &trailer), 0);
    r = hp_reader_open(path, &code, error, sizeof error);
    assert_non_null(r);
    return r;
}

static void expect(const struct hp_event *events, size_t count, void (*change)(struct hp_trailer *), const char *text)
{
    hp_reader *r = write_and_open(events, count, change);
    struct hp_validation v;

    assert_int_equal(hp_validate(r, &v), *text ? HP_E_INVALID : 0);
    if (!strstr(v.text, text))
        fail_msg("'%s' does not say '%s'", v.text, text);
    hp_reader_close(r);
}
#define EXPECT(text, change, ...) do { \
        const struct hp_event events_[] = { __VA_ARGS__ }; \
        expect(events_, sizeof events_ / sizeof *events_, change, text); \
    } while (0)

static const struct hp_event start1 = { .kind = HP_THREAD_START, .thread = 1 };
static const struct hp_event end1 = { .kind = HP_THREAD_END, .thread = 1 };
static const struct hp_event make1 = { .kind = HP_MALLOC, .id = 1, .size = 8 };
static const struct hp_event free1 = { .kind = HP_FREE, .old_id = 1 };

static void test_blocks(void **state)
{
    (void)state;
    EXPECT("", NULL, make1, free1);
    EXPECT("freed before", NULL, make1, free1, free1);
    EXPECT("freed before", NULL, make1, free1, { .kind = HP_USABLE_SIZE, .old_id = 1, .size = 8 });
    EXPECT("freed before", NULL, make1, { .kind = HP_REALLOC, .id = 2, .old_id = 1, .size = 9 }, free1);
    EXPECT("", NULL, make1, { .kind = HP_REALLOC, .old_id = 1, .size = 9 }, free1);
    EXPECT("freed before", NULL, make1, { .kind = HP_REALLOC, .old_id = 1, .size = 0 }, free1);
    EXPECT("freed before", NULL, make1, { .kind = HP_REALLOCARRAY, .old_id = 1, .size = 9, .count = 0 }, free1);
}

static void test_threads(void **state)
{
    (void)state;
    EXPECT("", NULL, start1, make1, { .kind = HP_FREE, .old_id = 1, .thread = 1 }, end1);
    EXPECT("not started", NULL, make1, { .kind = HP_FREE, .old_id = 1, .thread = 1 });
    EXPECT("has ended", NULL, make1, start1, end1, { .kind = HP_FREE, .old_id = 1, .thread = 1 });
    EXPECT("before it started", NULL, start1, start1);
    EXPECT("before it started", NULL, make1, { .kind = HP_THREAD_START });
    EXPECT("dense", NULL, make1, { .kind = HP_THREAD_START, .thread = 2 }, { .kind = HP_FREE, .old_id = 1, .thread = 2 });
}

static void more_allocations(struct hp_trailer *t) { t->allocations++; }
static void fewer_frees(struct hp_trailer *t) { t->frees--; }
static void more_threads(struct hp_trailer *t) { t->threads++; }

static void test_trailer(void **state)
{
    (void)state;
    EXPECT("allocations stated", more_allocations, make1, free1);
    EXPECT("frees stated", fewer_frees, make1, free1);
    EXPECT("threads stated", more_threads, make1, free1);
}

static void test_figures(void **state)
{
    const struct hp_event events[] = {
        start1,
        { .kind = HP_MALLOC, .id = 1, .size = 100 },
        { .kind = HP_CALLOC, .id = 2, .count = 3, .size = 7, .thread = 1 },
        { .kind = HP_REALLOC, .id = 3, .old_id = 1, .size = 5000 },
        { .kind = HP_REALLOC, .id = 4, .old_id = 3, .size = 6000 },         /* the peak: 6021 bytes in 2 blocks */
        { .kind = HP_MALLOC, .size = UINT64_MAX },
        { .kind = HP_FREE, .old_id = 2 },                                   /* across threads */
        { .kind = HP_FREE },
        { .kind = HP_NEW, .id = 5, .size = 0 },
    };
    hp_reader *r = write_and_open(events, sizeof events / sizeof *events, NULL);
    struct hp_analysis a;

    (void)state;
    assert_int_equal(hp_analyze(r, &a), 0);
    assert_int_equal(a.operations, 8);
    assert_int_equal(a.threads, 2);
    assert_int_equal(a.by_kind[HP_MALLOC], 2);
    assert_int_equal(a.allocations, 5);
    assert_int_equal(a.frees, 1);
    assert_int_equal(a.failed, 1);
    assert_int_equal(a.null_frees, 1);
    assert_int_equal(a.never_freed, 2);
    assert_int_equal(a.peak_live_bytes, 6021);
    assert_int_equal(a.peak_live_blocks, 2);
    assert_int_equal(a.peak_operation, 4);
    assert_int_equal(a.at_peak.rounded_16, 6000 + 32);
    assert_int_equal(a.at_peak.header, 6016 + 32);
    assert_int_equal(a.at_peak.cells, 6016 + 32);
    assert_int_equal(hp_bounds_pages(&a.at_peak), 4096 + 8192);         /* 21 bytes packed, 6000 on pages of their own */
    assert_int_equal(a.cross_thread_frees, 1);
    assert_int_equal(a.reallocs_moved, 2);
    assert_int_equal(a.realloc_chains, 1);
    assert_int_equal(a.longest_chain, 2);
    assert_int_equal(a.size_count[0], 1);
    assert_int_equal(a.size_count[hp_class_of(21)], 1);
    assert_int_equal(a.size_count[hp_class_of(6000)], 2);               /* 5000 and 6000, but one at a time */
    assert_int_equal(a.size_most_live[hp_class_of(6000)], 1);
    assert_int_equal(a.size_live[hp_class_of(6000)], 1);
    assert_int_equal(a.size_live[hp_class_of(21)], 0);
    assert_int_equal(a.curve_points, 8);
    assert_int_equal(a.curve[7].live_bytes, 6000);
    hp_reader_close(r);
}

static void test_curve_is_bounded(void **state)
{
    struct hp_event *events = calloc(5001, sizeof *events);
    struct hp_analysis a;
    hp_reader *r;

    (void)state;
    assert_non_null(events);
    for (uint64_t i = 0; i < 5001; i++)
        events[i] = (struct hp_event){ .kind = HP_MALLOC, .id = i + 1, .size = 1 };
    r = write_and_open(events, 5001, NULL);
    assert_int_equal(hp_analyze(r, &a), 0);
    assert_in_range(a.curve_points, HP_CURVE_POINTS / 2, HP_CURVE_POINTS);
    for (uint32_t i = 0; i < a.curve_points; i++) {
        assert_int_equal(a.curve[i].operation, (i + 1) * a.curve_step);
        assert_int_equal(a.curve[i].live_bytes, a.curve[i].operation);
    }
    hp_reader_close(r);
    free(events);
}

/* Many blocks come and go in random order; each live one is found, with its size, and no other. */
static void test_live_table(void **state)
{
    enum { IDS = 20000 };
    static bool live[IDS];
    struct hp_live table;
    size_t count = 0;

    (void)state;
    srand(1);
    assert_int_equal(hp_live_init(&table), 0);
    for (int round = 0; round < 200000; round++) {
        uint64_t id = 1 + (uint64_t)rand() % (IDS - 1);
        struct hp_live_block *found = hp_live_find(&table, id);
        assert_int_equal(found != NULL, live[id]);
        if (found) {
            assert_int_equal(found->size, id * 3);
            hp_live_remove(&table, found);
            count--;
        } else {
            assert_int_equal(hp_live_add(&table, &(struct hp_live_block){ .id = id, .size = id * 3 }), 0);
            count++;
        }
        live[id] = !live[id];
        assert_int_equal(table.count, count);
    }
    for (uint64_t id = 1; id < IDS; id++)
        assert_int_equal(hp_live_find(&table, id) != NULL, live[id]);
    hp_live_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks), cmocka_unit_test(test_threads), cmocka_unit_test(test_trailer),
        cmocka_unit_test(test_figures), cmocka_unit_test(test_live_table),
        cmocka_unit_test(test_curve_is_bounded),
    };
    int fd = mkstemp(path), failed;

    if (fd < 0)
        return 1;
    close(fd);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
