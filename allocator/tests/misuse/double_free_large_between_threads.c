/* always: double free */
#include <pthread.h>

#include "run.h"

static void *allocate(void *unused)
{
    cell_free(cell_malloc(40));
    return unused;
}

int main(void)
{
    pthread_t thread;
    char *block = apart(50000);
    if (pthread_create(&thread, NULL, allocate, NULL) != 0)
        return 3;
    pthread_join(thread, NULL);
    for (int i = 0; i < 100; i++) {             /* the thread comes back for the size: its block stays in the cache */
        cell_free(block);
        block = apart(50000);
    }
    cell_free(block);
    cell_free(hidden(block));
    return 0;
}
