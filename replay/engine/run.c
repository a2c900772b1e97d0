/* run.c - starts heaplay-worker under an allocator; see run.h.
 *
 * The environment is the user's, without LD_PRELOAD, plus the allocator's variables and a padding of random length. The
 * worker dies with heaplay. What it says on stderr is kept for the message, or printed once for each allocator. */
#include "engine/run.h"
#include "engine/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PADDING_MAX = 4096, LINES_PRINTED = 4 };

extern char **environ;

int hp_run_init(struct hp_run *r, char *error, size_t error_size)
{
    r->job_fd = memfd_create("heaplay-job", 0);
    if (r->job_fd >= 0 && ftruncate(r->job_fd, HP_JOB_PAGES) == 0)
        r->job = mmap(NULL, HP_JOB_PAGES, PROT_READ | PROT_WRITE, MAP_SHARED, r->job_fd, 0);
    if (r->job_fd < 0 || !r->job || r->job == MAP_FAILED) {
        snprintf(error, error_size, "cannot make the job page: %s", strerror(errno));
        return -1;
    }
    return 0;
}

void hp_run_release(struct hp_run *r)
{
    if (r->job)
        munmap(r->job, HP_JOB_PAGES);
    if (r->job_fd >= 0)
        close(r->job_fd);
    r->job = NULL;
}

const char *hp_run_status_name(enum hp_run_status status)
{
    static const char *const name[] = { "ok", "crashed", "wrong", "timeout", "refused", "refused" };

    return name[status];
}

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

struct hp_layout hp_run_layout(uint64_t seed)
{
    return (struct hp_layout){ .padding = (uint32_t)(mix(seed) % PADDING_MAX),
                               .stack_offset = (uint32_t)(mix(seed + 1) % 4096) & ~15u,
                               .slot_offset = (uint32_t)(mix(seed + 2) % 4096) & ~63u };
}

static char **build_environment(const struct hp_run *r, char *preload, char *padding)
{
    const struct hp_allocator *a = r->allocator;
    size_t count = 0, used = 0;

    while (environ[count])
        count++;
    char **list = calloc(count + (size_t)a->variables + 3, sizeof *list);
    if (!list)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        bool replaced = strncmp(environ[i], "LD_PRELOAD=", 11) == 0;
        for (int v = 0; v < a->variables; v++) {
            size_t name = strcspn(a->variable[v], "=") + 1;
            replaced |= strncmp(environ[i], a->variable[v], name) == 0;
        }
        if (!replaced)
            list[used++] = environ[i];
    }
    for (int v = 0; v < a->variables; v++)
        list[used++] = a->variable[v];
    if (a->path[0] && !a->prefix[0])
        list[used++] = preload;
    list[used++] = padding;
    return list;
}

static bool worker_path(char path[PATH_MAX])
{
    ssize_t n = readlink("/proc/self/exe", path, PATH_MAX - 32);

    if (n <= 0)
        return false;
    path[n] = 0;
    strcpy(strrchr(path, '/') + 1, "heaplay-worker");
    return access(path, X_OK) == 0;
}

static pid_t start(struct hp_run *r, int stderr_fd)
{
    char path[PATH_MAX], preload[PATH_MAX + 16], padding[PADDING_MAX + 32], plan[16], job[16];

    if (!worker_path(path)) {
        snprintf(r->text, sizeof r->text, "%.900s is missing: run `make build`", path);
        return -1;
    }
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", r->allocator->path);
    uint32_t pad = hp_run_layout(r->seed).padding;
    memcpy(padding, "HEAPLAY_PADDING=", 16);
    memset(padding + 16, 'x', pad);
    padding[16 + pad] = 0;
    snprintf(plan, sizeof plan, "%d", r->plan_fd);
    snprintf(job, sizeof job, "%d", r->job_fd);
    char *argv[] = { path, plan, job, NULL };
    char **envp = build_environment(r, preload, padding);
    pid_t parent = getpid(), child = envp ? fork() : -1;
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(2);
        dup2(stderr_fd, 1);
        dup2(stderr_fd, 2);
        execve(path, argv, envp);
        _exit(2);
    }
    free(envp);
    if (child < 0)
        snprintf(r->text, sizeof r->text, "cannot start a process: %s", strerror(errno));
    return child;
}

