/* test_cancel.c - no call of the allocator is a cancellation point (POSIX.1-2017, XSH 2.9.5.2): a thread that has been cancelled ends
 * where it says so, and never with a lock held. */
#include <fcntl.h>
#include <unistd.h>

#include "arena.h"
#include "threads.h"

static int done;

/* Runs `work` in a thread that is cancelled from its beginning; it must come to its end. */
static void while_cancelled(void *(*work)(void *))
{
    pthread_t thread;
    void *result;

    done = 0;
    alarm(60);
    start(&thread, work, NULL);
    REQUIRE(pthread_join(thread, &result) == 0);
    REQUIRE(done == 1);
    REQUIRE(result == PTHREAD_CANCELED);
    alarm(0);
    REQUIRE_SOUND_HEAP();
}

static void *ended(void)
{
    done = 1;
    pthread_testcancel();
    return NULL;
}

/* The first huge page that the heap might have: the system is asked whether it gives any. */
static void *grow_much(void *unused)
{
    (void)unused;
    pthread_cancel(pthread_self());
    for (int i = 0; i < 200000; i++)
        if (cell_malloc(100) == NULL)
            return NULL;
    return ended();
}

TEST(in_a_heap_that_grows)
{
    REQUIRE(cell_option_set("huge_min", 1 << 20) == 0);
    while_cancelled(grow_much);
    bool asked = false;
    for (unsigned i = 0; i < cell_arena_count(); i++)
        asked |= cell_arena_at(i)->segment.huge.known;
    REQUIRE(asked);
}

static void *use_all(void *unused)
{
    void *block;

    (void)unused;
    pthread_cancel(pthread_self());
    for (size_t size = 1; size < (size_t)1 << 22; size = size * 3 / 2 + 1) {
        block = cell_malloc(size);
        block = cell_realloc(block, size * 2);
        cell_free(block);
        cell_free(cell_calloc(size, 2));
        cell_free(cell_memalign(4096, size));
    }
    cell_trim(0);
    return ended();
}

TEST(in_every_call)
{
    while_cancelled(use_all);
}

static void *print_all(void *unused)
{
    int fd = open("/dev/null", O_WRONLY);

    (void)unused;
    pthread_cancel(pthread_self());
    if (fd < 0 || cell_stats_text(fd) != 0 || cell_stats_json(fd) != 0)
        return NULL;
    return ended();
}

TEST(in_what_is_printed)
{
    while_cancelled(print_all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_a_heap_that_grows), cmocka_unit_test(in_every_call), cmocka_unit_test(in_what_is_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
