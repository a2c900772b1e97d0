/* launch.c - runs PRELOAD PROGRAM ARGS... ("-": no preload) and prints its largest resident size (KiB) and minor faults. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct rusage usage;
    int status;

    if (argc < 3)
        return 2;
    if (strcmp(argv[1], "-") != 0)
        setenv("LD_PRELOAD", argv[1], 1);
    pid_t child = vfork();          /* fork would count our own pages and faults */
    if (child == 0) {
        execvp(argv[2], argv + 2);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &usage) != child || status != 0)
        return 1;
    printf("%ld %ld\n", usage.ru_maxrss, usage.ru_minflt);
    return 0;
}
