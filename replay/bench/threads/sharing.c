/* sharing.c - false sharing: small blocks handed out by one thread and written to by others, which then make their own. */
#include "threads.h"

static struct work work;
static void *first[THREADS_MAX];

static void *body(void *number)
{
    int thread = (int)(intptr_t)number;
    volatile char *block = first[thread];
    for (long i = 0; i < work.rounds; i++) {
        for (int k = 0; k < 100; k++)
            block[k & 7] = (char)(block[k & 7] + 1);
        free((void *)block);
        block = touched(8);
    }
    free((void *)block);
    return NULL;
}

int main(int argc, char **argv)
{
    work = read_arguments(argc, argv, 2, 400000, "sharing: threads write to small blocks that may lie in one line");
    int64_t start_ns = now_ns();
    for (int i = 0; i < work.threads; i++)
        first[i] = touched(8);
    run_all(work.threads, body);
    return report(start_ns, 2 * work.rounds * work.threads);
}
