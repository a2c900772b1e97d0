/* line.c - how long a cache line takes from one processor to another and back: what threads that write to the same memory pay.
 *
 * Virtual processors may share a core at one time and not at another, so rows of threads compare only where this is alike.
 */
#include <sched.h>

#include "threads.h"

enum { ROUNDS = 20000, SAMPLES = 5 };
static _Alignas(128) atomic_long turn;
static int processor[2];

static void run_on(int number)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(number, &one);
    sched_setaffinity(0, sizeof one, &one);
}

static void wait_for(long number)
{
    while (atomic_load_explicit(&turn, memory_order_acquire) != number)
        continue;
}

static void *answer(void *unused)
{
    run_on(processor[1]);
    for (long i = 0; i < (long)ROUNDS * SAMPLES; i++) {
        wait_for(2 * i + 1);
        atomic_store_explicit(&turn, 2 * i + 2, memory_order_release);
    }
    return unused;
}

/* The median of a few samples: one may be interrupted. */
static double round_trip_ns(void)
{
    double sample[SAMPLES];

    for (long k = 0; k < SAMPLES; k++) {
        int64_t start_ns = now_ns();
        for (long i = k * ROUNDS; i < (k + 1) * ROUNDS; i++) {
            atomic_store_explicit(&turn, 2 * i + 1, memory_order_release);
            wait_for(2 * i + 2);
        }
        double ns = (double)(now_ns() - start_ns) / ROUNDS;
        long at = k;
        for (; at > 0 && sample[at - 1] > ns; at--)
            sample[at] = sample[at - 1];
        sample[at] = ns;
    }
    return sample[SAMPLES / 2];
}

int main(int argc, char **argv)
{
    cpu_set_t allowed;
    pthread_t other;
    int found = 0;

    if (argc > 1) {
        printf("line: ns of a cache line's way from one processor to another and back\nusage: %s\n", argv[0]);
        return strcmp(argv[1], "--help") == 0 ? 0 : 1;
    }
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return 2;
    for (int i = 0; i < CPU_SETSIZE && found < 2; i++)
        if (CPU_ISSET(i, &allowed))
            processor[found++] = i;
    if (found < 2) {
        puts("{\"round_trip_ns\": null}");
        return 0;
    }
    run_on(processor[0]);
    if (pthread_create(&other, NULL, answer, NULL) != 0)
        return 2;
    printf("{\"round_trip_ns\": %.1f}\n", round_trip_ns());
    pthread_join(other, NULL);
    return 0;
}
