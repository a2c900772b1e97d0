/* record_modes.c MODE - programs that end, fork, signal and thread in every way the recorder must survive.
 *
 * Each allocates 1000 blocks of 424242 % 1000 + 200 bytes first, so that a test can count what arrived.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MARKED = 1000, MARK = 442, ROUNDS = 20000, CHURN = 500, ORPHAN = 200000, TOUCHED = 300000, STORM = 200,
       CROWD = 1100, EXCHANGES = 500000 };

static void *blocks[MARKED];
static void *_Atomic hand_over[8];
static volatile sig_atomic_t signals_left = 300;

static void work(void)
{
    for (int i = 0; i < MARKED; i++)
        blocks[i] = malloc(MARK);
}

static void *hand_to_next(void *argument)
{
    size_t self = (size_t)argument;

    for (int i = 0; i < ROUNDS; i++)
        free(__atomic_exchange_n(&hand_over[(self + 1) % 8], malloc(32 + self), __ATOMIC_ACQ_REL));
    return NULL;
}

static void *touch_once(void *argument)
{
    free(malloc(64));
    return argument;
}

/* Both take what the other has just put there. */
static void *exchange(void *unused)
{
    for (int i = 0; i < EXCHANGES; i++)
        free(__atomic_exchange_n(&hand_over[i % 8], malloc(16 + (size_t)i % 500), __ATOMIC_ACQ_REL));
    return unused;
}

static void threads(size_t count, void *(*work_of_each)(void *))
{
    pthread_t t[8];

    for (size_t i = 0; i < count; i++)
        pthread_create(&t[i], NULL, work_of_each, (void *)i);
    for (size_t i = 0; i < count; i++)
        pthread_join(t[i], NULL);
}

static void *touch_nothing(void *argument)
{
    return argument;
}

/* As many threads that never allocate: the recorder must not notice them. */
static void churn(void)
{
    pthread_t t;

    for (int i = 0; i < 2 * CHURN; i++) {
        pthread_create(&t, NULL, i % 2 ? touch_nothing : touch_once, NULL);
        pthread_join(t, NULL);
    }
}

/* KiB of this process's shared memory that are resident: of the recorder's, for it has no other. */
static void print_shared(void)
{
    char line[256];
    FILE *f = fopen("/proc/self/status", "r");

    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "RssShmem:", 9))
            printf("%ld\n", strtol(line + 9, NULL, 10));
    if (f)
        fclose(f);
}

/* Leaves a file `ready`, waits until its parent is dead, makes more calls than a ring holds, and leaves a file `survived`. */
static void orphan(void)
{
    pid_t parent = getppid();

    fclose(fopen("ready", "w"));
    while (getppid() == parent)
        usleep(1000);
    for (int i = 0; i < ORPHAN; i++)
        free(malloc(64));
    fclose(fopen("survived", "w"));
}

/* Blocks of which all, half and nothing but the allocator's own page is resident. */
static void touch(void)
{
    char *all = malloc(TOUCHED), *half = malloc(TOUCHED + 1), *none = malloc(TOUCHED + 2);

    memset(all, 1, TOUCHED);
    memset(half, 1, TOUCHED / 2);
    free(all);
    free(half);
    free(none);
}

/* Calls of which a trace takes megabytes; then says that it came to its end. */
static void random_sizes(void)
{
    unsigned x = 1;

    for (int i = 0; i < 2000000; i++) {
        x = x * 1664525 + 1013904223;
        free(blocks[(x >> 8) % MARKED]);
        blocks[(x >> 8) % MARKED] = malloc(x >> 12 & 16383);
    }
    puts("ended");
}

/* Children at once, each with its own calls. Returns how many ended as they should. */
static int storm(void)
{
    pid_t child[STORM];
    int status, good = 0;

    for (int i = 0; i < STORM; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            for (int k = 0; k < 100; k++)
                free(malloc(600));
            _exit(0);
        }
    }
    for (int i = 0; i < STORM; i++)
        good += child[i] > 0 && waitpid(child[i], &status, 0) == child[i] && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    return good;
}

static pthread_barrier_t all_there;

static void *stay(void *argument)
{
    free(malloc(64));
    pthread_barrier_wait(&all_there);
    free(malloc(64));
    return argument;
}

/* More threads at a time than the recorder has rings for. */
static void crowd(void)
{
    static pthread_t t[CROWD];
    pthread_attr_t attributes;

    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 * 1024);
    pthread_barrier_init(&all_there, NULL, CROWD + 1);
    for (int i = 0; i < CROWD; i++)
        if (pthread_create(&t[i], &attributes, stay, NULL) != 0)
            _exit(98);
    pthread_barrier_wait(&all_there);
    for (int i = 0; i < CROWD; i++)
        pthread_join(t[i], NULL);
}

