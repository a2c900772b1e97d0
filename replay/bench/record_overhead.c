/* record_overhead.c PAIRS WORK - a loop of malloc and free over 1024 slots, with WORK rounds of arithmetic between the
 * calls; prints its own wall and CPU time in ns for each pair. WORK 0 is bound by nothing but the allocator.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum { SLOTS = 1024, SIZES = 512, SMALLEST = 16 };

static double clock_ns(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    static char *slots[SLOTS];
    long pairs = argc > 1 ? atol(argv[1]) : 1000000, rounds = argc > 2 ? atol(argv[2]) : 0;
    double wall = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    uint64_t x = 88172645463325252u;

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
            return 1;
        *slots[slot] = 1;
    }
    printf("%.2f %.2f\n", (clock_ns(CLOCK_MONOTONIC) - wall) / (double)pairs,
           (clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (double)pairs);
    return 0;
}
