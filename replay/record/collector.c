/* collector.c - the loop: adopts processes, merges what the drain brought, closes traces, sleeps when there is little to do.
 */
#include "record/collector.h"
#include "record/pages.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    BUSY_EVENTS = 2048,         /* a round with fewer is followed by a sleep */
    SLEEP_NS = 1000000,
    IDLE_NS = 5000000,
    WATCH_MS = 4,
    THREAD_CHECK_MS = 200,
    NOTE_MS = 2000,
    CALIBRATE_MS = 8,
    LIMIT_MS = 20,
    ATTEND_MS = 100,
    MERGE_NICE = 4,
};

static volatile sig_atomic_t stop_requested, begin_requested, end_requested;

void hp_collector_stop_on_signal(int number)
{
    stop_requested = number;
}

void hp_collector_control_by_signal(int number)
{
    if (number == SIGUSR1)
        begin_requested = 1;
    else
        end_requested = 1;
}

static uint64_t monotonic_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t raw_ticks(const struct hp_shared *shared)
{
    return HP_HAVE_TSC && shared->use_tsc ? hp_shared_tsc() : monotonic_ns();
}

uint64_t hp_collector_ticks(const struct hp_collector *c)
{
    return raw_ticks(c->shared) - c->shared->epoch_ticks;
}

uint32_t hp_collector_rings(const struct hp_collector *c)
{
    return atomic_load_explicit(&c->shared->rings_used, memory_order_acquire);
}

/* The TSC serves when the processor says that it ticks evenly, in all sleep states. */
static bool tsc_is_steady(void)
{
    char line[4096];
    FILE *f = fopen("/proc/cpuinfo", "r");
    bool constant = false, nonstop = false;

    while (f && !(constant && nonstop) && fgets(line, sizeof line, f)) {
        constant |= strstr(line, " constant_tsc") != NULL;
        nonstop |= strstr(line, " nonstop_tsc") != NULL;
    }
    if (f)
        fclose(f);
    return HP_HAVE_TSC && constant && nonstop;
}

/* Both at the same moment, as nearly as several attempts come: any of them may be preempted half way. */
static void read_clocks(const struct hp_collector *c, uint64_t *ns, uint64_t *ticks)
{
    uint64_t narrowest = UINT64_MAX;

    for (int i = 0; i < 10; i++) {
        uint64_t before = raw_ticks(c->shared), now = monotonic_ns(), width = raw_ticks(c->shared) - before;

        if (width >= narrowest)
            continue;
        narrowest = width;
        *ns = now;
        *ticks = before + width / 2;
    }
}

static void compare_clocks(struct hp_collector *c)
{
    uint64_t ns, ticks;

    read_clocks(c, &ns, &ticks);
    c->ns_per_tick = c->shared->use_tsc ? (double)(ns - c->clock_ns) / (double)(ticks - c->clock_ticks) : 1;
    c->ticks_per_ms = (uint64_t)(1e6 / c->ns_per_tick);
}

/* A first measure that will do for patience; calibrate_again has the one for the trace. */
static void calibrate(struct hp_collector *c)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    c->shared->use_tsc = tsc_is_steady();
    read_clocks(c, &c->clock_ns, &c->clock_ticks);
    c->shared->epoch_ticks = c->clock_ticks;
    nanosleep(&pause, NULL);
    compare_clocks(c);
}

/* While the program starts; no process has been adopted yet. */
static void calibrate_again(struct hp_collector *c)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    while (monotonic_ns() < c->clock_ns + CALIBRATE_MS * 1000000ull)
        nanosleep(&pause, NULL);
    pthread_mutex_lock(&c->lock);
    compare_clocks(c);
    pthread_mutex_unlock(&c->lock);
}

struct hp_collector *hp_collector_open(const struct hp_record_options *options, int fd, char *error, size_t error_size)
{
    struct hp_collector *c = calloc(1, sizeof *c);
    struct stat st;

    if (!c) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    c->options = options;
    c->exit_status = -1;
    c->fd = fd >= 0 ? fd : memfd_create("heaplay", MFD_CLOEXEC);
    if (c->fd >= 0 && ftruncate(c->fd, sizeof *c->shared) == 0)
        c->shared = mmap(NULL, sizeof *c->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, c->fd, 0);
    if (!c->shared || c->shared == MAP_FAILED) {
        snprintf(error, error_size, "cannot make %zu MiB of shared memory: %s; raise the limit (ulimit -v, -f)",
                 sizeof *c->shared >> 20, strerror(errno));
        free(c);
        return NULL;
    }
    c->shared->children = options->children;
    c->shared->touch = options->touch;
    c->shared->sample = options->sample;
    c->shared->sites = options->sites;
    if (options->wait)
        atomic_store(&c->shared->control, HP_CONTROL_WAIT);
    c->shared->collector_pid = (uint32_t)getpid();
    c->shared->pid_namespace = stat("/proc/self/ns/pid", &st) == 0 ? (uint64_t)st.st_ino : 0;
    pthread_mutex_init(&c->lock, NULL);
    calibrate(c);
    c->shared->magic = HP_SHARED_MAGIC;
    return c;
}

