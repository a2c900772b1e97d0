/* test_fork_waits.c - fork() waits for whoever is inside: a thread is kept in a system call that it makes under a lock while
 * another forks, and no child may be copied meanwhile. One test for each lock that a system call is made under. Linked with
 * --wrap=mmap,--wrap=mprotect.
 */
#include <sched.h>
#include <sys/mman.h>

#include "threads.h"

void *__real_mmap(void *start, size_t size, int protection, int flags, int fd, off_t offset);
int   __real_mprotect(void *start, size_t size, int protection);
void *__wrap_mmap(void *start, size_t size, int protection, int flags, int fd, off_t offset);
int   __wrap_mprotect(void *start, size_t size, int protection);

enum call { NONE, MMAP, MPROTECT };

static __thread enum call awaited;      /* by this thread: the next one is held up */
static int inside, left;

/* Long enough for a fork that does not wait to be over. */
static void linger(enum call call)
{
    if (awaited != call)
        return;
    awaited = NONE;
    __atomic_store_n(&inside, 1, __ATOMIC_SEQ_CST);
    usleep(100000);
    __atomic_store_n(&inside, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&left, 1, __ATOMIC_SEQ_CST);
}

void *__wrap_mmap(void *start, size_t size, int protection, int flags, int fd, off_t offset)
{
    linger(MMAP);
    return __real_mmap(start, size, protection, flags, fd, offset);
}

int __wrap_mprotect(void *start, size_t size, int protection)
{
    linger(MPROTECT);
    return __real_mprotect(start, size, protection);
}

static void fork_while_in(void *(*work)(void *), void *argument)
{
    pthread_t thread;
    int status = -1;

    start(&thread, work, argument);
    while (!__atomic_load_n(&inside, __ATOMIC_SEQ_CST) && !__atomic_load_n(&left, __ATOMIC_SEQ_CST))
        sched_yield();
    pid_t child = fork();
    if (child == 0)
        _exit(__atomic_load_n(&inside, __ATOMIC_SEQ_CST) ? 9 : cell_check(NULL) != 0);
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child);
    REQUIRE_EQUAL(status, 0);
    pthread_join(thread, NULL);
    REQUIRE_SOUND_HEAP();
}

/* The registry of caches maps the first one that is not the main thread's. */
static void *begin_a_cache(void *unused)
{
    awaited = MMAP;
    cell_free(must_malloc(100));
    return unused;
}

static void *grow(void *heap)
{
    void *block = NULL;

    cell_free(must_malloc(100));
    awaited = sizeof(size_t) > 4 ? MMAP : MPROTECT;     /* what is reserved grows by mprotect */
    while (awaited != NONE)
        REQUIRE((block = heap == NULL ? cell_malloc(100000) : cell_heap_malloc(heap, 100000)) != NULL);
    return block;
}

/* The quarantine maps its ring for the first block that waits. */
static void *free_hardened(void *block)
{
    awaited = MMAP;
    cell_free(block);
    return NULL;
}

TEST(for_a_cache_that_is_made)
{
    cell_free(must_malloc(100));
    fork_while_in(begin_a_cache, NULL);
}

TEST(for_the_heap_that_grows)
{
    cell_free(must_malloc(100));
    fork_while_in(grow, NULL);
}

TEST(for_a_separate_heap_that_grows)
{
    struct cell_heap *heap = cell_heap_create(0);

    REQUIRE(heap != NULL);
    fork_while_in(grow, heap);
}

TEST(for_the_quarantine)
{
    REQUIRE(cell_option_set("harden", 2) == 0);
    fork_while_in(free_hardened, must_malloc(100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(for_a_cache_that_is_made),
        cmocka_unit_test(for_the_heap_that_grows),
        cmocka_unit_test(for_a_separate_heap_that_grows),
        cmocka_unit_test(for_the_quarantine),
    };

#if defined(__SANITIZE_THREAD__)
    printf("1..0 # SKIP ThreadSanitizer does not follow threads through fork\n");
    (void)tests;
    return 0;
#else
    return cmocka_run_group_tests(tests, NULL, NULL);
#endif
}
