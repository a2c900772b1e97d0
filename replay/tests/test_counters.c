/* test_counters.c - the counters on events that every kernel has in software, for processors whose own are hidden. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <linux/perf_event.h>
#include <cmocka.h>

#include "measure/counters.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

enum { PAGES = 64, PAGE_BYTES = 4096 };

static const struct hp_counter_event events[] = {
    { "page_faults", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS_MIN },
    { "nonsense", PERF_TYPE_SOFTWARE, 0xffff },
};

static void *touch(void *unused)
{
    volatile char *p = mmap(NULL, PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    (void)unused;
    madvise((void *)p, PAGES * PAGE_BYTES, MADV_NOHUGEPAGE);
    for (int i = 0; i < PAGES; i++)
        p[i * PAGE_BYTES] = 1;
    return NULL;
}

static void in_a_thread(void)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, touch, NULL), 0);
    pthread_join(thread, NULL);
}

/* Pages that an allocator has brought in ahead must not be missing where faults are compared. */
static void pages_asked_for_ahead_are_faults(void **state)
{
    struct rusage before, after;

    (void)state;
    getrusage(RUSAGE_SELF, &before);
    char *p = mmap(NULL, PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    madvise(p, PAGES * PAGE_BYTES, MADV_NOHUGEPAGE);
    if (madvise(p, PAGES * PAGE_BYTES, MADV_POPULATE_WRITE) != 0) {
        assert_int_equal(errno, EINVAL);
        skip();     /* before Linux 5.14 */
    }
    getrusage(RUSAGE_SELF, &after);
    assert_true(after.ru_minflt - before.ru_minflt >= PAGES);
    munmap(p, PAGES * PAGE_BYTES);
}

static void what_happens_between_start_and_stop_is_counted(void **state)
{
    struct hp_counters c;
    uint64_t before[2], value[2], after[2];

    (void)state;
    hp_counters_open(&c, events, 2);
    if (c.error[0] == EACCES || c.error[0] == EPERM || c.error[0] == ENOSYS)
        skip();     /* a container without perf_event_open */
    assert_int_equal(c.error[0], 0);
    touch(NULL);
    hp_counters_read(&c, before);
    assert_int_equal(before[0], 0);
    hp_counters_start(&c);
    touch(NULL);
    in_a_thread();
    hp_counters_stop(&c);
    c.error[0] = 0;
    hp_counters_read(&c, value);
    assert_int_equal(c.error[0], 0);
    assert_true(value[0] >= 2 * PAGES);     /* sanitizers add some of their own */
    touch(NULL);
    hp_counters_read(&c, after);
    assert_int_equal(after[0], value[0]);
    hp_counters_close(&c);
}

static void what_is_missing_has_its_errno(void **state)
{
    struct hp_counters c;
    uint64_t value[2] = { 7, 7 };

    (void)state;
    hp_counters_open(&c, events, 2);
    assert_int_equal(c.fd[1], -1);
    assert_int_not_equal(c.error[1], 0);
    hp_counters_start(&c);
    hp_counters_stop(&c);
    hp_counters_read(&c, value);
    assert_int_equal(value[1], 0);
    hp_counters_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_asked_for_ahead_are_faults),
        cmocka_unit_test(what_happens_between_start_and_stop_is_counted),
        cmocka_unit_test(what_is_missing_has_its_errno),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
