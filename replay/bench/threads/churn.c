/* churn.c - many short-lived threads, each with a working set that it frees, save one block that outlives it. */
#include "threads.h"

enum { SET = 200 };
static void *survivors[THREADS_MAX];

static void *body(void *number)
{
    int thread = (int)(intptr_t)number;
    uint64_t random = seed_of(thread);
    void *blocks[SET];
    for (int round = 0; round < 8; round++) {
        for (int i = 0; i < SET; i++)
            blocks[i] = touched(mixed_size(&random));
        for (int i = 0; i < SET; i++)
            free(blocks[(i * 7) % SET]);
    }
    free(survivors[thread]);
    survivors[thread] = touched(600);
    return NULL;
}

int main(int argc, char **argv)
{
    struct work work = read_arguments(argc, argv, 8, 150, "churn: rounds of threads that live for a few thousand calls");
    int64_t start_ns = now_ns();
    for (long i = 0; i < work.rounds; i++)
        run_all(work.threads, body);
    return report(start_ns, work.rounds * work.threads * SET * 16L);
}
