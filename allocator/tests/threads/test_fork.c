/* test_fork.c - fork while other threads allocate: the child goes on, allocates, and frees what the parent had. */
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

#include "os.h"
#include "support.h"
#include "tcache.h"

#define THREADS 3

static int going;
static void *shared[200];

static void *allocate_all_the_time(void *argument)
{
    uint64_t state = 5 + (uintptr_t)argument;
    void *block[50] = { NULL };

    while (__atomic_load_n(&going, __ATOMIC_RELAXED)) {
        size_t at = random_from(&state) % COUNT_OF(block);
        cell_free(block[at]);
        block[at] = cell_malloc(random_from(&state) % (random_from(&state) % 16 == 0 ? 200000 : 800));
        REQUIRE(block[at] != NULL);
        if (state % 32 == 0)
            sched_yield();              /* the others shall fork meanwhile */
    }
    for (size_t i = 0; i < COUNT_OF(block); i++)
        cell_free(block[i]);
    return NULL;
}

static void *allocate_once(void *unused)
{
    cell_free(cell_malloc(100));
    return unused;
}

/* In the child: everything works, and the heap is sound although the others stood anywhere. */
static void use_heap(int depth)
{
    for (size_t i = 0; i < COUNT_OF(shared); i++)
        cell_free(shared[i]);
    for (size_t size = 1; size < 300000; size = size * 3 + 1) {
        void *block = cell_malloc(size);
        if (block == NULL)
            _exit(2);
        memset(block, 1, size);
        cell_free(block);
    }
    cell_trim(0);
    if (cell_check(NULL) != 0)
        _exit(3);
    if (depth > 0) {
        for (size_t i = 0; i < COUNT_OF(shared); i++)
            shared[i] = cell_malloc(i * 5);
        pid_t child = fork();
        int status = -1;
        if (child == 0) {
            use_heap(depth - 1);
            _exit(0);
        }
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
            _exit(4);
    }
}

static void fork_many(int count, int depth)
{
    for (int i = 0; i < count; i++) {
        pid_t child = fork();
        int status = -1;

        REQUIRE(child >= 0);
        if (child == 0) {
            alarm(30);                      /* a deadlock ends by SIGALRM */
            use_heap(depth);
            _exit(0);
        }
        REQUIRE(waitpid(child, &status, 0) == child);
        REQUIRE_EQUAL(status, 0);
        cell_free(cell_malloc(100));
    }
}

static void *fork_some(void *unused)
{
    fork_many(is_long_run() ? 1000 : 40, 0);
    return unused;
}

static void with_threads_running(void (*work)(void))
{
    pthread_t thread[THREADS];

    going = 1;
    for (size_t i = 0; i < COUNT_OF(shared); i++)
        shared[i] = cell_malloc(i * 7);
    for (size_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&thread[i], NULL, allocate_all_the_time, (void *)i) == 0);
    work();
    __atomic_store_n(&going, 0, __ATOMIC_RELAXED);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    REQUIRE_SOUND_HEAP();
}

static void fork_from_main(void)
{
    fork_many(is_long_run() ? 5000 : UNDER_SANITIZER ? 20 : 300, 0);
}

/* Threads that begin and end all the time take the locks that others seldom need. */
static void *start_threads_all_the_time(void *unused)
{
    pthread_t thread;

    while (__atomic_load_n(&going, __ATOMIC_RELAXED)) {
        REQUIRE(pthread_create(&thread, NULL, allocate_once, unused) == 0);
        pthread_join(thread, NULL);
    }
    return NULL;
}

/* Ten thousand times, from three threads: each child needs every lock once, and few pages. */
#define STORM 10002

static void use_every_lock(void)
{
    alarm(60);
    for (size_t i = 0; i < COUNT_OF(shared); i += 9)
        cell_free(shared[i]);
    for (size_t size = 1; size < 300000; size *= 8)
        cell_free(cell_malloc(size));
    pthread_t thread;
    if (pthread_create(&thread, NULL, allocate_once, NULL) != 0 || pthread_join(thread, NULL) != 0)
        _exit(2);
    struct cell_heap *heap = cell_heap_create(0);
    _exit(heap == NULL || cell_heap_malloc(heap, 100) == NULL);
}

