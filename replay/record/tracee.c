/* tracee.c - see tracee.h. */
#include "record/tracee.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    STOP_MS = 5000,             /* until all threads stand still */
    EVENT_STOP = 128,           /* PTRACE_EVENT_STOP */
};

bool hp_tracee_fail(struct hp_tracee *t, const char *format, ...)
{
    va_list arguments;
    int n = snprintf(t->error, t->error_size, "process %d ", (int)t->pid);

    va_start(arguments, format);
    vsnprintf(t->error + n, t->error_size - (size_t)n, format, arguments);
    va_end(arguments);
    return false;
}

uint64_t hp_tracee_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000u + (uint64_t)t.tv_nsec / 1000000u;
}

void hp_tracee_pause(void)
{
    const struct timespec pause = {.tv_nsec = 20000};

    nanosleep(&pause, NULL);
}

bool hp_tracee_open(struct hp_tracee *t, pid_t pid, char *error, size_t error_size)
{
    char path[64];

    *t = (struct hp_tracee){.pid = pid, .error = error, .error_size = error_size};
    snprintf(path, sizeof path, "/proc/%d/mem", (int)pid);
    t->memory = open(path, O_RDWR | O_CLOEXEC);
    return t->memory >= 0;
}

void hp_tracee_close(struct hp_tracee *t)
{
    if (t->memory >= 0)
        close(t->memory);
    t->memory = -1;
    free(t->threads);
    t->threads = NULL;
    t->count = t->room = 0;
}

struct hp_thread *hp_tracee_find(const struct hp_tracee *t, pid_t tid)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->threads[i].tid == tid)
            return &t->threads[i];
    return NULL;
}

void hp_tracee_forget(struct hp_tracee *t, struct hp_thread *thread)
{
    *thread = t->threads[--t->count];
}

/* False: it is gone, or not ours to trace (errno). */
static bool seize(struct hp_tracee *t, pid_t tid)
{
    if (t->count == t->room) {
        size_t room = t->room ? 2 * t->room : 64;
        struct hp_thread *threads = realloc(t->threads, room * sizeof *threads);

        if (!threads)
            return false;
        t->threads = threads;
        t->room = room;
    }
    if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0)
        return false;
    t->threads[t->count++] = (struct hp_thread){.tid = tid};
    return ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) == 0 || errno == ESRCH;
}

static bool is_gone(struct hp_tracee *t)
{
    t->gone = true;
    return hp_tracee_fail(t, "is gone");
}

/* Whether a thread that may not be traced is on its way out: it is listed until it has been waited for. */
static bool is_ending(pid_t pid, pid_t tid)
{
    char path[64], text[512], *name_end;
    ssize_t n = -1;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)pid, (int)tid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, text, sizeof text - 1);
        close(fd);
    }
    if (n <= 0)
        return true;
    text[n] = '\0';
    name_end = strrchr(text, ')');
    return name_end && (strncmp(name_end, ") Z", 3) == 0 || strncmp(name_end, ") X", 3) == 0);
}

/* Every thread that is not traced yet. Returns their number, -1 on failure. */
static int seize_new(struct hp_tracee *t)
{
    char path[64];
    struct dirent *entry;
    int added = 0;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/task", (int)t->pid);
    dir = opendir(path);
    if (!dir)
        return is_gone(t) - 1;
    while ((entry = readdir(dir)) && added >= 0) {
        pid_t tid = (pid_t)atoi(entry->d_name);
        int why;

        if (tid <= 0 || hp_tracee_find(t, tid))
            continue;
        if (seize(t, tid))
            added++;
        else if ((why = errno) != ESRCH && !is_ending(t->pid, tid))
            added = hp_tracee_fail(t, "may not be traced: %s", strerror(why)) - 1;
    }
    closedir(dir);
    return added;
}

/* The signal that a stopped thread is to get: none for our events and breakpoints. */
int hp_tracee_signal(const struct hp_thread *thread, int status)
{
    siginfo_t info;

    if (status >> 16 || (WSTOPSIG(status) == SIGTRAP && ptrace(PTRACE_GETSIGINFO, thread->tid, NULL, &info) == 0 &&
                         info.si_code == TRAP_HWBKPT))
        return 0;
    return WSTOPSIG(status);
}

/* Signals that come in between are delivered, so that nothing is lost or turned round. */
bool hp_tracee_wait(struct hp_tracee *t, struct hp_thread *thread, uint64_t deadline_ms)
{
    int status;

    for (;;) {
        pid_t got = waitpid(thread->tid, &status, __WALL | WNOHANG);

        if (got == thread->tid && WIFSTOPPED(status)) {
            if (status >> 16 == EVENT_STOP) {
                thread->stopped = true;
                return true;
            }
            ptrace(PTRACE_CONT, thread->tid, NULL, (void *)(uintptr_t)hp_tracee_signal(thread, status));
            ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL);          /* any stop takes the request before it away */
        } else if (got == thread->tid || (got < 0 && errno == ECHILD)) {
            hp_tracee_forget(t, thread);
            return true;
        } else if (hp_tracee_now_ms() > deadline_ms) {
            return hp_tracee_fail(t, "has a thread, %d, that does not stop; try again later", (int)thread->tid);
        } else {
            hp_tracee_pause();
        }
    }
}

bool hp_tracee_stop(struct hp_tracee *t)
{
    uint64_t deadline = t->armed ? UINT64_MAX : hp_tracee_now_ms() + STOP_MS;
    int added;

    for (size_t i = 0; i < t->count; i++)
        if (!t->threads[i].stopped)
            ptrace(PTRACE_INTERRUPT, t->threads[i].tid, NULL, NULL);
    do {
        added = seize_new(t);
        for (size_t i = 0; i < t->count && added >= 0; ) {
            size_t before = t->count;

            if (!t->threads[i].stopped && !hp_tracee_wait(t, &t->threads[i], deadline))
                return false;
            i += t->count == before;
        }
    } while (added > 0);
    if (added == 0 && t->count == 0)
        return is_gone(t);
    return added == 0;
}

void hp_tracee_release(struct hp_tracee *t, pid_t except)
{
    for (size_t i = t->count; i-- > 0; )
        if (t->threads[i].tid != except) {
            ptrace(PTRACE_DETACH, t->threads[i].tid, NULL, (void *)(uintptr_t)t->threads[i].signal);
            hp_tracee_forget(t, &t->threads[i]);
        }
}

bool hp_tracee_write(struct hp_tracee *t, uint64_t address, const void *from, size_t size)
{
    const char *bytes = from;
    long word;

    for (size_t done = 0; done < size; done += sizeof word) {
        size_t n = size - done < sizeof word ? size - done : sizeof word;

        if (n < sizeof word && pread(t->memory, &word, sizeof word, (off_t)(address + done)) != sizeof word)
            return false;
        memcpy(&word, bytes + done, n);
        if (ptrace(PTRACE_POKEDATA, t->threads[0].tid, (void *)(uintptr_t)(address + done), (void *)word) != 0)
            return false;
    }
    return true;
}
