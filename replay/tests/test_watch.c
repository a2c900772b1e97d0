/* test_watch.c - the outside sampler on a child whose memory and progress are known, and the parser of smaps_rollup. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "engine/watch.h"

enum { STEPS = 16, STEP_BYTES = 1 << 20, WAIT_NS = 12000000 };

static struct hp_job *job;
static struct hp_watch *watch;     /* shared, as the job is: a child sees how far the sampler is */

static void smaps_text_is_understood(void **state)
{
    struct hp_smaps s;

    (void)state;
    hp_smaps_parse("00400000-7ffd [rollup]\nRss:   1234 kB\nPss:  56 kB\nPrivate_Dirty:\t7 kB\nLazyFree: 0 kB\n", &s);
    assert_int_equal(s.kib[HP_SMAPS_RSS], 1234);
    assert_int_equal(s.kib[HP_SMAPS_PSS], 56);
    assert_int_equal(s.kib[HP_SMAPS_PRIVATE_DIRTY], 7);
    assert_int_equal(s.kib[HP_SMAPS_LAZY_FREE], 0);
    assert_int_equal(s.kib[HP_SMAPS_ANON_HUGE], HP_MISSING);
}

static void pause_ns(long ns)
{
    nanosleep(&(struct timespec){ .tv_nsec = ns }, NULL);
}

static void wait_for(uint32_t state)
{
    while (atomic_load(&job->watch) != state)
        pause_ns(10000);
}

/* A worker that grows by 1 MiB a step (filled by the kernel, unseen by sanitizers and their shadow memory), which it books as calls and bytes of two threads. */
static void grow(void)
{
    char *p = mmap(NULL, STEPS * STEP_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    int zero = open("/dev/zero", O_RDONLY);

    atomic_store(&job->watch, HP_WATCH_READY);
    wait_for(HP_WATCH_GO);
    for (int i = 0; i < STEPS; i++) {
        if (syscall(SYS_read, zero, p + i * STEP_BYTES, STEP_BYTES) != STEP_BYTES)
            _exit(1);
        atomic_fetch_add(&job->progress[i % 2].live_bytes, STEP_BYTES - 100);
        atomic_fetch_add(&job->progress[i % 2].usable_bytes, STEP_BYTES);
        atomic_fetch_add(&job->progress[i % 2].calls, 10);
        pause_ns(WAIT_NS);
    }
    atomic_store(&job->watch, HP_WATCH_DONE);
    wait_for(HP_WATCH_OVER);
}

/* Progress at every look, until there were more looks than there is room for points. */
static void hurry(void)
{
    atomic_store(&job->watch, HP_WATCH_READY);
    wait_for(HP_WATCH_GO);
    while (*(volatile uint64_t *)&watch->step_calls < 2) {
        atomic_fetch_add(&job->progress[0].calls, 1);
        pause_ns(1000);
    }
    atomic_store(&job->watch, HP_WATCH_DONE);
    wait_for(HP_WATCH_OVER);
}

static void hang(void)
{
    pause();
}

static void crash(void)
{
    _exit(1);
}

static bool watch_child(void (*child)(void), uint64_t calls, unsigned timeout_s)
{
    memset(job, 0, sizeof *job);
    pid_t pid = fork();
    if (pid == 0) {
        child();
        _exit(0);
    }
    bool on_time = hp_watch_run(watch, pid, job, 2, calls, timeout_s);
    if (!on_time)
        kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return on_time;
}

static void points_follow_the_worker(void **state)
{
    (void)state;
    assert_true(watch_child(grow, STEPS * 10, 30));
    const struct hp_watch_point *last = &watch->point[watch->points - 1];
    assert_in_range(watch->points, 4, HP_WATCH_POINTS);
    assert_int_equal(last->calls, STEPS * 10);
    assert_int_equal(last->live_bytes, STEPS * (STEP_BYTES - 100));
    assert_int_equal(last->usable_bytes, STEPS * STEP_BYTES);
    assert_in_range(last->memory.kib[HP_SMAPS_RSS], STEPS * 1024, STEPS * 1024 + 256);
    assert_in_range(last->memory.kib[HP_SMAPS_PRIVATE_DIRTY], STEPS * 1024, STEPS * 1024 + 256);
    assert_int_equal(watch->point[0].ns, 0);
    for (uint32_t i = 1; i < watch->points; i++) {
        const struct hp_watch_point *p = &watch->point[i];
        assert_true(p->ns > p[-1].ns && p->calls >= p[-1].calls);
        /* A step that the reading fell into may be in one of the two only; calls_during says how many more there were. */
        int64_t apart = p->memory.kib[HP_SMAPS_RSS] - p->usable_bytes / 1024;
        assert_true(llabs(apart) <= (int64_t)(1 + p->calls_during / 10) * 1024 + 256);
    }
}

static void points_are_thinned_not_dropped(void **state)
{
    (void)state;
    assert_true(watch_child(hurry, 0, 60));
    assert_true(watch->step_calls >= 2 && watch->interval_ns >= 10000000);
    assert_in_range(watch->points, HP_WATCH_POINTS / 2, HP_WATCH_POINTS);
    assert_int_equal(watch->point[0].calls, 0);
    assert_int_equal(watch->point[watch->points - 1].calls, atomic_load(&job->progress[0].calls));
    for (uint32_t i = 1; i < watch->points; i++)
        assert_true(watch->point[i].calls >= watch->point[i - 1].calls);
}

static void ends_with_the_worker_or_in_time(void **state)
{
    (void)state;
    assert_true(watch_child(crash, 10, 30));
    assert_int_equal(watch->points, 0);
    assert_false(watch_child(hang, 10, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smaps_text_is_understood),
        cmocka_unit_test(points_follow_the_worker),
        cmocka_unit_test(points_are_thinned_not_dropped),
        cmocka_unit_test(ends_with_the_worker_or_in_time),
    };

    job = mmap(NULL, sizeof *job, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    watch = mmap(NULL, sizeof *watch, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return job == MAP_FAILED || watch == MAP_FAILED ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
