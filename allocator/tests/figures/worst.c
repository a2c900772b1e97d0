/* worst.c - a million random operations on a heap that has seen as many before: prints the longest of them, in ns of
 * the thread's own time, which includes interrupts: the smallest result of several runs is the one to take. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define OPERATIONS 1000000
#define SLOTS      5000

static uint64_t state = 88172645463325252u;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static long now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

static long longest(void)
{
    static void *slot[SLOTS];
    long worst_ns = 0;

    for (long i = 0; i < OPERATIONS; i++) {
        size_t at = next_random() % SLOTS, size = 1 + next_random() % (next_random() % 8 == 0 ? 8000 : 200);
        long start_ns = now_ns();
        if (slot[at] == NULL) {
            slot[at] = malloc(size);
        } else {
            free(slot[at]);
            slot[at] = NULL;
        }
        long elapsed_ns = now_ns() - start_ns;
        worst_ns = elapsed_ns > worst_ns ? elapsed_ns : worst_ns;
    }
    return worst_ns;
}

int main(void)
{
    longest();
    printf("%ld\n", longest());
    return 0;
}
