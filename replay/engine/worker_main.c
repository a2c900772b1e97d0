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

struct hp_worker hp_worker = { .epochs_done = HP_MARK_INIT, .gate = HP_MARK_INIT, .finished = HP_MARK_INIT };

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
    hp_worker.job = mmap(NULL, HP_JOB_PAGES, PROT_READ | PROT_WRITE, MAP_SHARED, job_fd, 0);
    if (hp_worker.job == MAP_FAILED || hp_worker.job->magic != HP_JOB_MAGIC)
        _exit(2);
    hp_plan_open(plan_fd);
}

/* What the worker writes during a run must be mapped and writable before it. */
static void touch_results(void)
{
    size_t bytes = hp_worker.job->mode == HP_MODE_LATENCY ? HP_JOB_PAGES : sizeof *hp_worker.job;
    volatile char *result = (volatile char *)hp_worker.job;

    for (size_t at = 0; at < bytes; at += 4096)
        result[at] = result[at];
}

/* Begins at another line of its page in every process. */
static void **map_slots(void)
{
    char *pages = hp_worker_map((size_t)hp_worker.plan->slots * sizeof(void *) + hp_worker.job->slot_offset);

    return (void **)(void *)(pages + hp_worker.job->slot_offset);
}

static void prepare(void)
{
    struct hp_worker *w = &hp_worker;

    w->slot = map_slots();
    if (w->job->carry_survivors)
        w->other_slot = map_slots();
    w->lane = hp_worker_map(w->plan->threads * sizeof *w->lane);
    w->epoch_left = hp_worker_map((w->plan->epochs_most + 1) * sizeof *w->epoch_left);
    w->null_buffer = hp_worker_map((size_t)w->plan->threads * HP_NULL_BYTES);
    touch_results();
    if (w->job->mode == HP_MODE_WATCHED)
        hp_watched_prepare();
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
    case HP_MODE_LATENCY:
    case HP_MODE_WATCHED: hp_worker_timed(); break;
    case HP_MODE_ACCOUNT: hp_worker_account(); break;
    case HP_MODE_VERIFY:  hp_worker_verify(); break;
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
