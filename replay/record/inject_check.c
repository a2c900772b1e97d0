/* inject_check.c - may this process be recorded by --pid, and if not, why? See inject.h. */
#include "record/inject.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/commands.h"
#include "record/collector.h"

/* A field of /proc/PID/status, or -1; of Uid the first number. */
static long status_field(pid_t pid, const char *name, char *letter)
{
    char path[64], line[256];
    long value = -1;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':') {
            value = strtol(line + strlen(name) + 1, NULL, 10);
            if (letter)
                *letter = line[strlen(name) + 1 + strspn(line + strlen(name) + 1, " \t")];
        }
    if (f)
        fclose(f);
    return value;
}

static long yama_scope(void)
{
    FILE *f = fopen("/proc/sys/kernel/yama/ptrace_scope", "re");
    long scope = 0;

    if (f) {
        if (fscanf(f, "%ld", &scope) != 1)
            scope = 0;
        fclose(f);
    }
    return scope;
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;

    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* The kernel said no: which of its reasons is it? */
static int forbidden(pid_t pid, char *error, size_t size)
{
    long user = status_field(pid, "Uid", NULL), scope = yama_scope();

    if (user >= 0 && user != (long)geteuid() && geteuid() != 0)
        snprintf(error, size, "process %d cannot be recorded because it belongs to another user (uid %ld); "
                 "run heaplay as that user or as root", (int)pid, user);
    else if (scope > 0)
        snprintf(error, size, "process %d cannot be recorded because kernel.yama.ptrace_scope is %ld; %s", (int)pid, scope,
                 scope == 3 ? "this system allows no tracing until it is started again"
                            : "run heaplay as root, or set it to 0: sysctl kernel.yama.ptrace_scope=0");
    else
        snprintf(error, size, "process %d cannot be recorded because the kernel does not let heaplay trace it "
                 "(it gained privileges, or a security module forbids it); run heaplay as root", (int)pid);
    return HP_EXIT_BAD_INPUT;
}

static int refuse(pid_t pid, const char *why, const char *what_to_do, char *error, size_t size)
{
    snprintf(error, size, "process %d cannot be recorded because %s; %s", (int)pid, why, what_to_do);
    return HP_EXIT_BAD_INPUT;
}

static int check_namespaces(pid_t pid, const char *library, char *error, size_t size)
{
    char path[PATH_MAX + 64];

    snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)pid);
    if (!same_file(path, "/proc/self/ns/pid"))
        return refuse(pid, "it lives in another pid namespace (a container)", "run heaplay in that container", error, size);
    snprintf(path, sizeof path, "/proc/%d/root%s", (int)pid, library);
    if (!same_file(path, library))
        return refuse(pid, "its root directory does not hold libheaplay-record.so at heaplay's path",
                      "install heaplay there at the same path", error, size);
    return HP_EXIT_OK;
}

static int check_state(pid_t pid, char *error, size_t size)
{
    char state = '?', text[64];
    long tracer = status_field(pid, "TracerPid", NULL);

    status_field(pid, "State", &state);
    if (state == 'Z' || state == 'X')
        return refuse(pid, "it has ended", "its parent has only to take note of it", error, size);
    if (state == 'T')
        return refuse(pid, "it is stopped", "let it continue first (kill -CONT)", error, size);
    if (tracer > 0) {
        snprintf(text, sizeof text, "process %ld traces it", tracer);
        return refuse(pid, text, "end that debugger first", error, size);
    }
    if (status_field(pid, "Seccomp", NULL) > 0)
        return refuse(pid, "it runs under a seccomp filter, which may kill it for loading a library",
                      "start it by heaplay record", error, size);
    return HP_EXIT_OK;
}

int hp_inject_check(pid_t pid, const char *library, char *error, size_t size)
{
    char path[64], program[PATH_MAX];
    ssize_t n;
    int code;

    if (kill(pid, 0) != 0 && errno == ESRCH) {
        snprintf(error, size, "--pid %d: no such process; pgrep finds it by its name", (int)pid);
        return HP_EXIT_USAGE;
    }
    if (pid == getpid())
        return refuse(pid, "it is heaplay itself", "name another one", error, size);
    code = check_state(pid, error, size);
    if (code)
        return code;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    n = readlink(path, program, sizeof program - 1);
    if (n < 0)
        return errno == ENOENT ? refuse(pid, "it is a thread of the kernel", "name a program", error, size)
                               : forbidden(pid, error, size);
    program[n] = '\0';
    snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    if (access(path, R_OK | W_OK) != 0)
        return forbidden(pid, error, size);
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    code = hp_launch_check_image(path, program, error, size);
    return code ? code : check_namespaces(pid, library, error, size);
}
