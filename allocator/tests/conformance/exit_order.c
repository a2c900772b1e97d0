/* exit_order.c - blocks that live across the ends of threads and of the program: TLS destructors, atexit handlers, stdio. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_key_t key;
static int destroyed;

static void destroy(void *block)
{
    char *other = malloc(300);

    memset(other, 1, 300);
    free(block);
    free(other);
    __atomic_fetch_add(&destroyed, 1, __ATOMIC_RELAXED);
}

static void *work(void *name)
{
    char *text = strdup("of a thread");

    pthread_setspecific(key, malloc(77));
    free(text);
    return realloc(strdup(name), 5000);
}

static void say_goodbye(void)
{
    char *text = malloc(100000);

    strcpy(text, "goodbye");
    printf("%s after %d destructors\n", text, destroyed);
    free(text);
}

/* Handlers of libraries that were there before the allocator's allocate as well. */
static void in_handler(void)
{
    free(malloc(40));
    free(malloc(4000));
    free(malloc(400000));
}

__attribute__((constructor(101))) static void register_early(void)
{
    pthread_atfork(in_handler, in_handler, in_handler);
}

int main(void)
{
    pthread_t thread[8];

    pthread_key_create(&key, destroy);
    atexit(say_goodbye);
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 8; i++)
            pthread_create(&thread[i], NULL, work, "name");
        if (round % 10 == 0) {
            int status;
            pid_t child = fork();
            if (child == 0) {
                in_handler();
                _exit(0);
            }
            waitpid(child, &status, 0);
            printf("child: %d\n", status);
        }
        for (int i = 0; i < 8; i++) {
            void *result;
            pthread_join(thread[i], &result);
            free(result);
        }
    }
    return 0;
}
