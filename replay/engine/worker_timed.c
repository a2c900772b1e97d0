/* worker_timed.c - the timed mode: all passes of all threads between two readings of clocks, faults and memory.
 *
 * Thread 0 is the main thread; the others exist before the baseline and wait at the gate. A thread of the last pass ends
 * when its stream ends, as the recorded thread did, so that the allocator's thread-exit work is part of the replay. */
#include "engine/worker.h"
#include "engine/worker_sync.h"

#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "measure/resident.h"

enum { STACK_BYTES = 1 << 20 };

static _Atomic uint32_t gate_waiters, finish_waiters;

static void run_pass(struct hp_lane *me)
{
    hp_loop_run(me);
    me->end_ns = hp_worker_now_ns();
    /* Any further wait on this lane is for something that has been published; finished counts lanes. */
    atomic_fetch_add(&hp_worker.finished, 1);
    if (atomic_load(&finish_waiters))
        hp_futex(&hp_worker.finished, FUTEX_WAKE, INT_MAX);
}

static void *thread_main(void *argument)
{
    struct hp_lane *me = argument;
    uint32_t loops = hp_worker.job->loops;

    for (uint32_t pass = 0; pass < loops; pass++) {
        hp_sync_wait(&hp_worker.gate, &gate_waiters, pass + 1);
        run_pass(me);
    }
    return NULL;
}

static uint32_t start_threads(pthread_t *thread)
{
    struct hp_worker *w = &hp_worker;
    uint32_t started = 0;

    for (uint32_t t = 0; t < w->plan->threads; t++) {
        pthread_attr_t attributes;
        w->lane[t].index = t;
        if (t == 0 || w->plan->stream[t].count == 0)
            continue;
        pthread_attr_init(&attributes);
        pthread_attr_setstack(&attributes, hp_worker_map_stack(STACK_BYTES), STACK_BYTES);
        if (pthread_create(&thread[started], &attributes, thread_main, &w->lane[t]) != 0)
            hp_worker_stop(HP_WORKER_SYSTEM, UINT64_MAX, "cannot start thread %u of %u", t, w->plan->threads);
        pthread_attr_destroy(&attributes);
        started++;
    }
    return started;
}

static void reset_pass(void)
{
    struct hp_worker *w = &hp_worker;
    const uint32_t *participants = (const uint32_t *)((const char *)w->plan + w->plan->epoch_table);

    for (uint32_t t = 0; t < w->plan->threads; t++)
        atomic_store(&w->lane[t].done, 0);
    for (uint64_t e = 0; e < w->plan->epochs; e++)
        atomic_store_explicit(&w->epoch_left[e], participants[e], memory_order_relaxed);
    atomic_store(&w->epochs_done, 0);
    atomic_store(&w->finished, 0);
}

static uint64_t one_pass(uint32_t pass, uint32_t others)
{
    struct hp_worker *w = &hp_worker;
    uint64_t end = 0;

    reset_pass();
    w->start_ns = hp_worker_now_ns();
    if (others)
        hp_sync_publish(&w->gate, &gate_waiters, pass + 1);
    run_pass(&w->lane[0]);
    hp_sync_wait(&w->finished, &finish_waiters, others + 1);
    for (uint32_t t = 0; t < w->plan->threads; t++)
        if (w->lane[t].end_ns > end)
            end = w->lane[t].end_ns;
    return end - w->start_ns;
}

static uint64_t time_ns(const struct timeval *t)
{
    return (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_usec * 1000u;
}

static void first_pass(uint32_t others)
{
    struct hp_job *job = hp_worker.job;
    struct rusage before, after;
    bool peak = hp_resident_reset_peak();

    job->baseline_kib = hp_resident_now_kib();
    getrusage(RUSAGE_SELF, &before);
    job->pass_ns[0] = one_pass(0, others);
    getrusage(RUSAGE_SELF, &after);
    job->peak_kib = peak ? hp_resident_peak_kib() : HP_MISSING;
    job->end_kib = hp_resident_now_kib();
    job->user_ns = time_ns(&after.ru_utime) - time_ns(&before.ru_utime);
    job->system_ns = time_ns(&after.ru_stime) - time_ns(&before.ru_stime);
    job->minor_faults = after.ru_minflt - before.ru_minflt;
    job->major_faults = after.ru_majflt - before.ru_majflt;
    for (uint32_t t = 0; t < hp_worker.plan->threads; t++) {
        job->stall_ns[t] = hp_worker.lane[t].stall_ns;
        job->thread_ns[t] = hp_worker.lane[t].end_ns ? hp_worker.lane[t].end_ns - hp_worker.start_ns : 0;
    }
}

void hp_worker_read_drain(void)
{
    static const unsigned wait_ms[HP_DRAIN_POINTS - 1] = { 0, 100, 900, 4000 };
    struct hp_job *job = hp_worker.job;

    hp_loop_drain();
    for (int i = 0; i < HP_DRAIN_POINTS; i++)
        job->drain_kib[i] = HP_MISSING;
    for (int i = 0; i < (job->drain_waits ? HP_DRAIN_POINTS - 1 : 1); i++) {
        struct timespec pause = { .tv_sec = wait_ms[i] / 1000, .tv_nsec = (long)(wait_ms[i] % 1000) * 1000000 };
        nanosleep(&pause, NULL);
        job->drain_kib[i] = hp_resident_now_kib();
    }
    if (job->drain_waits && hp_worker.calls.trim) {
        hp_worker.calls.trim(0);
        job->drain_kib[HP_DRAIN_POINTS - 1] = hp_resident_now_kib();
    }
}

static void swap_tables(void)
{
    void **other = hp_worker.other_slot;

    hp_worker.other_slot = hp_worker.slot;
    hp_worker.slot = other;
}

/* Survivors of the pass before are freed first; or, carried over, only after this pass, so that each pass finds a heap
 * that the one before has left its marks in. */
static void next_pass(uint32_t pass, uint32_t others)
{
    struct hp_job *job = hp_worker.job;

    if (!job->carry_survivors) {
        hp_loop_drain();
        job->pass_ns[pass] = one_pass(pass, others);
        return;
    }
    swap_tables();
    job->pass_ns[pass] = one_pass(pass, others);
    swap_tables();
    hp_loop_drain();
    swap_tables();
}

void hp_worker_timed(void)
{
    struct hp_worker *w = &hp_worker;
    pthread_t *thread = hp_worker_map(HP_MAX_THREADS * sizeof *thread);
    uint32_t others = start_threads(thread);

    first_pass(others);
    w->job->pass_end_kib[0] = w->job->end_kib;
    for (uint32_t pass = 1; pass < w->job->loops; pass++) {
        next_pass(pass, others);
        w->job->pass_end_kib[pass] = hp_resident_now_kib();
    }
    for (uint32_t i = 0; i < others; i++)
        pthread_join(thread[i], NULL);
    hp_worker_read_drain();
}
