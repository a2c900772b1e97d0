/* support.h - what the allocator's tests share: a child process for each case, so that it meets a fresh heap and tunables
 * of the start still apply; requirements that end that child with the line; random numbers that repeat.
 *
 * The parent, which runs cmocka, never calls the allocator itself unless a test says so.
 */
#ifndef CELL_TEST_SUPPORT_H
#define CELL_TEST_SUPPORT_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cellmalloc.h"

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define UNDER_SANITIZER 1
#else
#define UNDER_SANITIZER 0
#endif

/* How a requirement that does not hold ends the process. */
#ifndef FAIL_HERE
#define FAIL_HERE() _exit(1)
#endif

/* In a child: ends it with the place and the condition. */
#define REQUIRE(condition)                                                                        \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            fprintf(stderr, "# %s:%d: not so: %s\n", __FILE__, __LINE__, #condition);             \
            FAIL_HERE();                                                                          \
        }                                                                                         \
    } while (0)

/* The same for two numbers, shown. */
#define REQUIRE_EQUAL(left, right)                                                                \
    do {                                                                                          \
        unsigned long long require_left = (unsigned long long)(left);                             \
        unsigned long long require_right = (unsigned long long)(right);                           \
        if (require_left != require_right) {                                                      \
            fprintf(stderr, "# %s:%d: %s is %llu (%#llx), %s is %llu (%#llx)\n", __FILE__, __LINE__, #left, require_left, \
                    require_left, #right, require_right, require_right);                          \
            FAIL_HERE();                                                                          \
        }                                                                                         \
    } while (0)

static inline void *must_malloc(size_t size)
{
    void *block = cell_malloc(size);

    REQUIRE(block != NULL);
    return block;
}

static inline void require_sound_heap(int line)
{
    const char *why = NULL;

    if (cell_check(&why) != 0) {
        fprintf(stderr, "# line %d: cell_check: %s\n", line, why);
        FAIL_HERE();
    }
}
#define REQUIRE_SOUND_HEAP() require_sound_heap(__LINE__)

static inline struct cell_stats stats_now(void)
{
    struct cell_stats stats;

    cell_stats_get(&stats);
    return stats;
}

static inline size_t option_value(const char *name)
{
    size_t value = 0;

    REQUIRE(cell_option_get(name, &value) == 0);
    return value;
}

/* `make test-long` asks for the long form of tests that have one. */
static inline int is_long_run(void)
{
    return getenv("HEAPLAY_LONG") != NULL || getenv("LONG") != NULL;
}

static inline uint64_t random_from(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Runs `work` in a child of its own; returns the status that waitpid gives. */
static inline int status_of_child(void (*work)(const void *), const void *argument)
{
    int status = -1;
    pid_t child;

    fflush(NULL);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);       /* not cmocka's handlers, which would go on with the tests here */
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        work(argument);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

#define SKIPPED 77      /* what a child ends with that skips its test */

/* Skips a TEST from within its body, where cmocka's skip() would go on with the other tests in the child. */
static inline void skip_test(void)
{
    _exit(SKIPPED);
}

/* TEST(name) { body }: a cmocka test whose body runs in a child. */
#define TEST(name)                                                              \
    static void name##_body(const void *unused);                                \
    __attribute__((unused)) static void name(void **state)  /* a sanitizer may leave it out */ \
    {                                                                           \
        (void)state;                                                            \
        int status = status_of_child(name##_body, NULL);                        \
        if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)                \
            skip();                                                             \
        assert_int_equal(status, 0);                                            \
    }                                                                           \
    static void name##_body(const void *unused __attribute__((unused)))

#endif
