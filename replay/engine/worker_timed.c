/* worker_timed.c - the timed mode: all passes of all threads between two readings of clocks, faults and memory.
 *
 * Thread 0 is the main thread; the others exist before the baseline and wait at the gate, which opens once per section of
 * each pass. Between sections the clocks stand still. A thread of the last pass ends when its last stream ends, as the
 * recorded thread did, so that the allocator's thread-exit work is part of the replay. */
#include "engine/worker.h"

#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "measure/counters.h"
#include "measure/resident.h"

enum { STACK_BYTES = 1 << 20 };

static struct hp_counters counters;

static void run_section(struct hp_lane *me)
{
    hp_loop_run(me);
    me->end_ns = hp_worker_now_ns();
    /* Any further wait on this lane is for something that has been published; finished counts lanes. */
    hp_sync_wake(&hp_worker.finished, atomic_fetch_add(&hp_worker.finished.value, 1) + 1);
}

static void *thread_main(void *argument)
{
    struct hp_lane *me = argument;
    uint32_t loops = hp_worker.job->loops, sections = hp_worker.plan->sections;

    for (uint32_t pass = 0; pass < loops; pass++)
        for (uint32_t section = 0; section < (pass + 1 < loops ? sections : me->sections); section++) {
            hp_sync_wait(&hp_worker.gate, pass * sections + section + 1, hp_worker.spins);
            run_section(me);
        }
    return NULL;
}

/* Sections up to and with the thread's last operation. */
static uint32_t sections_of(uint32_t thread)
{
    uint32_t n = hp_worker.plan->sections;

    while (n && hp_plan_stream(hp_worker.plan, n - 1, thread).count == 0)
        n--;
    return n;
}

static uint32_t start_threads(pthread_t *thread)
{
    struct hp_worker *w = &hp_worker;
    uint32_t started = 0;

    for (uint32_t t = 0; t < w->plan->threads; t++) {
        pthread_attr_t attributes;
        w->lane[t].index = t;
        w->lane[t].done = (struct hp_mark)HP_MARK_INIT;
        w->lane[t].sections = sections_of(t);
        if (t == 0 || w->lane[t].sections == 0)
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

static void reset_section(void)
{
    struct hp_worker *w = &hp_worker;
    const uint32_t *participants = hp_plan_participants();

    for (uint32_t t = 0; t < w->plan->threads; t++)
        atomic_store(&w->lane[t].done.value, 0);
    for (uint64_t e = 0; e < w->section->epochs; e++)
        atomic_store_explicit(&w->epoch_left[e], participants[e], memory_order_relaxed);
    atomic_store(&w->epochs_done.value, 0);
    atomic_store(&w->finished.value, 0);
}

/* Time of the threads in a section that began at `start`. Who is done waits for the others, unless it has ended. */
static uint64_t settle_section(uint32_t section, uint64_t start)
{
    struct hp_worker *w = &hp_worker;
    uint64_t end = 0;

    for (uint32_t t = 0; t < w->plan->threads; t++)
        if (w->lane[t].sections > section && w->lane[t].end_ns > end)
            end = w->lane[t].end_ns;
    for (uint32_t t = 0; t < w->plan->threads; t++) {
        struct hp_lane *lane = &w->lane[t];
        if (lane->sections <= section)
            continue;
        uint64_t until = lane->sections > section + 1 ? end : lane->end_ns;
        lane->stall_ns += until - lane->end_ns;
        lane->busy_ns += until - start;
    }
    return end;
}

/* All threads that have something to do, or will wait at the gate for a further pass, run the section. */
static uint32_t lanes_in(uint32_t pass, uint32_t section, uint32_t others)
{
    uint32_t lanes = 1;

    if (pass + 1 < hp_worker.job->loops)
        return others + 1;
    for (uint32_t t = 1; t < hp_worker.plan->threads; t++)
        lanes += hp_worker.lane[t].sections > section;
    return lanes;
}

/* Returns the time from its start to the end of the last thread. */
static uint64_t one_section(uint32_t pass, uint32_t section, uint32_t others)
{
    struct hp_worker *w = &hp_worker;
    uint32_t lanes = lanes_in(pass, section, others);

    reset_section();
    uint64_t start = hp_worker_now_ns();
    w->start_ns = start - w->elapsed_ns;
    if (others)
        hp_sync_publish(&w->gate, pass * w->plan->sections + section + 1);
    run_section(&w->lane[0]);
    hp_sync_wait(&w->finished, lanes, w->spins);
    return settle_section(section, start) - start;
}

struct usage {
    int64_t user_ns, system_ns, minor_faults, major_faults;
};

static int64_t time_ns(const struct timeval *t)
{
    return (int64_t)t->tv_sec * 1000000000 + (int64_t)t->tv_usec * 1000;
}

static void add_usage(struct usage *u, int sign)
{
    struct rusage now;

    getrusage(RUSAGE_SELF, &now);
    u->user_ns += sign * time_ns(&now.ru_utime);
    u->system_ns += sign * time_ns(&now.ru_stime);
    u->minor_faults += sign * now.ru_minflt;
    u->major_faults += sign * now.ru_majflt;
}

static uint64_t one_pass(uint32_t pass, uint32_t others, struct usage *usage)
{
    struct hp_worker *w = &hp_worker;

    w->elapsed_ns = 0;
    for (uint32_t section = 0; section < w->plan->sections; section++) {
        hp_plan_turn_to(section);
        add_usage(usage, -1);
        hp_counters_start(&counters);
        w->elapsed_ns += one_section(pass, section, others);
        hp_counters_stop(&counters);
        add_usage(usage, 1);
    }
    return w->elapsed_ns;
}

static void first_pass(uint32_t others)
{
    struct hp_job *job = hp_worker.job;
    struct usage usage = { 0 };
    bool peak = hp_worker_take_baseline();

    if (job->mode == HP_MODE_WATCHED)
        hp_watched_begin();
    job->pass_ns[0] = one_pass(0, others, &usage);
    job->peak_kib = peak ? hp_resident_peak_kib() : HP_MISSING;
    job->end_kib = hp_resident_now_kib();
    if (job->mode == HP_MODE_WATCHED)
        hp_watched_end();
    job->user_ns = (uint64_t)usage.user_ns;
    job->system_ns = (uint64_t)usage.system_ns;
    job->minor_faults = usage.minor_faults;
    job->major_faults = usage.major_faults;
    hp_counters_read(&counters, job->counter);
    memcpy(job->counter_error, counters.error, sizeof job->counter_error);
    hp_counters_close(&counters);
    for (uint32_t t = 0; t < hp_worker.plan->threads; t++) {
        job->stall_ns[t] = hp_worker.lane[t].stall_ns;
        job->thread_ns[t] = hp_worker.lane[t].busy_ns;
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
    struct usage not_kept = { 0 };

    if (!job->carry_survivors) {
        hp_loop_drain();
        job->pass_ns[pass] = one_pass(pass, others, &not_kept);
        return;
    }
    swap_tables();
    job->pass_ns[pass] = one_pass(pass, others, &not_kept);
    swap_tables();
    hp_loop_drain();
    swap_tables();
}

void hp_worker_timed(void)
{
    struct hp_worker *w = &hp_worker;
    pthread_t *thread = hp_worker_map(HP_MAX_THREADS * sizeof *thread);
    hp_counters_open(&counters, hp_hardware_events, HP_HARDWARE_EVENTS);    /* before the threads: they inherit them */
    w->spins = w->plan->threads <= (uint32_t)sysconf(_SC_NPROCESSORS_ONLN) ? HP_SPINS : 0;
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
