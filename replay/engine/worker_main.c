/* worker_main.c - heaplay-worker PLAN_FD JOB_FD: sets the stage for one sample and runs one mode. Started by engine/run.c
 * only, with the allocator under LD_PRELOAD; see worker.h. */
#include "engine/worker.h"

#include <alloca.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "measure/resident.h"

struct hp_worker hp_worker;

void hp_worker_stop(enum hp_worker_state state, uint64_t call, const char *format, ...)
{
    struct hp_job *job = hp_worker.job;
    va_list args;

    va_start(args, format);
    vsnprintf(job->message, sizeof job->message, format, args);
    va_end(args);
    job->violation_call = call;
    job->state = state;
    _exit(0);
}

uint64_t hp_worker_now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void *hp_worker_map(size_t bytes)
{
    void *p = mmap(NULL, bytes ? bytes : 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

    if (p == MAP_FAILED)
        hp_worker_stop(HP_WORKER_SYSTEM, UINT64_MAX, "cannot map %zu bytes for the harness", bytes);
    return p;
}

void *hp_worker_map_stack(size_t bytes)
{
    enum { RESIDENT = 32 << 10 };
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

    if (p == MAP_FAILED)
        hp_worker_stop(HP_WORKER_SYSTEM, UINT64_MAX, "cannot map %zu bytes for a stack", bytes);
    memset(p + bytes - RESIDENT, 0, RESIDENT);
    return p;
}

static void map_inputs(int plan_fd, int job_fd)
{
    struct hp_worker *w = &hp_worker;
    struct hp_plan head;

    w->job = mmap(NULL, HP_JOB_PAGES, PROT_READ | PROT_WRITE, MAP_SHARED, job_fd, 0);
    if (w->job == MAP_FAILED || w->job->magic != HP_JOB_MAGIC)
        _exit(2);
    if (pread(plan_fd, &head, sizeof head, 0) != (ssize_t)sizeof head || head.magic != HP_PLAN_MAGIC ||
        head.version != HP_PLAN_VERSION)
        hp_worker_stop(HP_WORKER_SYSTEM, UINT64_MAX, "heaplay and heaplay-worker are not from the same build");
    void *plan = mmap(NULL, head.bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, plan_fd, 0);
    if (plan == MAP_FAILED)
        hp_worker_stop(HP_WORKER_SYSTEM, UINT64_MAX, "cannot map the compiled trace of %llu bytes",
                       (unsigned long long)head.bytes);
    w->plan = plan;
    /* MAP_POPULATE of a shared file maps what it can; reading makes sure of the rest. */
    for (uint64_t at = 0; at < head.bytes; at += 4096)
        (void)*(const volatile char *)((const char *)plan + at);
}

/* What the worker writes during a run must be mapped and writable before it. */
static void touch_results(void)
{
    size_t bytes = hp_worker.job->mode == HP_MODE_LATENCY ? HP_JOB_PAGES : sizeof *hp_worker.job;
    volatile char *result = (volatile char *)hp_worker.job;

    for (size_t at = 0; at < bytes; at += 4096)
        result[at] = result[at];
}

static void prepare(void)
{
    struct hp_worker *w = &hp_worker;

    w->slot = hp_worker_map((size_t)w->plan->slots * sizeof *w->slot);
    if (w->job->carry_survivors)
        w->other_slot = hp_worker_map((size_t)w->plan->slots * sizeof *w->slot);
    w->lane = hp_worker_map(w->plan->threads * sizeof *w->lane);
    w->epoch_left = hp_worker_map((w->plan->epochs + 1) * sizeof *w->epoch_left);
    w->null_buffer = hp_worker_map((size_t)w->plan->threads * HP_NULL_BYTES);
    touch_results();
    if (w->job->backend == HP_BACKEND_LIBRARY)
        hp_worker_find_calls(&w->calls, w->job, w->job->substituted, sizeof w->job->substituted);
    w->job->has_trim = w->calls.trim != NULL;
    if (w->job->backend == HP_BACKEND_BUMP)
        hp_bump_init(&w->calls, w->plan->requested_total * w->job->loops);
}

static void run_mode(void)
{
    switch (hp_worker.job->mode) {
    case HP_MODE_TIMED:
    case HP_MODE_LATENCY: hp_worker_timed(); break;
    case HP_MODE_ACCOUNT: hp_worker_account(); break;
    case HP_MODE_VERIFY:  hp_worker_verify(); break;
    default:              break;        /* identity: done by prepare */
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        static const char text[] = "heaplay-worker is started by `heaplay replay`\n";
        return write(2, text, sizeof text - 1) < 0 ? 2 : 2;
    }
    map_inputs(atoi(argv[1]), atoi(argv[2]));
    /* Another stack offset in every process; 64 KiB below it become resident now, not in the loop. */
    volatile char *stack = alloca(hp_worker.job->stack_offset + 65536);
    for (size_t i = 0; i < hp_worker.job->stack_offset + 65536u; i += 4096)
        stack[i] = 0;
    prepare();
    run_mode();
    hp_worker.job->state = HP_WORKER_OK;
    _exit(0);
}