/* Waits until the worker ends; false: the time is over and it was killed. */
static bool await(pid_t child, unsigned timeout_s, int *status)
{
    int fd = (int)syscall(SYS_pidfd_open, child, 0);
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int n = 1;

    if (fd >= 0) {
        do
            n = poll(&p, 1, (int)timeout_s * 1000);
        while (n < 0 && errno == EINTR);
        close(fd);
    }
    if (n == 0)
        kill(child, SIGKILL);
    while (waitpid(child, status, 0) < 0 && errno == EINTR)
        ;
    return n != 0;
}

static void beginning(int fd, char *text, size_t size)
{
    ssize_t n = pread(fd, text, size - 1, 0);

    text[n > 0 ? n : 0] = 0;
}

/* An allocator that was given a setting it does not know says so and goes on without it: the user has to read that, but
 * not for every sample. */
static void print_once(struct hp_run *r, const char *said)
{
    if (!*said)
        return;
    for (unsigned i = 0; i < r->heard_count; i++)
        if (r->heard[i] == r->allocator)
            return;
    if (r->heard_count < HP_RUN_HEARD)
        r->heard[r->heard_count++] = r->allocator;
    for (int line = 0; *said && line < LINES_PRINTED; line++) {
        size_t n = strcspn(said, "\n");

        fprintf(stderr, "heaplay: %s says: %.*s\n", r->allocator->name, (int)n, said);
        said += n + (said[n] == '\n');
    }
}

static enum hp_run_status judge(struct hp_run *r, int status, const char *said)
{
    const struct hp_job *job = r->job;

    if (WIFSIGNALED(status)) {
        snprintf(r->text, sizeof r->text, "killed by signal %d (%s)%s%.255s", WTERMSIG(status),
                 strsignal(WTERMSIG(status)), said[0] ? ": " : "", said);
        return HP_RUN_CRASHED;
    }
    if (WEXITSTATUS(status) != 0 || job->state == HP_WORKER_STARTED) {
        snprintf(r->text, sizeof r->text, "ended with exit status %d before the replay was done%s%.255s",
                 WEXITSTATUS(status), said[0] ? ": " : "", said);
        return HP_RUN_CRASHED;
    }
    if (job->state == HP_WORKER_OK)
        return HP_RUN_OK;
    if (job->state == HP_WORKER_WRONG && job->violation_call != UINT64_MAX)
        snprintf(r->text, sizeof r->text, "operation %llu: %s", (unsigned long long)job->violation_call, job->message);
    else
        snprintf(r->text, sizeof r->text, "%s%s%.255s", job->message, said[0] ? "; " : "", said);
    return job->state == HP_WORKER_WRONG ? HP_RUN_WRONG
           : job->state == HP_WORKER_IDENTITY ? HP_RUN_REFUSED : HP_RUN_SYSTEM;
}

enum hp_run_status hp_run_worker(struct hp_run *r)
{
    struct hp_job *job = r->job;
    int said_fd = memfd_create("heaplay-stderr", MFD_CLOEXEC), status = 0;
    char said[1024];

    r->text[0] = 0;
    memset(&job->state, 0, sizeof *job - offsetof(struct hp_job, state));
    job->magic = HP_JOB_MAGIC;
    job->backend = (uint32_t)r->allocator->backend;
    job->stack_offset = hp_run_layout(r->seed).stack_offset;
    job->slot_offset = hp_run_layout(r->seed).slot_offset;
    snprintf(job->library, sizeof job->library, "%s", r->allocator->path);
    snprintf(job->prefix, sizeof job->prefix, "%s", r->allocator->prefix);
    pid_t child = start(r, said_fd);
    if (child < 0) {
        close(said_fd);
        return HP_RUN_SYSTEM;
    }
    bool late = job->mode == HP_MODE_WATCHED &&
                !hp_watch_run(r->watch, child, job, r->plan->threads, r->plan->calls, r->timeout_s);
    bool ended = await(child, late ? 0 : r->timeout_s, &status);
    beginning(said_fd, said, sizeof said);
    close(said_fd);
    if (!ended) {
        snprintf(r->text, sizeof r->text, "not done after %u s: killed (see --timeout)", r->timeout_s);
        return HP_RUN_TIMEOUT;
    }
    if (job->state == HP_WORKER_OK)
        print_once(r, said);
    said[strcspn(said, "\n")] = 0;
    return judge(r, status, said);
}
