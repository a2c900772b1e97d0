/* threads.h - what the programs of the threads set share: arguments, a random generator, starting threads, the result.
 *
 * Each program does a fixed amount of work, so that peak RSS compares as well as time, under whatever malloc it is
 * started with; scripts/scoreboard.py runs each through the launcher and reads one line of JSON from stdout.
 */
#ifndef THREADS_H
#define THREADS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS_MAX = 64 };

struct work {
    int  threads;
    long rounds;            /* meaning is the program's; scaled by the second argument */
};

static inline uint32_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 32);
}

static inline uint64_t seed_of(int thread)
{
    return 0x9e3779b97f4a7c15u * (uint64_t)(thread + 1);
}

/* Most blocks are small, a few large, as in programs. */
static inline size_t mixed_size(uint64_t *state)
{
    uint32_t r = next_random(state), kind = r % 100, more = r >> 8;
    if (kind < 70)
        return 16 + more % 112;
    if (kind < 95)
        return 128 + more % 896;
    return 1024 + more % 15360;
}

/* A block whose every 512th byte is written, so that it counts in RSS. */
static inline void *touched(size_t size)
{
    char *block = malloc(size);
    if (!block) {
        fprintf(stderr, "out of memory: malloc(%zu) failed\n", size);
        exit(1);
    }
    for (size_t i = 0; i < size; i += 512)
        block[i] = 1;
    return block;
}

static inline int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static inline struct work read_arguments(int argc, char **argv, int threads, long rounds, const char *what)
{
    struct work w = { .threads = threads, .rounds = rounds };
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        printf("%s\nusage: %s [THREADS [PERCENT]]   default: %d threads, 100 percent of %ld rounds\n", what, argv[0],
               threads, rounds);
        exit(0);
    }
    if (argc > 1)
        w.threads = atoi(argv[1]);
    if (argc > 2)
        w.rounds = rounds * atol(argv[2]) / 100;
    if (w.threads < 1 || w.threads > THREADS_MAX || w.rounds < 1) {
        fprintf(stderr, "%s: threads must be 1 to %d and rounds at least 1\n", argv[0], THREADS_MAX);
        exit(2);
    }
    return w;
}

static inline void start(pthread_t *thread, void *(*body)(void *), void *argument)
{
    if (pthread_create(thread, NULL, body, argument) != 0) {
        fputs("cannot start a thread\n", stderr);
        exit(1);
    }
}

/* Run body(number of the thread as a pointer) on every thread and wait for all. */
static inline void run_all(int threads, void *(*body)(void *))
{
    pthread_t thread[THREADS_MAX];
    for (int i = 0; i < threads; i++)
        start(&thread[i], body, (void *)(intptr_t)i);
    for (int i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
}

static inline int report(int64_t start_ns, int64_t operations)
{
    printf("{\"operations\": %lld, \"elapsed_ns\": %lld}\n", (long long)operations, (long long)(now_ns() - start_ns));
    return 0;
}

#endif