static void *fork_a_third(void *unused)
{
    for (int i = 0; i < STORM / 3; i++) {
        int status = -1;
        pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0)
            use_every_lock();
        REQUIRE(waitpid(child, &status, 0) == child);
        REQUIRE_EQUAL(status, 0);
    }
    return unused;
}

static void fork_ten_thousand_times(void)
{
    pthread_t thread[3];

    for (size_t i = 0; i < COUNT_OF(thread); i++)
        REQUIRE(pthread_create(&thread[i], NULL, i == 0 ? start_threads_all_the_time : fork_a_third, NULL) == 0);
    fork_a_third(NULL);
    __atomic_store_n(&going, 0, __ATOMIC_RELAXED);
    for (size_t i = 0; i < COUNT_OF(thread); i++)
        pthread_join(thread[i], NULL);
}

static void fork_nested(void)
{
    fork_many(UNDER_SANITIZER ? 4 : 12, 3);
}

static void fork_from_threads(void)
{
    pthread_t thread[3];

    for (size_t i = 0; i < COUNT_OF(thread); i++)
        REQUIRE(pthread_create(&thread[i], NULL, fork_some, NULL) == 0);
    for (size_t i = 0; i < COUNT_OF(thread); i++)
        pthread_join(thread[i], NULL);
}

TEST(while_others_allocate)     { with_threads_running(fork_from_main); }
TEST(nested)                    { with_threads_running(fork_nested); }
TEST(from_several_threads)      { with_threads_running(fork_from_threads); }
TEST(ten_thousand_times)        { with_threads_running(fork_ten_thousand_times); }

TEST(of_a_single_thread)
{
    for (size_t i = 0; i < COUNT_OF(shared); i++)
        shared[i] = cell_malloc(i * 7);
    fork_many(UNDER_SANITIZER ? 10 : 60, 1);
    REQUIRE_SOUND_HEAP();
}

/* Page faults of this process while it forks: those of pages that it writes to while a child has them too. */
static long faults_of_forks(void)
{
    struct rusage before, after;

    getrusage(RUSAGE_SELF, &before);
    for (int i = 0; i < 50; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        REQUIRE(child > 0 && waitpid(child, NULL, 0) == child);
    }
    getrusage(RUSAGE_SELF, &after);
    return after.ru_minflt - before.ru_minflt;
}

/* Each lock that is taken for a fork has the page that it lies in copied. */
TEST(one_thread_takes_no_lock)
{
    pthread_t thread;

    if (!cell_os_single_threaded())         /* the C library does not say */
        return;
    cell_free(cell_malloc(100));
    faults_of_forks();
    long alone = faults_of_forks();
    REQUIRE(pthread_create(&thread, NULL, allocate_once, NULL) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    REQUIRE(!cell_os_single_threaded());
    REQUIRE(faults_of_forks() >= alone + 350);   /* 50 of them; what the C library itself does then is 200 */
}

/* In the child there is one thread; what its cache may hold is no longer a share among the parent's. */
static pthread_barrier_t all_have_caches, all_may_end;

static void *hold_a_cache(void *unused)
{
    cell_free(must_malloc(100));
    pthread_barrier_wait(&all_have_caches);
    pthread_barrier_wait(&all_may_end);
    return unused;
}

TEST(threads_of_the_parent_have_no_share)
{
    pthread_t thread[20];

    cell_free(must_malloc(100));
    pthread_barrier_init(&all_have_caches, NULL, COUNT_OF(thread) + 1);
    pthread_barrier_init(&all_may_end, NULL, COUNT_OF(thread) + 1);
    for (size_t i = 0; i < COUNT_OF(thread); i++)
        REQUIRE(pthread_create(&thread[i], NULL, hold_a_cache, NULL) == 0);
    pthread_barrier_wait(&all_have_caches);
    REQUIRE_EQUAL(cell_tcache_count(), COUNT_OF(thread) + 1);
    pid_t child = fork();
    if (child == 0)
        _exit(cell_tcache_count() == 1 ? 0 : 1);
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child && status == 0);
    pthread_barrier_wait(&all_may_end);
    for (size_t i = 0; i < COUNT_OF(thread); i++)
        pthread_join(thread[i], NULL);
}

