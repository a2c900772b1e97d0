#define _GNU_SOURCE             /* RUSAGE_THREAD, registers of a signal's context */
#include "recorder.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

/* ---- system calls --------------------------------------------------------------------------------------------- */

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_ON           1
#endif

enum { ALLOW = 0, BLOCK = 1 };
static _Thread_local volatile char dispatch = ALLOW;
static _Thread_local volatile bool made_syscall;
static bool sees_syscalls = true;

#ifdef __x86_64__
/* rt_sigreturn must pass while calls are stopped: it is the one system call of the range that always may. */
extern const char recorder_restorer[], recorder_restorer_end[];
__asm__(".text\n.globl recorder_restorer\nrecorder_restorer: mov $15, %eax\nsyscall\n"
        ".globl recorder_restorer_end\nrecorder_restorer_end: ud2\n");

static long raw_syscall(long number, const greg_t *r)
{
    long result;
    register long r10 __asm__("r10") = r[REG_R10], r8 __asm__("r8") = r[REG_R8], r9 __asm__("r9") = r[REG_R9];
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(r[REG_RDI]), "S"(r[REG_RSI]), "d"(r[REG_RDX]), "r"(r10),
                     "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return result;
}

static void on_stopped(int signal_number, siginfo_t *info, void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;

    (void)signal_number;
    dispatch = ALLOW;
    made_syscall = true;
    registers[REG_RAX] = raw_syscall(info->si_syscall, registers);
    dispatch = BLOCK;
}

/* The kernel's structure: glibc's sigaction() would put its own restorer in. */
struct kernel_action {
    void        (*handler)(int, siginfo_t *, void *);
    unsigned long flags;
    const char   *restorer;
    unsigned long mask;
};

static bool stop_syscalls(void)
{
    struct kernel_action action = { on_stopped, SA_SIGINFO | SA_NODEFER | 0x04000000 /* SA_RESTORER */, recorder_restorer, 0 };

    return syscall(SYS_rt_sigaction, SIGSYS, &action, NULL, sizeof action.mask) == 0 &&
           prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, recorder_restorer,
                 (unsigned long)(recorder_restorer_end - recorder_restorer) + 1, &dispatch) == 0;
}
#else
static bool stop_syscalls(void)
{
    return false;
}
#endif

void recorder_enter_thread(void)
{
    sees_syscalls = sees_syscalls && stop_syscalls();
}

bool recorder_sees_syscalls(void)
{
    return sees_syscalls;
}

/* ---- one call --------------------------------------------------------------------------------------------------- */

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

void recorder_init(struct recorder *recorder, size_t capacity)
{
    memset(recorder, 0, sizeof *recorder);
    recorder->capacity = capacity;
    for (int class = 0; class < RECORDER_CLASSES; class++) {
        void *room = mmap(NULL, capacity * sizeof(uint32_t), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (room == MAP_FAILED) {
            fprintf(stderr, "adversary: no room for %zu times: %s\n", capacity, strerror(errno));
            exit(1);
        }
        recorder->ns[class] = room;
    }
}

static void look(long *faults, long *switches)
{
    struct rusage used;

    getrusage(RUSAGE_THREAD, &used);
    *faults = used.ru_minflt + used.ru_majflt;
    *switches = used.ru_nvcsw + used.ru_nivcsw;
}

void recorder_begin(struct recorder *recorder)
{
    look(&recorder->faults, &recorder->switches);
    made_syscall = false;
    if (sees_syscalls)
        dispatch = BLOCK;
    recorder->began_ns = now_ns();
}

void recorder_end(struct recorder *recorder)
{
    int64_t took_ns = now_ns() - recorder->began_ns;
    long faults, switches;

    dispatch = ALLOW;
    look(&faults, &switches);
    enum recorder_class class = made_syscall ? RECORDER_SYSCALL : faults != recorder->faults ? RECORDER_FAULT :
                                switches != recorder->switches ? RECORDER_SWITCHED : RECORDER_ALONE;
    if (recorder->count[class] < recorder->capacity)
        recorder->ns[class][recorder->count[class]++] = took_ns > UINT32_MAX ? UINT32_MAX : (uint32_t)took_ns;
}

bool recorder_is_full(const struct recorder *recorder)
{
    size_t all = 0;

    for (int class = 0; class < RECORDER_CLASSES; class++)
        all += recorder->count[class];
    return all >= recorder->capacity;
}

void recorder_add(struct recorder *recorder, const struct recorder *other)
{
    for (int class = 0; class < RECORDER_CLASSES; class++)
        for (size_t i = 0; i < other->count[class] && recorder->count[class] < recorder->capacity; i++)
            recorder->ns[class][recorder->count[class]++] = other->ns[class][i];
}

/* ---- what came out ---------------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static uint32_t quantile(const uint32_t *sorted, size_t count, double share)
{
    size_t rank = (size_t)(share * (double)count);

    return sorted[rank < count ? rank : count - 1];
}

void recorder_print(struct recorder *recorder)
{
    static const char *const names[] = { "alone", "fault", "syscall", "switched" };

    for (int class = 0; class < RECORDER_CLASSES; class++) {
        uint32_t *ns = recorder->ns[class];
        size_t count = recorder->count[class];
        qsort(ns, count, sizeof *ns, by_value);
        printf("%s\"%s\": {\"count\": %zu", class == 0 ? "{" : ", ", names[class], count);
        if (count != 0)
            printf(", \"p50\": %u, \"p99.9\": %u, \"p99.999\": %u, \"max\": %u", quantile(ns, count, 0.5),
                   quantile(ns, count, 0.999), quantile(ns, count, 0.99999), ns[count - 1]);
        printf("}");
    }
    printf("}");
}
