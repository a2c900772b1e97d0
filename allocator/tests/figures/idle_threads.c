/* idle_threads.c - 64 threads that wait, after a few blocks each when the argument is "alloc": prints resident bytes, so that
 * the difference of both runs is what an allocator keeps for idle threads. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS 64

static pthread_barrier_t ready, done;

static void *idle(void *alloc)
{
    if (alloc != NULL)
        for (size_t size = 16; size <= 2048; size *= 2)
            free(memset(malloc(size), 1, size));
    pthread_barrier_wait(&ready);
    pthread_barrier_wait(&done);
    return NULL;
}

static long resident_bytes(void)
{
    char line[256];
    long kib = -1;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");     /* exact, unlike statm */

    while (file != NULL && fgets(line, sizeof line, file) != NULL && sscanf(line, "Rss: %ld", &kib) != 1)
        continue;
    if (kib < 0)
        exit(1);
    fclose(file);
    return kib * 1024;
}

int main(int argc, char **argv)
{
    static pthread_t thread[THREADS];
    int alloc = argc > 1 && strcmp(argv[1], "alloc") == 0;

    free(malloc(100));
    pthread_barrier_init(&ready, NULL, THREADS + 1);
    pthread_barrier_init(&done, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, idle, alloc ? thread : NULL) != 0)
            return 1;
    pthread_barrier_wait(&ready);
    printf("%ld\n", resident_bytes());
    pthread_barrier_wait(&done);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    return 0;
}