/* A child may start threads of its own. */
TEST(threads_of_the_child)
{
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        int status = -1;
        REQUIRE(child >= 0);
        if (child == 0) {
            pthread_t thread;
            alarm(30);
            going = 0;
            REQUIRE(pthread_create(&thread, NULL, allocate_all_the_time, NULL) == 0);
            pthread_join(thread, NULL);
            REQUIRE_SOUND_HEAP();
            _exit(0);
        }
        REQUIRE(waitpid(child, &status, 0) == child);
        REQUIRE_EQUAL(status, 0);
    }
}

/* Handlers of the program that allocate run before ours lock, or must be let through. */
static void allocate_in_handler(void)
{
    void *block = cell_malloc(100), *large = cell_malloc(5000);

    if (block == NULL || large == NULL)
        _exit(5);
    cell_free(block);
    cell_free(large);
    cell_trim(0);
}

TEST(handlers_that_allocate)
{
    pthread_atfork(allocate_in_handler, allocate_in_handler, allocate_in_handler);
    alarm(60);
    with_threads_running(fork_nested);
}

#ifdef __GLIBC__
static FILE *file;

static void *flush_all(void *unused)
{
    fflush(NULL);
    return unused;
}

/* The child's threads can flush as well. */
static void *fork_one(void *unused)
{
    pthread_t flusher;
    int status = -1;
    pid_t child = fork();

    if (child == 0) {
        alarm(30);
        _exit(pthread_create(&flusher, NULL, flush_all, NULL) != 0 || pthread_join(flusher, NULL) != 0);
    }
    REQUIRE(child > 0 && waitpid(child, &status, 0) == child);
    REQUIRE_EQUAL(status, 0);
    return unused;
}

/* glibc's fork() takes the list of open files. Whoever flushes all of them has it, and waits for a file whose holder wants memory. */
TEST(while_a_reader_allocates)
{
    pthread_t flusher, forker;

    alarm(60);
    REQUIRE((file = fopen("/dev/null", "r")) != NULL);
    flockfile(file);
    REQUIRE(pthread_create(&flusher, NULL, flush_all, NULL) == 0);
    usleep(100000);
    REQUIRE(pthread_create(&forker, NULL, fork_one, NULL) == 0);
    usleep(100000);
    cell_free(must_malloc(100000));
    cell_trim(0);
    funlockfile(file);
    REQUIRE(pthread_join(flusher, NULL) == 0 && pthread_join(forker, NULL) == 0);
    fclose(file);
    fflush(NULL);
    alarm(0);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef __GLIBC__
        cmocka_unit_test(while_a_reader_allocates),
#endif
        cmocka_unit_test(of_a_single_thread), cmocka_unit_test(one_thread_takes_no_lock),
        cmocka_unit_test(while_others_allocate), cmocka_unit_test(nested),
        cmocka_unit_test(threads_of_the_parent_have_no_share), cmocka_unit_test(threads_of_the_child), cmocka_unit_test(handlers_that_allocate),
#if !UNDER_SANITIZER
        cmocka_unit_test(from_several_threads), cmocka_unit_test(ten_thousand_times),
#endif
    };
#if defined(__SANITIZE_THREAD__)
    printf("1..0 # SKIP ThreadSanitizer does not follow threads through fork\n");
    (void)tests;
    return 0;
#else
    return cmocka_run_group_tests(tests, NULL, NULL);
#endif
}
