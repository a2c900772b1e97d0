/* tracee_call.c - one thread of a stopped process calls a function; the rest is tracee.c. See tracee.h. */
#include "record/tracee.h"

#include <elf.h>
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    SAFE_MS = 10000,            /* until one is at a safe point */
    SLICE_MS = 200,             /* of waiting at breakpoints, before threads that sleep are looked at again */
    CALL_MS = 30000,
    SHORT_SLEEP_NS = 1000000,   /* an allocator that waits for a lock sleeps less */
    STATE_BYTES = 16384,        /* of vector registers */
};

#if defined(__x86_64__)
static bool registers(const struct hp_thread *thread, struct user_regs_struct *r)
{
    struct iovec all = {r, sizeof *r};

    return ptrace(PTRACE_GETREGSET, thread->tid, (void *)NT_PRSTATUS, &all) == 0;
}

static bool sleeps_long(const struct hp_tracee *t, uint64_t address)
{
    struct timespec wanted;

    return pread(t->memory, &wanted, sizeof wanted, (off_t)address) == (ssize_t)sizeof wanted &&
           (wanted.tv_sec > 0 || wanted.tv_nsec >= SHORT_SLEEP_NS);
}

/* The loader and allocators read files only; what blocks is a terminal, a pipe or a socket. */
static bool reads_from_outside(const struct hp_tracee *t, uint64_t fd)
{
    char path[64];
    struct stat st;

    snprintf(path, sizeof path, "/proc/%d/fd/%llu", (int)t->pid, (unsigned long long)fd);
    return stat(path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

/* Does the thread wait in the kernel for something that neither an allocator nor the loader waits for? Locks wait by
 * FUTEX_WAIT; conditions, joins and semaphores by FUTEX_WAIT_BITSET. */
static bool is_idle(const struct hp_tracee *t, const struct hp_thread *thread)
{
    struct user_regs_struct r;
    long result;

    if (!registers(thread, &r) || (long)r.orig_rax < 0)
        return false;
    result = (long)r.rax;
    if (result != -512 && result != -513 && result != -514 && result != -516)     /* the kernel's ERESTART... */
        return result == -EINTR && r.orig_rax == SYS_epoll_wait;
    switch (r.orig_rax) {
    case SYS_poll: case SYS_ppoll: case SYS_select: case SYS_pselect6: case SYS_epoll_wait: case SYS_epoll_pwait:
    case SYS_accept: case SYS_accept4: case SYS_recvfrom: case SYS_recvmsg: case SYS_wait4: case SYS_waitid: case SYS_pause:
    case SYS_rt_sigsuspend: case SYS_rt_sigtimedwait:
        return true;
    case SYS_read: case SYS_readv:
        return reads_from_outside(t, r.rdi);
    case SYS_nanosleep:
        return sleeps_long(t, r.rdi);
    case SYS_clock_nanosleep:
        return sleeps_long(t, r.rdx);
    case SYS_futex:
        return (r.rsi & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET;
    default:
        return false;
    }
}

static bool poke_debug(pid_t tid, unsigned number, uint64_t value)
{
    return ptrace(PTRACE_POKEUSER, tid, offsetof(struct user, u_debugreg) + number * sizeof(long), value) == 0;
}

/* Executing an entry stops the thread before its first instruction. 0 entries: disarms. */
static bool arm(const struct hp_thread *thread, const struct hp_entries *entries)
{
    uint64_t enabled = 0;
    bool good = poke_debug(thread->tid, 7, 0);

    for (unsigned i = 0; entries && i < HP_ENTRIES; i++)
        if (entries->address[i]) {
            good &= poke_debug(thread->tid, i, entries->address[i]);
            enabled |= UINT64_C(1) << 2 * i;
        }
    return good && (!enabled || poke_debug(thread->tid, 7, enabled));
}

static bool at_entry(const struct hp_tracee *t, const struct hp_thread *thread, const struct hp_entries *entries)
{
    struct user_regs_struct r;
    uint64_t from = 0;
    bool hit = false;

    if (!registers(thread, &r))
        return false;
    for (unsigned i = 0; i < HP_ENTRIES; i++)
        hit |= entries->address[i] && r.rip == entries->address[i];
    if (pread(t->memory, &from, sizeof from, (off_t)r.rsp) != (ssize_t)sizeof from)
        return false;
    return hit && from - entries->loader >= entries->loader_end - entries->loader;
}

/* Lets threads run with breakpoints for a while. Returns the one that came to an entry, now stopped, or 0. */
static pid_t run_to_entry(struct hp_tracee *t, const struct hp_entries *entries)
{
    uint64_t deadline = hp_tracee_now_ms() + SLICE_MS;

    t->armed = true;
    for (size_t i = 0; i < t->count; i++) {
        arm(&t->threads[i], entries);
        t->threads[i].stopped = false;
        ptrace(PTRACE_CONT, t->threads[i].tid, NULL, NULL);
    }
    while (hp_tracee_now_ms() < deadline && t->count) {
        bool quiet = true;

        for (size_t i = 0; i < t->count; i++) {
            struct hp_thread *thread = &t->threads[i];
            int status;

            if (waitpid(thread->tid, &status, __WALL | WNOHANG) != thread->tid)
                continue;
            quiet = false;
            if (!WIFSTOPPED(status)) {
                hp_tracee_forget(t, thread);
                break;
            }
            if (WSTOPSIG(status) == SIGTRAP && status >> 16 == 0 && at_entry(t, thread, entries)) {
                thread->stopped = true;
                return thread->tid;
            }
            ptrace(PTRACE_CONT, thread->tid, NULL, (void *)(uintptr_t)hp_tracee_signal(thread, status));
        }
        if (quiet)                              /* a program under a fast timer is stopped at every signal */
            hp_tracee_pause();
    }
    return 0;
}

static bool trap_pending(const struct hp_thread *thread)
{
    struct __ptrace_peeksiginfo_args all = {.nr = 32};
    siginfo_t info[32];
    long n = ptrace(PTRACE_PEEKSIGINFO, thread->tid, &all, info);

    for (long i = 0; i < n; i++)
        if (info[i].si_signo == SIGTRAP && info[i].si_code == TRAP_HWBKPT)
            return true;
    return false;
}

/* A thread that came to an entry while it was being stopped has the trap still before it: it must not meet it untraced, however
 * long it takes on a machine that is busy. */
static bool swallow_trap(struct hp_tracee *t, struct hp_thread *thread)
{
    while (thread->stopped && trap_pending(thread)) {
        thread->stopped = false;
        if (ptrace(PTRACE_CONT, thread->tid, NULL, NULL) != 0 || ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL) != 0 ||
            !hp_tracee_wait(t, thread, UINT64_MAX))
            return false;
    }
    return true;
}

static bool disarm(struct hp_tracee *t)
{
    bool good = hp_tracee_stop(t);

    for (size_t i = 0; i < t->count; i++)
        if (t->threads[i].stopped)
            arm(&t->threads[i], NULL);
    for (size_t i = t->count; i-- > 0; )        /* one that has ended leaves its place to the last */
        good &= swallow_trap(t, &t->threads[i]);
    t->armed = false;
    return good;
}

bool hp_tracee_safe_point(struct hp_tracee *t, const struct hp_entries *entries, pid_t *tid)
{
    uint64_t deadline = hp_tracee_now_ms() + SAFE_MS;
    bool good;

    while (hp_tracee_now_ms() < deadline) {
        for (size_t i = 0; i < t->count; i++)
            if (is_idle(t, &t->threads[i])) {
                *tid = t->threads[i].tid;
                return true;
            }
        *tid = run_to_entry(t, entries);
        good = disarm(t);
        if (!good || *tid)
            return good;
    }
    return hp_tracee_fail(t, "cannot be recorded now: in %d s none of its threads called the allocator or waited for anything; "
                          "try again when it does", SAFE_MS / 1000);
}

/* All of a thread that a call changes. */
struct saved {
    struct user_regs_struct registers;
    uint64_t mask;
    char vector[STATE_BYTES];
    struct iovec state;
};

static bool save(pid_t tid, struct saved *s)
{
    struct iovec all = {&s->registers, sizeof s->registers};

    s->state = (struct iovec){s->vector, sizeof s->vector};
    return ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &all) == 0 &&
           ptrace(PTRACE_GETREGSET, tid, (void *)NT_X86_XSTATE, &s->state) == 0 &&
           ptrace(PTRACE_GETSIGMASK, tid, (void *)sizeof s->mask, &s->mask) == 0;
}

static bool restore(pid_t tid, const struct saved *s)
{
    struct iovec all = {(void *)(uintptr_t)&s->registers, sizeof s->registers}, state = s->state;

    return (ptrace(PTRACE_SETSIGMASK, tid, (void *)sizeof s->mask, &s->mask) == 0) &
           (ptrace(PTRACE_SETREGSET, tid, (void *)NT_X86_XSTATE, &state) == 0) &
           (ptrace(PTRACE_SETREGSET, tid, (void *)NT_PRSTATUS, &all) == 0);
}

/* The function returns to address 0, and the fault stops the thread. Signals wait, but for those of the processor. */
static bool begin_call(struct hp_tracee *t, pid_t tid, const struct saved *s, uint64_t function, const uint64_t arguments[6],
                       uint64_t stack)
{
    struct user_regs_struct r = s->registers;
    struct iovec all = {&r, sizeof r};
    uint64_t zero = 0, mask = ~(UINT64_C(1) << (SIGSEGV - 1) | UINT64_C(1) << (SIGBUS - 1) | UINT64_C(1) << (SIGILL - 1) |
                                UINT64_C(1) << (SIGFPE - 1) | UINT64_C(1) << (SIGTRAP - 1));

    r.rsp = (((stack ? stack : r.rsp - 512) - 64) & ~UINT64_C(15)) - 8;        /* beyond the red zone */
    r.rip = function;
    r.rdi = arguments[0], r.rsi = arguments[1], r.rdx = arguments[2];
    r.rcx = arguments[3], r.r8 = arguments[4], r.r9 = arguments[5];
    r.rax = 0;
    r.orig_rax = UINT64_MAX;            /* no system call to restart */
    r.eflags &= ~UINT64_C(0x400);       /* direction */
    return hp_tracee_write(t, r.rsp, &zero, sizeof zero) &&
           ptrace(PTRACE_SETSIGMASK, tid, (void *)sizeof mask, &mask) == 0 &&
           ptrace(PTRACE_SETREGSET, tid, (void *)NT_PRSTATUS, &all) == 0 && ptrace(PTRACE_CONT, tid, NULL, NULL) == 0;
}

static bool finish_call(struct hp_tracee *t, struct hp_thread *thread, uint64_t *result)
{
    uint64_t deadline = hp_tracee_now_ms() + CALL_MS;
    struct user_regs_struct r;
    int status;

    for (;;) {
        pid_t got = waitpid(thread->tid, &status, __WALL | WNOHANG);

        if (got == thread->tid && WIFSTOPPED(status)) {
            int number = WSTOPSIG(status);

            if (status >> 16 == 0 && (number == SIGSEGV || number == SIGBUS || number == SIGILL || number == SIGFPE)) {
                *result = registers(thread, &r) ? r.rax : 0;
                return (number == SIGSEGV && r.rip == 0) ||
                       hp_tracee_fail(t, "got signal %d (%s) while it loaded the recorder", number, strsignal(number));
            }
            if (status >> 16 == 0 && number == SIGSTOP)
                thread->signal = number;        /* when it is released */
            ptrace(PTRACE_CONT, thread->tid, NULL, NULL);
        } else if (got == thread->tid || got < 0) {
            hp_tracee_forget(t, thread);
            return hp_tracee_fail(t, "ended while it loaded the recorder");
        } else if (hp_tracee_now_ms() > deadline) {
            ptrace(PTRACE_INTERRUPT, thread->tid, NULL, NULL);
            return hp_tracee_wait(t, thread, hp_tracee_now_ms() + CALL_MS) &&
                   hp_tracee_fail(t, "did not load the recorder within %d s; its loader may be busy", CALL_MS / 1000);
        } else {
            hp_tracee_pause();
        }
    }
}

bool hp_tracee_call(struct hp_tracee *t, pid_t tid, uint64_t function, const uint64_t arguments[6], uint64_t stack,
                    uint64_t *result)
{
    struct hp_thread *thread = hp_tracee_find(t, tid);
    struct saved *s = malloc(sizeof *s);
    bool good = s && thread && save(tid, s);

    if (!good)
        hp_tracee_fail(t, "has a thread, %d, whose registers cannot be read: %s", (int)tid, strerror(errno));
    if (good && !begin_call(t, tid, s, function, arguments, stack))
        good = hp_tracee_fail(t, "has a thread, %d, that cannot be made to call a function: %s", (int)tid, strerror(errno));
    if (good)
        good = finish_call(t, thread, result);
    if (s && thread && hp_tracee_find(t, tid))
        restore(tid, s);
    free(s);
    return good;
}
#else
bool hp_tracee_safe_point(struct hp_tracee *t, const struct hp_entries *entries, pid_t *tid)
{
    (void)entries;
    (void)tid;
    return hp_tracee_fail(t, "cannot be recorded: --pid works on x86-64 only so far; start the program by heaplay record");
}

bool hp_tracee_call(struct hp_tracee *t, pid_t tid, uint64_t function, const uint64_t arguments[6], uint64_t stack,
                    uint64_t *result)
{
    (void)tid, (void)function, (void)arguments, (void)stack, (void)result;
    return hp_tracee_fail(t, "cannot be recorded: --pid works on x86-64 only so far");
}
#endif
