/* fork_order.c - handlers around fork() that were registered before any library's constructor ran, and allocate: they run while
 * the allocator's own have taken its locks, unless those were registered even earlier. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int calls;

static void allocate(void)
{
    for (size_t i = 0; i < 400; i++) {
        void *volatile block = malloc(i * i);
        free(block);
    }
    calls++;
}

static void register_early(void)
{
    pthread_atfork(allocate, allocate, allocate);
}

__attribute__((section(".preinit_array"), used)) static void (*early)(void) = register_early;

static void *wait_for_ever(void *nothing)
{
    for (;;)
        pause();
    return nothing;
}

int main(void)
{
    pthread_t thread;

    alarm(20);      /* a lock that waits for itself ends here */
    if (pthread_create(&thread, NULL, wait_for_ever, NULL) != 0)
        return 1;
    for (int i = 0; i < 3; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(calls);
        int status = 0;
        waitpid(child, &status, 0);
        printf("child %d, calls %d\n", WEXITSTATUS(status), calls);
    }
    return 0;
}
