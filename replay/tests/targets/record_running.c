/* record_running.c MODE - programs that run already when heaplay comes to them, and that must run on when it has gone.
 *
 * Each makes the file `running` once it has begun; SIGTERM ends it with status 5, or 6 when its blocks are not what it wrote, 7
 * when the recorder is still in place.
 *   known    1000 blocks; at the file `go` the calls that the test knows, then the file `done`
 *   spin     malloc and free without a system call
 *   threads  8 threads that hand blocks to each other, one that sleeps, and one that starts and joins others
 *   fork     as spin, with a child for each 1000 rounds, and one at `go` that runs on until SIGTERM
 *   load     at the file `go` loads libzstd and compresses, which allocates; then `done`
 *   signals  as spin, under a timer whose handler counts; status 6 when none came for a second
 *   exec     at the file `go` executes itself as known
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BEFORE = 1000, THREADS = 8, ENDED = 5, WRONG = 6, LEFT = 7 };

static volatile sig_atomic_t ends, ticks;
static unsigned char *before[BEFORE];
static void *hand_over[THREADS];
static volatile int wrong;

static void on_term(int number)
{
    (void)number;
    ends = 1;
}

static void on_alarm(int number)
{
    (void)number;
    ticks++;
}

static void leave(const char *name)
{
    close(open(name, O_CREAT | O_WRONLY, 0666));
}

static int until(const char *name)
{
    while (!ends && access(name, F_OK) != 0)
        usleep(1000);
    return !ends;
}

/* One block, filled and looked at: what is patched in between must not be seen. */
static void round_trip(unsigned size)
{
    unsigned char *p = malloc(size);

    if (!p)
        return;
    memset(p, (int)size, size);
    p = realloc(p, size + 100);
    wrong |= !p || p[0] != (unsigned char)size || p[size - 1] != (unsigned char)size;
    free(p);
}

static void known_calls(void)
{
    void *p = malloc(777001);

    for (int i = 0; i < 10; i++)
        free(before[i]);
    before[10] = realloc(before[10], 3000);
    free(before[10]);
    free(p);
    p = malloc(100);
    p = realloc(p, 5000);
    free(p);
    p = calloc(3, 50);
    free(p);
    if (posix_memalign(&p, 4096, 300) == 0)
        free(p);
    p = strdup("the C library allocates this");
    free(p);
    free(malloc(777002));
}

static void known(void)
{
    if (until("go")) {
        known_calls();
        leave("done");
    }
    while (!ends) {
        for (unsigned i = 1; i < 100; i++)
            round_trip(i);
        usleep(1000);
    }
}

/* Is malloc, as this program finds it, the recorder's? */
static int recorder_left(void)
{
    void *(*volatile function)(size_t) = malloc;
    Dl_info info;

    return dladdr(*(void *volatile *)&function, &info) && strstr(info.dli_fname, "heaplay");
}

static void spin(void)
{
    for (unsigned i = 1; !ends; i = i % 10000 + 1)
        round_trip(i);
}

static void forks(void)
{
    pid_t lasting = 0, child;

    while (!ends) {
        for (unsigned i = 1; i < 1000; i++)
            round_trip(i);
        if (!lasting && access("go", F_OK) == 0) {
            lasting = fork();
            if (lasting == 0) {
                leave("done");
                spin();
                _exit(wrong ? WRONG : recorder_left() ? LEFT : ENDED);
            }
        }
        child = fork();
        if (child == 0) {
            free(malloc(55));
            _exit(0);
        }
        waitpid(child, NULL, 0);
    }
    if (lasting) {
        int status = 0;

        kill(lasting, SIGTERM);
        waitpid(lasting, &status, 0);
        wrong |= !WIFEXITED(status) || WEXITSTATUS(status) != ENDED;
    }
}

static void *hand_to_next(void *argument)
{
    size_t self = (size_t)argument;

    while (!ends) {
        uint64_t *p = malloc(32 + self);

        *p = self;
        round_trip(5000);
        p = __atomic_exchange_n(&hand_over[(self + 1) % THREADS], p, __ATOMIC_ACQ_REL);
        wrong |= p && *p >= THREADS;
        free(p);
    }
    return NULL;
}

static void *touch_once(void *argument)
{
    round_trip(64);
    return argument;
}

static void threads(void)
{
    pthread_t t[THREADS], one;

    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&t[i], NULL, hand_to_next, (void *)i);
    while (!ends) {
        pthread_create(&one, NULL, touch_once, NULL);
        pthread_join(one, NULL);
        usleep(100);
    }
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
}

static void load(void)
{
    size_t (*compress)(void *, size_t, const void *, size_t, int);
    static char in[1 << 16], out[1 << 17];
    void *handle;

    if (!until("go") || !(handle = dlopen("libzstd.so.1", RTLD_NOW | RTLD_LOCAL)))
        return;
    *(void **)&compress = dlsym(handle, "ZSTD_compress");
    for (int i = 0; compress && i < 500 && !ends; i++) {
        wrong |= compress(out, sizeof out, in, sizeof in, 1) > sizeof out;
        usleep(2000);
    }
    leave("done");
    until("never");
}

static void signals(void)
{
    struct itimerval every = {{0, 200}, {0, 200}};
    time_t second = time(NULL);
    sig_atomic_t seen = 0;

    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &every, NULL);
    while (!ends) {
        round_trip(4000);
        if (time(NULL) > second + 1) {
            wrong |= ticks == seen;
            seen = ticks;
            second = time(NULL);
        }
    }
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "known";
    struct sigaction action = {.sa_handler = on_term};

    sigaction(SIGTERM, &action, NULL);
    for (int i = 0; i < BEFORE; i++)
        before[i] = malloc(442);
    leave("running");
    if (!strcmp(mode, "spin"))
        spin();
    else if (!strcmp(mode, "threads"))
        threads();
    else if (!strcmp(mode, "fork"))
        forks();
    else if (!strcmp(mode, "load"))
        load();
    else if (!strcmp(mode, "signals"))
        signals();
    else if (!strcmp(mode, "exec") && until("go"))
        execl(argv[0], argv[0], "known", (char *)NULL);
    else
        known();
    return wrong ? WRONG : recorder_left() ? LEFT : ENDED;
}
