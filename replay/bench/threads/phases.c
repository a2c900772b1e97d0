/* phases.c - all threads allocate, then each frees its neighbour's blocks, and the sizes change from phase to phase. */
#include "threads.h"

enum { BLOCKS = 4000 };
static void *table[THREADS_MAX][BLOCKS];
static struct work work;
static pthread_barrier_t barrier;

static void *body(void *number)
{
    int thread = (int)(intptr_t)number, neighbour = (thread + 1) % work.threads;
    uint64_t random = seed_of(thread);
    for (long phase = 0; phase < work.rounds; phase++) {
        size_t base = (size_t)16 << phase % 6;
        for (int i = 0; i < BLOCKS; i++)
            table[thread][i] = touched(base + next_random(&random) % base);
        pthread_barrier_wait(&barrier);
        for (int i = 0; i < BLOCKS; i++)
            free(table[neighbour][i]);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    work = read_arguments(argc, argv, 4, 60, "phases: each thread frees what its neighbour allocated");
    pthread_barrier_init(&barrier, NULL, (unsigned)work.threads);
    int64_t start_ns = now_ns();
    run_all(work.threads, body);
    return report(start_ns, 2 * work.rounds * work.threads * BLOCKS);
}
