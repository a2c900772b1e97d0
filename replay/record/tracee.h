/* tracee.h - another process's threads under ptrace(2): stop them, find one that may call a function, make it call.
 *
 * Used by inject.c. All of it must be called by one thread of heaplay, which is the tracer. A process that was released
 * runs on as if nothing had been; one whose tracer is killed in between does so too, unless breakpoints are set at that moment.
 */
#ifndef HP_RECORD_TRACEE_H
#define HP_RECORD_TRACEE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct hp_thread {
    pid_t tid;
    int signal;                 /* to be delivered when it is released */
    bool stopped;
};

struct hp_tracee {
    pid_t pid;
    int memory;                 /* /proc/PID/mem; -1: closed */
    struct hp_thread *threads;  /* that are traced */
    size_t count, room;
    bool gone;                  /* no thread of it is left */
    bool armed;                 /* breakpoints are set: a thread that were left now would die of the next one */
    char *error;                /* one sentence, when a function returned false */
    size_t error_size;
};

/* Functions at whose first instruction a thread holds no lock of the allocator: breakpoints of the processor. */
enum { HP_ENTRIES = 4 };
struct hp_entries {
    uint64_t address[HP_ENTRIES];       /* 0: none */
    uint64_t loader, loader_end;        /* a call from here does not count: the loader is in the middle of something */
};

bool hp_tracee_open(struct hp_tracee *t, pid_t pid, char *error, size_t error_size);     /* false: errno */
void hp_tracee_close(struct hp_tracee *t);              /* after hp_tracee_release */
bool hp_tracee_stop(struct hp_tracee *t);               /* all threads, also those that start meanwhile */
void hp_tracee_release(struct hp_tracee *t, pid_t except);      /* they run on, untraced; 0: all */
/* Leaves all threads stopped; *tid is one that waits in the kernel for something outside, or is about to call an entry. */
bool hp_tracee_safe_point(struct hp_tracee *t, const struct hp_entries *entries, pid_t *tid);
/* Calls in a stopped thread on its own stack, or on one that ends at `stack`. The thread is as it was afterwards. */
bool hp_tracee_call(struct hp_tracee *t, pid_t tid, uint64_t function, const uint64_t arguments[6], uint64_t stack,
                    uint64_t *result);
bool hp_tracee_write(struct hp_tracee *t, uint64_t address, const void *from, size_t size);     /* to any page, stopped */

/* Between tracee.c and tracee_call.c. */
__attribute__((format(printf, 2, 3)))
bool hp_tracee_fail(struct hp_tracee *t, const char *format, ...);      /* "process PID ..."; returns false */
struct hp_thread *hp_tracee_find(const struct hp_tracee *t, pid_t tid);
void hp_tracee_forget(struct hp_tracee *t, struct hp_thread *thread);
bool hp_tracee_wait(struct hp_tracee *t, struct hp_thread *thread, uint64_t deadline_ms);
int  hp_tracee_signal(const struct hp_thread *thread, int status);
uint64_t hp_tracee_now_ms(void);
void hp_tracee_pause(void);

#endif
