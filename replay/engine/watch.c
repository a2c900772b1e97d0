/* watch.c - see watch.h. */
#include "engine/watch.h"

#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { POLL_NS = 20000 };

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void pause_ns(long ns)
{
    nanosleep(&(struct timespec){ .tv_nsec = ns }, NULL);
}

static bool gone(pid_t worker)
{
    siginfo_t info = { .si_pid = 0 };

    return waitid(P_PID, (id_t)worker, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0;
}

static struct hp_watch_point progress(const struct hp_job *job, uint32_t threads)
{
    struct hp_watch_point sum = { 0 };

    for (uint32_t t = 0; t < threads; t++) {
        sum.calls += atomic_load_explicit(&job->progress[t].calls, memory_order_relaxed);
        sum.live_bytes += atomic_load_explicit(&job->progress[t].live_bytes, memory_order_relaxed);
        sum.usable_bytes += atomic_load_explicit(&job->progress[t].usable_bytes, memory_order_relaxed);
    }
    return sum;
}

/* Full: every second point goes, and from now on half as many are taken. The first stays. */
static void thin(struct hp_watch *w)
{
    for (uint32_t i = 1; 2 * i < w->points; i++)
        w->point[i] = w->point[2 * i];
    w->points = (w->points + 1) / 2;
    w->interval_ns *= 2;
    w->step_calls *= 2;
}

static bool take(struct hp_watch *w, int fd, const struct hp_job *job, uint32_t threads, uint64_t start_ns)
{
    struct hp_watch_point before = progress(job, threads), after;
    struct hp_smaps memory;
    uint64_t from = now_ns();

    if (!hp_smaps_read(fd, &memory))
        return false;
    uint64_t to = now_ns();
    after = progress(job, threads);
    if (w->points == HP_WATCH_POINTS)
        thin(w);
    for (int f = 0; f < HP_SMAPS_FIELDS && w->points; f++)
        memory.kib[f] = memory.kib[f] == HP_MISSING ? HP_MISSING : memory.kib[f] - w->point[0].memory.kib[f];
    w->point[w->points++] = (struct hp_watch_point){
        .ns = start_ns ? from + (to - from) / 2 - start_ns : 0, .calls = (before.calls + after.calls) / 2,
        .calls_during = after.calls - before.calls, .live_bytes = (before.live_bytes + after.live_bytes) / 2,
        .usable_bytes = (before.usable_bytes + after.usable_bytes) / 2, .memory = memory,
    };
    return true;
}

static bool due(const struct hp_watch *w, const struct hp_job *job, uint32_t threads, uint64_t start_ns)
{
    const struct hp_watch_point *last = &w->point[w->points - 1];

    return now_ns() - start_ns >= last->ns + w->interval_ns ||
           progress(job, threads).calls >= last->calls + w->step_calls;
}

bool hp_watch_run(struct hp_watch *w, pid_t worker, struct hp_job *job, uint32_t threads, uint64_t calls,
                  unsigned timeout_s)
{
    int fd = -1;
    uint64_t start_ns = 0, deadline_ns = now_ns() + timeout_s * 1000000000ull;
    bool on_time;

    w->points = 0;
    w->interval_ns = HP_WATCH_INTERVAL_MS * 1000000u;
    w->step_calls = calls / HP_WATCH_STEPS + 1;
    while ((on_time = now_ns() < deadline_ns) && !gone(worker)) {
        uint32_t state = atomic_load(&job->watch);
        if (state == HP_WATCH_READY && start_ns == 0) {
            fd = hp_smaps_open(worker);     /* not before: the file stays that of the image in which it was opened */
            if (!take(w, fd, job, threads, 0))
                w->points = 0;
            start_ns = now_ns();
            atomic_store(&job->watch, HP_WATCH_GO);
        } else if (w->points && (state == HP_WATCH_DONE || (state == HP_WATCH_GO && due(w, job, threads, start_ns)))) {
            take(w, fd, job, threads, start_ns);
        }
        if (state == HP_WATCH_DONE) {
            atomic_store(&job->watch, HP_WATCH_OVER);
            break;
        }
        pause_ns(POLL_NS);
    }
    if (fd >= 0)
        close(fd);
    return on_time;
}
