/* test_interleave.c - no interleaving of a plan's threads uses a block before it exists.
 *
 * The checker executes the streams of a plan against a table of slot states, under schedules that run one thread as far
 * ahead as the waits allow, and under random ones. To show that it can fail, it is also run with the waits ignored, and
 * with threads that do not meet between sections. */
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

enum heed { HEED_ALL, HEED_SECTIONS, HEED_WAITS };     /* what orders threads: everything, or one of the two only */

struct machine {
    const struct hp_compiled *c;
    enum heed heed;
    uint32_t  section[HP_MAX_THREADS];      /* each thread's, and its place in it */
    uint64_t  at[HP_MAX_THREADS];
    uint64_t  published[HP_MAX_THREADS];    /* in its section */
    uint32_t *epoch_left;                   /* of the section */
    uint64_t  epochs_done;
    char     *full;                         /* per slot */
    bool      wrong;
};

static const struct hp_op *next_op(const struct machine *m, unsigned t)
{
    struct hp_stream s = hp_plan_stream(m->c->plan, m->section[t], t);

    return m->at[t] < s.count ? hp_plan_op(m->c->plan, s.first) + m->at[t] : NULL;
}

static bool runnable(const struct machine *m, unsigned t)
{
    const struct hp_op *op = next_op(m, t);

    if (!op)
        return false;
    if (m->heed != HEED_SECTIONS && op->code == OP_WAIT)
        return m->published[op->slot] >= op->size || m->section[op->slot] > m->section[t];
    if (m->heed == HEED_ALL && op->code == OP_EPOCH_WAIT)
        return m->epochs_done > op->size;
    return true;
}

static void execute(struct machine *m, unsigned t)
{
    const struct hp_op *op = next_op(m, t);
    unsigned code = op->code & ~OP_PUBLISH;

    m->at[t]++;
    if (code == OP_EPOCH_DONE) {
        m->epoch_left[op->size]--;
        while (m->epoch_left[m->epochs_done] == 0)
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

/* The last entry is never used up, so that epochs_done stops there. */
static void enter_section(struct machine *m, uint32_t section)
{
    const struct hp_section *s = hp_plan_section(m->c->plan, section);

    memcpy(m->epoch_left, (const char *)m->c->plan + s->epoch_table, s->epochs * sizeof *m->epoch_left);
    m->epoch_left[s->epochs] = UINT32_MAX;
    m->epochs_done = 0;
}

static void turn(struct machine *m, unsigned t)
{
    m->section[t]++;
    m->at[t] = m->published[t] = 0;
}

/* Threads that are through with their section go on to the next: all together, or each as soon as it is. */
static void go_on(struct machine *m)
{
    const struct hp_plan *p = m->c->plan;
    bool all = true;

    for (unsigned t = 0; t < p->threads; t++) {
        while (m->heed == HEED_WAITS && !next_op(m, t) && m->section[t] + 1 < p->sections)
            turn(m, t);
        all &= !next_op(m, t);
    }
    if (m->heed == HEED_WAITS || !all || m->section[0] + 1 == p->sections)
        return;
    for (unsigned t = 0; t < p->threads; t++)
        turn(m, t);
    enter_section(m, m->section[0]);
    go_on(m);
}

/* favourite: the thread that runs whenever it can; UINT_MAX: nobody. Returns false on a violation or a deadlock. */
static bool schedule(const struct hp_compiled *c, unsigned favourite, unsigned seed, enum heed heed)
{
    const struct hp_plan *p = c->plan;
    struct machine m = { .c = c, .heed = heed, .full = calloc(p->slots, 1),
                         .epoch_left = calloc(p->epochs_most + 1, sizeof(uint32_t)) };
    uint64_t left = 0, tries = 0;

    enter_section(&m, 0);
    for (uint32_t k = 0; k < p->sections; k++)
        for (unsigned t = 0; t < p->threads; t++)
            left += hp_plan_stream(p, k, t).count;
    while (left && !m.wrong && tries < 100000) {
        go_on(&m);
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

/* room: 0, or so little memory that the plan has many sections, and goes to disk. */
static void check_interleavings(int64_t window, uint64_t room)
{
    for (unsigned seed = 1; seed <= 6; seed++) {
        struct hp_compile_options options = { .window = window, .memory_bytes = room, .directory = "/tmp" };
        struct hp_compiled c;
        char error[256];
        hp_writer *w = open_trace();
        unsigned threads = 2 + seed, failed = 0, failed_across = 0;

        random_trace(w, threads, 1500, seed);
        assert_int_equal(finish(w, &options, &c, error), 0);
        assert_int_equal(c.plan->threads, threads);
        assert_int_equal(c.plan->sections > 4, room != 0);
        assert_int_equal(c.plan->streamed, room != 0);
        for (unsigned favourite = 0; favourite <= threads; favourite++) {
            assert_true(schedule(&c, favourite, seed * 100 + favourite, HEED_ALL));
            failed += !schedule(&c, favourite, seed * 100 + favourite, HEED_SECTIONS);
            failed_across += !schedule(&c, favourite, seed * 100 + favourite, HEED_WAITS);
        }
        assert_true(failed > 0);    /* without the waits the checker finds violations */
        if (room)
            assert_true(failed_across > 0);     /* and without the meetings between sections */
        hp_compile_release(&c);
    }
}

static void no_block_before_it_exists(void **state)
{
    (void)state;
    check_interleavings(0, 0);
}

static void no_block_before_it_exists_with_epochs(void **state)
{
    (void)state;
    check_interleavings(64, 0);
    check_interleavings(-1, 0);
}

static void no_block_before_it_exists_with_sections(void **state)
{
    (void)state;
    check_interleavings(0, 64 << 10);
    check_interleavings(64, 64 << 10);
    check_interleavings(-1, 64 << 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_block_before_it_exists),
        cmocka_unit_test(no_block_before_it_exists_with_epochs),
        cmocka_unit_test(no_block_before_it_exists_with_sections),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
