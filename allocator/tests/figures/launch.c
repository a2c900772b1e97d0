/* launch.c - runs PRELOAD PROGRAM ARGS... ("-": no preload) and prints its resident size when it ends, how much of that is its own
 * (anonymous, not pages of files that others share), both in KiB, and its minor faults. The kernel's ru_maxrss is kept in batches
 * and is wrong by tens of pages; the page tables, read while the program stands at its exit, are exact. */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Kilobytes on the line `name` of the process's smaps_rollup; ends this program when there is none. */
static long smaps_kib(pid_t pid, const char *name)
{
    char path[64], line[256], format[64];
    long kib = -1;

    snprintf(path, sizeof path, "/proc/%ld/smaps_rollup", (long)pid);
    snprintf(format, sizeof format, "%s: %%ld", name);
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL && sscanf(line, format, &kib) != 1)
        continue;
    if (kib < 0)
        exit(1);
    fclose(file);
    return kib;
}

int main(int argc, char **argv)
{
    static long resident = -1, own = -1;
    struct rusage usage;
    int status;

    if (argc < 3)
        return 2;
    if (strcmp(argv[1], "-") != 0)
        setenv("LD_PRELOAD", argv[1], 1);
    pid_t child = vfork();          /* fork would count our own pages and faults */
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        execvp(argv[2], argv + 2);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFSTOPPED(status) ||
        ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)(long)(PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL)) != 0)
        return 1;
    for (long signal = 0;;) {
        if (ptrace(PTRACE_CONT, child, NULL, (void *)signal) != 0 || wait4(child, &status, 0, &usage) != child)
            return 1;
        if (!WIFSTOPPED(status))
            break;
        bool at_exit = status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8);
        signal = at_exit ? 0 : WSTOPSIG(status);
        if (at_exit) {
            resident = smaps_kib(child, "Rss");
            own = smaps_kib(child, "Anonymous");
        }
    }
    if (status != 0 || resident < 0)
        return 1;
    printf("%ld %ld %ld\n", resident, own, usage.ru_minflt);
    return 0;
}