static void fork_child(int depth)
{
    pid_t child = fork();

    if (child == 0) {
        free(blocks[depth]);
        blocks[depth] = malloc(5000 + (size_t)depth);
        if (depth)
            fork_child(depth - 1);
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

static void run_child(char *self, int use_vfork)
{
    char *argv[] = {self, (char *)"none", NULL};
    pid_t child;

    if (use_vfork) {
        child = vfork();
        if (child == 0) {
            execv(self, argv);
            _exit(127);
        }
    } else if (posix_spawn(&child, self, NULL, NULL, argv, environ) != 0) {
        _exit(99);
    }
    waitpid(child, NULL, 0);
    free(malloc(31));
}

static void on_signal(int number)
{
    (void)number;
    signals_left--;
}

static void on_signal_allocating(int number)
{
    static void *held;

    (void)number;
    held = realloc(held, 100 + (size_t)(signals_left & 15));
    signals_left--;
}

static volatile sig_atomic_t own_signals;

static void on_own_signal(int number)
{
    own_signals += number == SIGUSR1 ? 1 : 100;
}

/* Its own handlers of the signals that control heaplay. Returns whether each of its signals came. */
static int handles_signals(void)
{
    signal(SIGUSR1, on_own_signal);
    signal(SIGUSR2, on_own_signal);
    for (int i = 0; i < 10; i++) {
        raise(SIGUSR1);
        free(malloc(445));
        raise(SIGUSR2);
    }
    return own_signals == 1010;
}

static volatile sig_atomic_t outside;

/* The handler allocates only while the main thread is outside of malloc: legal enough, and often between two records. */
static void on_signal_outside(int number)
{
    if (outside)
        on_signal_allocating(number);
    else
        on_signal(number);
}

static void signals(void)
{
    struct itimerval every = {{0, 100}, {0, 100}};

    signal(SIGALRM, on_signal_outside);
    setitimer(ITIMER_REAL, &every, NULL);
    while (signals_left > 0) {
        void *p = malloc(48);

        outside = 1;
        for (volatile int i = 0; i < 100; i++)
            continue;
        outside = 0;
        free(p);
    }
    memset(&every, 0, sizeof every);
    setitimer(ITIMER_REAL, &every, NULL);
}

/* 200,000 objects, every fourth grown once, none left. */
static void many_objects(void)
{
    for (int i = 0; i < 200000; i++) {
        void *p = malloc(443);
        if (i % 4 == 0)
            p = realloc(p, 887);
        free(p);
    }
}

/* Allocates until the file `enough` is there, 20 s at most; `running` tells that it has begun. */
static void steady(void)
{
    void *old = malloc(444);
    int rounds = 0;

    close(open("running", O_CREAT | O_WRONLY, 0666));
    for (; rounds < 20000 && access("enough", F_OK) != 0; rounds++) {
        for (int i = 0; i < 100; i++)
            free(malloc(442));
        usleep(1000);
    }
    free(old);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "none";
    char *again[] = {argv[0], (char *)"none", NULL};

    work();
    if (!strcmp(mode, "crash")) {
        signal(SIGSEGV, SIG_DFL);
        *(volatile int *)8 = 0;
    } else if (!strcmp(mode, "kill")) {
        kill(getpid(), SIGKILL);
    } else if (!strcmp(mode, "_exit")) {
        _exit(42);
    } else if (!strcmp(mode, "fork")) {
        fork_child(0);
    } else if (!strcmp(mode, "nested")) {
        fork_child(2);
    } else if (!strcmp(mode, "exec")) {
        execv(argv[0], again);
    } else if (!strcmp(mode, "exec-fails")) {
        execv("/nonexistent", again);
        free(malloc(99));
    } else if (!strcmp(mode, "vfork")) {
        run_child(argv[0], 1);
    } else if (!strcmp(mode, "spawn")) {
        run_child(argv[0], 0);
    } else if (!strcmp(mode, "close")) {
        closefrom(3);
        fork_child(0);
        run_child(argv[0], 0);
    } else if (!strcmp(mode, "namespace")) {
        if (unshare(CLONE_NEWPID) != 0)
            return 77;
        fork_child(0);
    } else if (!strcmp(mode, "threads")) {
        threads(8, hand_to_next);
    } else if (!strcmp(mode, "exchange")) {
        threads(2, exchange);
    } else if (!strcmp(mode, "churn")) {
        churn();
        print_shared();
    } else if (!strcmp(mode, "orphan")) {
        orphan();
    } else if (!strcmp(mode, "random")) {
        random_sizes();
    } else if (!strcmp(mode, "storm")) {
        return storm() == STORM ? 0 : 1;
    } else if (!strcmp(mode, "crowd")) {
        crowd();
    } else if (!strcmp(mode, "handlers")) {
        return handles_signals() ? 0 : 1;
    } else if (!strcmp(mode, "touch")) {
        touch();
    } else if (!strcmp(mode, "objects")) {
        many_objects();
    } else if (!strcmp(mode, "steady")) {
        steady();
    } else if (!strcmp(mode, "signals")) {
        signals();
    } else if (!strcmp(mode, "dlopen")) {
        void *handle = dlopen("libzstd.so.1", RTLD_NOW | RTLD_LOCAL);

        free(malloc(65));
        if (handle)
            dlclose(handle);
    }
    return 0;
}
