/* record_overhead.c PAIRS WORK [THREADS] - loops of malloc and free, each over 1024 slots of its thread, with WORK rounds of
 * arithmetic between the calls; prints the wall and CPU time of the program in ns for each of the PAIRS that all THREADS make
 * together. WORK 0 is bound by nothing but the allocator.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum { SLOTS = 1024, SIZES = 512, SMALLEST = 16, MAX_THREADS = 64 };

static long pairs, rounds;

static double clock_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void *loop(void *number)
{
    char *slots[SLOTS] = {NULL};
    uint64_t x = 88172645463325252u + (uintptr_t)number;

    for (long i = 0; i < pairs; i++) {
        unsigned slot;

        for (long j = -1; j < rounds; j++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
        }
        slot = x % SLOTS;
        free(slots[slot]);
        slots[slot] = malloc(SMALLEST + (x >> 20) % SIZES);
        if (!slots[slot])
            exit(1);
        *slots[slot] = 1;
    }
    for (int i = 0; i < SLOTS; i++)
        free(slots[i]);
    return NULL;
}

int main(int argc, char **argv)
{
    long threads = argc > 3 ? atol(argv[3]) : 1;
    pthread_t thread[MAX_THREADS];
    double wall, cpu, total;

    if (argc < 3 || threads < 1 || threads > MAX_THREADS) {
        fprintf(stderr, "usage: record_overhead PAIRS WORK [THREADS, at most %d]\n", MAX_THREADS);
        return 2;
    }
    pairs = atol(argv[1]) / threads;
    rounds = atol(argv[2]);
    total = (double)(pairs * threads);
    wall = clock_ns(CLOCK_MONOTONIC);
    cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (long i = 1; i < threads; i++)
        if (pthread_create(&thread[i], NULL, loop, (void *)(uintptr_t)i) != 0)
            return 1;
    loop(NULL);
    for (long i = 1; i < threads; i++)
        pthread_join(thread[i], NULL);
    printf("%.3f %.3f\n", (clock_ns(CLOCK_MONOTONIC) - wall) / total, (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / total);
    return 0;
}
