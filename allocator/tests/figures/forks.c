/* forks.c - 100 forks of a process of one thread that holds 1000 blocks, the children ending at once: prints the minor faults of the
 * parent meanwhile and those of the children. What the allocator writes to around a fork is copied for each. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define FORKS  100
#define BLOCKS 1000

static long faults_of(int who)
{
    struct rusage usage;

    getrusage(who, &usage);
    return usage.ru_minflt;
}

static int fork_and_wait(void)
{
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    return child > 0 && waitpid(child, NULL, 0) == child;
}

int main(void)
{
    for (size_t i = 0; i < BLOCKS; i++)
        if (malloc(100 + i) == NULL)
            return 1;
    fork_and_wait();
    long parent = faults_of(RUSAGE_SELF), children = faults_of(RUSAGE_CHILDREN);
    for (int i = 0; i < FORKS; i++)
        if (!fork_and_wait())
            return 1;
    printf("%ld %ld\n", faults_of(RUSAGE_SELF) - parent, faults_of(RUSAGE_CHILDREN) - children);
    return 0;
}
