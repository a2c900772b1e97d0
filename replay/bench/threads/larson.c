/* larson.c - blocks bleed from thread to thread: each thread replaces blocks of a table that a later thread takes over. */
#include "threads.h"

enum { SLOTS = 2000, GENERATIONS = 8 };
static void *table[THREADS_MAX][SLOTS];
static struct work work;
static int generation;

static void *body(void *number)
{
    int owner = ((int)(intptr_t)number + generation) % work.threads;
    uint64_t random = seed_of(owner * GENERATIONS + generation);
    for (long i = 0; i < work.rounds; i++) {
        void **slot = &table[owner][next_random(&random) % SLOTS];
        free(*slot);
        *slot = touched(mixed_size(&random));
    }
    return NULL;
}

int main(int argc, char **argv)
{
    work = read_arguments(argc, argv, 4, 40000, "larson: a table's blocks are freed by the next generation of threads");
    int64_t start_ns = now_ns();
    for (generation = 0; generation < GENERATIONS; generation++)
        run_all(work.threads, body);
    return report(start_ns, 2 * work.rounds * work.threads * GENERATIONS);
}
