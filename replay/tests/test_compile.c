/* test_compile.c - plans: what operations become, and that no interleaving uses a block before it exists.
 *
 * The interleaving checker executes the streams of a plan against a table of slot states, under schedules that run one
 * thread as far ahead as the waits allow, and under random ones. To show that it can fail, it is also run with the
 * waits ignored. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "trace/compile.h"

static char path[64];

static hp_writer *open_trace(void)
{
    static char command[] = "test", origin[] = "synthetic:test", host[] = "";
    static struct hp_meta meta = { .command = command, .origin = origin, .host = host,
                                   .flags = HP_HAS_TIME | HP_HAS_THREADS };
    char error[256];

    snprintf(path, sizeof path, "/tmp/hp-test-compile-%d.hpt", (int)getpid());
    hp_writer *w = hp_writer_open(path, &meta, error, sizeof error);
    assert_non_null(w);
    return w;
}

static void add(hp_writer *w, struct hp_event e)
{
    assert_int_equal(hp_writer_append(w, &e), 0);
}

static int finish(hp_writer *w, const struct hp_compile_options *options, struct hp_compiled *out, char *error)
{
    struct hp_trailer trailer = { .exit_status = -1 };

    hp_writer_count(w, &trailer);
    assert_int_equal(hp_writer_close(w, &trailer), 0);
    int code = hp_compile_file(path, options, out, error, 256);
    unlink(path);
    return code;
}

static const struct hp_op *stream(const struct hp_compiled *c, unsigned t)
{
    return (const struct hp_op *)((const char *)c->plan + c->plan->stream[t].first);
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

/* A random program: any thread may free, resize or look at any block. */
static void random_trace(hp_writer *w, unsigned threads, unsigned operations, unsigned seed)
{
    uint64_t live[256], id = 0;
    unsigned n = 0;

    for (unsigned i = 0; i < operations; i++) {
        /* Stretches by one thread, so that threads can get far ahead of each other. */
        unsigned t = (unsigned)rand_r(&seed) % threads, stretch = (unsigned)rand_r(&seed) % 20;
        for (unsigned k = 0; k <= stretch; k++) {
            unsigned what = (unsigned)rand_r(&seed) % 8, which = n ? (unsigned)rand_r(&seed) % n : 0;
            struct hp_event e = { .thread = t, .kind = HP_MALLOC, .size = 1 + what };
            if (n == 0 || (what < 4 && n < 256)) {
                e.id = live[n++] = ++id;
            } else if (what == 4) {
                e = (struct hp_event){ .thread = t, .kind = HP_USABLE_SIZE, .old_id = live[which], .size = 8 };
            } else if (what == 5) {
                e = (struct hp_event){ .thread = t, .kind = HP_REALLOC, .old_id = live[which], .size = 9, .id = ++id };
                live[which] = id;
            } else {
                e = (struct hp_event){ .thread = t, .kind = HP_FREE, .old_id = live[which] };
                live[which] = live[--n];
            }
            add(w, e);
        }
    }
}

struct machine {
    const struct hp_compiled *c;
    bool      heed;                 /* waits are heeded */
    uint64_t  at[HP_MAX_THREADS];
    uint64_t  published[HP_MAX_THREADS];
    uint32_t *epoch_left;
    uint64_t  epochs_done;
    char     *full;                 /* per slot */
    bool      wrong;
};

static bool runnable(const struct machine *m, unsigned t)
{
    const struct hp_op *op = &stream(m->c, t)[m->at[t]];

    if (m->at[t] == m->c->plan->stream[t].count)
        return false;
    if (m->heed && op->code == OP_WAIT)
        return m->published[op->slot] >= op->size;
    if (m->heed && op->code == OP_EPOCH_WAIT)
        return m->epochs_done > op->size;
    return true;
}

static void execute(struct machine *m, unsigned t)
{
    const struct hp_op *op = &stream(m->c, t)[m->at[t]++];
    unsigned code = op->code & ~OP_PUBLISH;

    if (code == OP_EPOCH_DONE) {
        m->epoch_left[op->size]--;
        while (m->epochs_done < m->c->plan->epochs && m->epoch_left[m->epochs_done] == 0)
            m->epochs_done++;
    } else if (code == OP_MALLOC) {
        m->wrong |= m->full[op->slot];
        m->full[op->slot] = 1;
    } else if (code < OP_CODE_CALLS) {
        m->wrong |= !m->full[op->slot];
        m->full[op->slot] = code != OP_FREE;
    }
    if (op->code & OP_PUBLISH)
        m->published[t] = m->at[t];
}

/* favourite: the thread that runs whenever it can; UINT_MAX: nobody. Returns false on a violation or a deadlock. */
static bool schedule(const struct hp_compiled *c, unsigned favourite, unsigned seed, bool heed)
{
    const struct hp_plan *p = c->plan;
    struct machine m = { .c = c, .heed = heed, .full = calloc(p->slots, 1),
                         .epoch_left = calloc(p->epochs + 1, sizeof(uint32_t)) };
    uint64_t left = 0, tries = 0;

    memcpy(m.epoch_left, (const char *)p + p->epoch_table, p->epochs * sizeof(uint32_t));
    for (unsigned t = 0; t < p->threads; t++)
        left += p->stream[t].count;
    while (left && !m.wrong && tries < 100000) {
        unsigned t = favourite < p->threads && runnable(&m, favourite) ? favourite
                     : (unsigned)rand_r(&seed) % p->threads;
        tries++;
        if (!runnable(&m, t))
            continue;
        execute(&m, t);
        left--;
        tries = 0;
    }
    free(m.full);
    free(m.epoch_left);
    return !m.wrong && left == 0;
}

static void check_interleavings(int64_t window)
{
    for (unsigned seed = 1; seed <= 6; seed++) {
        struct hp_compile_options options = { .window = window };
        struct hp_compiled c;
        char error[256];
        hp_writer *w = open_trace();
        unsigned threads = 2 + seed, failed = 0;

        random_trace(w, threads, 1500, seed);
        assert_int_equal(finish(w, &options, &c, error), 0);
        assert_int_equal(c.plan->threads, threads);
        for (unsigned favourite = 0; favourite <= threads; favourite++) {
            assert_true(schedule(&c, favourite, seed * 100 + favourite, true));
            failed += !schedule(&c, favourite, seed * 100 + favourite, false);
        }
        assert_true(failed > 0);    /* without the waits the checker finds violations */
        hp_compile_release(&c);
    }
}

static void no_block_before_it_exists(void **state)
{
    (void)state;
    check_interleavings(0);
}

static void no_block_before_it_exists_with_epochs(void **state)
{
    (void)state;
    check_interleavings(64);
    check_interleavings(-1);
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
        cmocka_unit_test(serial_plan_is_dense),
        cmocka_unit_test(kinds_are_kept),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(no_block_before_it_exists),
        cmocka_unit_test(no_block_before_it_exists_with_epochs),
        cmocka_unit_test(redundant_edges_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
