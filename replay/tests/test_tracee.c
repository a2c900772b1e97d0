/* test_tracee.c - stopping all threads of another process: those that are ending do not stand in the way. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "record/tracee.h"

static void *wait_for_a_signal(void *unused)
{
    while (pause() != 0)
        continue;
    return unused;
}

/* A process of one thread that waits, and a first one that has ended: it is listed as long as the other lives. */
static pid_t start(void)
{
    pid_t pid = fork();
    pthread_t thread;

    if (pid != 0)
        return pid;
    if (pthread_create(&thread, NULL, wait_for_a_signal, NULL) != 0)
        _exit(1);
    pthread_exit(NULL);
}

static void wait_until_first_has_ended(pid_t pid)
{
    char path[64], line[128] = "";

    snprintf(path, sizeof path, "/proc/%d/task/%d/status", (int)pid, (int)pid);
    for (int i = 0; i < 3000; i++, usleep(10000)) {
        FILE *status = fopen(path, "r");

        assert_non_null(status);
        while (fgets(line, sizeof line, status) && strncmp(line, "State:", 6) != 0)
            continue;
        fclose(status);
        if (strstr(line, "zombie"))
            return;
    }
    fail_msg("the first thread did not end: %s", line);
}

static void a_thread_that_has_ended_does_not_stand_in_the_way(void **state)
{
    char error[256] = "";
    struct hp_tracee t = {.memory = -1, .error = error, .error_size = sizeof error};

    (void)state;
    t.pid = start();
    assert_true(t.pid > 0);
    wait_until_first_has_ended(t.pid);
    if (!hp_tracee_stop(&t))
        fail_msg("%s", error);
    assert_true(t.count >= 1);                          /* a sanitizer has threads of its own */
    assert_null(hp_tracee_find(&t, t.pid));
    assert_false(t.gone);
    hp_tracee_release(&t, 0);
    hp_tracee_close(&t);
    assert_int_equal(kill(t.pid, SIGKILL), 0);
    assert_int_equal(waitpid(t.pid, NULL, 0), t.pid);
}

/* It has ended, and nobody has waited for it yet: it still answers to signals. */
static void a_process_without_a_thread_is_gone(void **state)
{
    char error[256] = "";
    struct hp_tracee t = {.memory = -1, .error = error, .error_size = sizeof error};

    (void)state;
    t.pid = fork();
    if (t.pid == 0)
        _exit(0);
    wait_until_first_has_ended(t.pid);
    assert_false(hp_tracee_stop(&t));
    assert_true(t.gone);
    assert_non_null(strstr(error, "is gone"));
    hp_tracee_close(&t);
    assert_int_equal(waitpid(t.pid, NULL, 0), t.pid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_that_has_ended_does_not_stand_in_the_way),
        cmocka_unit_test(a_process_without_a_thread_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