void hp_collector_close(struct hp_collector *c)
{
    hp_lineage_forget(c);
    for (struct hp_slab *slab = c->slabs, *next; slab; slab = next) {
        next = slab->next;
        hp_pages_unmap(slab, sizeof *slab);
    }
    munmap(c->shared, sizeof *c->shared);
    close(c->fd);
    free(c);
}

void hp_collector_gone(struct hp_collector *c, struct hp_process *p)
{
    if (!p->gone)
        p->gone_at_scan = c->scans;
    p->gone = true;
}

/* A thread that ended without its destructors (a raw clone, or events after them) is known by its missing task. */
static void check_threads(struct hp_collector *c)
{
    char path[64];

    for (uint32_t i = 0; i < hp_collector_rings(c); i++) {
        struct hp_stream *s = &c->streams[i];

        if (!s->process || s->ended || s->process->gone || s->position != s->checked)
            continue;
        snprintf(path, sizeof path, "/proc/%u/task/%u", s->process->pid, s->ring->tid);
        s->ended = access(path, F_OK) != 0;
    }
}

/* Streams that are drained give their rings back; processes without streams get their trace closed. */
static void release(struct hp_collector *c)
{
    for (uint32_t i = 0; i < hp_collector_rings(c); i++) {
        struct hp_stream *s = &c->streams[i];

        if (!s->process || !s->ended || s->process->waits_for_parent || s->position != s->checked ||
            s->position != __atomic_load_n(&s->ring->reserved, __ATOMIC_ACQUIRE))
            continue;
        hp_resolve_thread_end(s);
        s->process = NULL;
        if (s->head)
            hp_drain_recycle(c, s->head);
        atomic_store(&s->ring->waiting, 0);
        atomic_store(&s->ring->state, HP_RING_FREE);
    }
}

static void finish_processes(struct hp_collector *c)
{
    for (struct hp_process *p = c->processes, *next; p; p = next) {
        bool open = p->waits_for_parent || c->scans <= p->gone_at_scan + 1;

        next = p->next;
        for (uint32_t i = 0; i < hp_collector_rings(c) && p->gone && !open; i++)
            open = c->streams[i].process == p;
        if (p->gone && !open)
            hp_lineage_finish(c, p);
    }
}

/* A failed writer ends the recording; the program runs on. */
static bool writer_failed(const struct hp_collector *c)
{
    for (const struct hp_process *p = c->processes; p; p = p->next)
        if (p->write_failed)
            return true;
    return c->failed;
}

static uint64_t round_of(struct hp_collector *c, bool watch)
{
    uint64_t events = 0;

    pthread_mutex_lock(&c->lock);
    if (watch)
        hp_lineage_watch(c);
    hp_lineage_adopt(c);
    pthread_mutex_unlock(&c->lock);
    for (struct hp_process *p = c->processes; p; p = p->next)
        if (hp_lineage_ready(c, p))
            events += hp_merge_process(c, p);
    pthread_mutex_lock(&c->lock);
    release(c);
    finish_processes(c);
    pthread_mutex_unlock(&c->lock);
    if (writer_failed(c))
        atomic_store(&c->shared->control, HP_CONTROL_STOP);
    return events;
}

/* A program into which the recorder came, and its children, get their own functions back. */
static void end_injection(struct hp_collector *c)
{
    for (const struct hp_process *p = c->processes; c->inject && p; p = p->next)
        if (!p->gone)
            hp_inject_end(c->inject, (pid_t)p->pid);
    hp_inject_close(c->inject);
    c->inject = NULL;
}

/* The traces are closed now; the program runs on. */
static void stop(struct hp_collector *c, const char *why)
{
    bool runs_on = c->child || c->inject;

    c->stopped = true;
    atomic_store(&c->shared->control, HP_CONTROL_STOP);
    end_injection(c);
    for (struct hp_process *p = c->processes; p; p = p->next)
        hp_collector_gone(c, p);
    fprintf(stderr, "heaplay: the recording ends by %s%s\n", why, runs_on ? "; the program runs on" : "");
}

