/* private.c - threads that share nothing: each replaces blocks of its own table. */
#include "threads.h"

enum { SLOTS = 1500 };
static struct work work;

static void *body(void *number)
{
    uint64_t random = seed_of((int)(intptr_t)number);
    void **table = calloc(SLOTS, sizeof *table);
    for (long i = 0; table && i < work.rounds; i++) {
        void **slot = &table[next_random(&random) % SLOTS];
        free(*slot);
        *slot = touched(mixed_size(&random));
    }
    for (int i = 0; table && i < SLOTS; i++)
        free(table[i]);
    free(table);
    return NULL;
}

int main(int argc, char **argv)
{
    work = read_arguments(argc, argv, 8, 200000, "private: threads that share nothing");
    int64_t start_ns = now_ns();
    run_all(work.threads, body);
    return report(start_ns, 2 * work.rounds * work.threads);
}
