/* always: double free */
#include <pthread.h>

#include "run.h"

static void *free_it(void *block)
{
    cell_free(block);
    return NULL;
}

int main(void)
{
    pthread_t thread;
    char *block = apart(40);
    if (pthread_create(&thread, NULL, free_it, block) != 0)
        return 3;
    pthread_join(thread, NULL);
    cell_free(hidden(block));
    return 0;
}