/* New objects of a program that runs are looked for; its end is seen. Lock held. */
static void attend(struct hp_collector *c)
{
    char path[64], target[2];

    if (stop_requested)
        stop(c, "a signal");
    if (!c->inject || hp_inject_refresh(c->inject))
        return;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)c->options->pid);
    if (readlink(path, target, sizeof target) > 0)
        fputs("heaplay: the program has executed another one, which is not recorded\n", stderr);
    for (struct hp_process *p = c->processes; p; p = p->next)
        if (p->pid == (uint32_t)c->options->pid)
            hp_collector_gone(c, p);
    end_injection(c);
}

/* Begins and ends the recording as signals and limits ask for. Lock held. */
static void control(struct hp_collector *c, uint64_t now)
{
    const struct hp_record_options *options = c->options;

    if (!c->began_ns && (!options->wait || begin_requested)) {
        c->began_ns = now;
        if (options->wait) {
            atomic_store(&c->shared->control, HP_CONTROL_RECORD);
            fputs("heaplay: the recording begins\n", stderr);
        }
    }
    if (c->stopped)
        return;
    if (end_requested)
        stop(c, "SIGUSR2");
    else if (options->time_limit > 0 && c->began_ns && (double)(now - c->began_ns) > options->time_limit * 1e9)
        stop(c, "--time-limit");
    else if (options->size_limit && c->closed_bytes + hp_lineage_bytes(c) >= options->size_limit)
        stop(c, "--size-limit");
}

static void reap(struct hp_collector *c)
{
    if (c->child && waitpid(c->child, &c->exit_status, WNOHANG) == c->child) {
        for (struct hp_process *p = c->processes; p; p = p->next)
            if (p->pid == (uint32_t)c->child && !p->gone)
                p->exit_status = c->exit_status, hp_collector_gone(c, p);
        c->child = 0;
    }
}

/* Children may outlive the program; an interrupt ends the wait for them and the recording. */
static void give_up_children(struct hp_collector *c, uint64_t ended_ns, bool *noted)
{
    if (stop_requested) {
        atomic_store(&c->shared->control, HP_CONTROL_STOP);
        for (struct hp_process *p = c->processes; p; p = p->next)
            hp_collector_gone(c, p);
        return;
    }
    if (!*noted && !c->stopped && monotonic_ns() > ended_ns + NOTE_MS * 1000000ull) {
        *noted = true;
        fprintf(stderr, "heaplay: the program has ended, its child %u is still running and recorded; "
                "interrupt (Ctrl-C) to stop\n", c->processes->pid);
    }
}

static bool program_runs(const struct hp_collector *c)
{
    bool runs = c->child != 0;

    for (const struct hp_process *p = c->processes; p && c->inject; p = p->next)
        runs |= p->pid == (uint32_t)c->options->pid && !p->gone;
    return runs;
}

static void forward_signal(struct hp_collector *c)
{
    if (stop_requested && c->child) {
        if (stop_requested != SIGINT && stop_requested != SIGQUIT)      /* the terminal sent those to it as well */
            kill(c->child, stop_requested);
        stop_requested = 0;
    }
}

int hp_collector_run(struct hp_collector *c)
{
    uint64_t now, watched = 0, checked = 0, controlled = 0, attended = 0, ended_ns = 0, events;
    const struct timespec busy = {.tv_nsec = SLEEP_NS}, idle = {.tv_nsec = IDLE_NS};
    bool noted = false, runs;

    /* The program and the drain come first: chunks can wait. */
    setpriority(PRIO_PROCESS, (id_t)gettid(), MERGE_NICE);
    calibrate_again(c);
    for (;;) {
        bool watch;

        now = monotonic_ns();
        watch = now > watched + WATCH_MS * 1000000ull;
        if (watch)
            watched = now;
        if (now > checked + THREAD_CHECK_MS * 1000000ull) {
            checked = now;
            check_threads(c);
        }
        forward_signal(c);
        pthread_mutex_lock(&c->lock);
        hp_lineage_adopt(c);
        if (now > controlled + LIMIT_MS * 1000000ull) {
            controlled = now;
            control(c, now);
        }
        if (c->child)
            reap(c);
        if (c->inject && now > attended + ATTEND_MS * 1000000ull) {
            attended = now;
            attend(c);
        }
        runs = program_runs(c);
        if (!runs && !ended_ns)
            ended_ns = now;
        if (!runs && c->processes)
            give_up_children(c, ended_ns, &noted);
        pthread_mutex_unlock(&c->lock);
        events = round_of(c, watch);
        if (!c->child && !c->processes && !events)
            return 0;
        if (events < BUSY_EVENTS)
            nanosleep(!runs || events ? &busy : &idle, NULL);
    }
}
