/* recorder.h - times single calls of malloc and free and tells apart what the allocator did itself from what the kernel did.
 *
 * Each call lies between two readings of CLOCK_MONOTONIC; outside of them getrusage(RUSAGE_THREAD) tells whether it met a page
 * fault or lost the processor. System calls are seen by Syscall User Dispatch (Linux 5.11, x86-64): while a call is
 * timed, every system call of the thread raises SIGSYS, whose handler makes it and leaves a mark. Calls without
 * one pay nothing. Where the kernel has no such thing `recorder_sees_syscalls()` is false, and calls that made one are not told apart.
 */
#ifndef RECORDER_H
#define RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum recorder_class { RECORDER_ALONE, RECORDER_FAULT, RECORDER_SYSCALL, RECORDER_SWITCHED, RECORDER_CLASSES };

struct recorder {
    uint32_t *ns[RECORDER_CLASSES];         /* times in the order of the calls, below 4.2 s each */
    size_t    count[RECORDER_CLASSES];
    size_t    capacity;
    int64_t   began_ns;
    long      faults, switches;             /* of this thread, before the call */
};

/* Room for `capacity` calls, resident from now on; ends the program when there is none. */
void recorder_init(struct recorder *recorder, size_t capacity);

/* To be called by each thread that records, before its first call. */
void recorder_enter_thread(void);
bool recorder_sees_syscalls(void);

void recorder_begin(struct recorder *recorder);
void recorder_end(struct recorder *recorder);
bool recorder_is_full(const struct recorder *recorder);

/* Adds what `other` holds. */
void recorder_add(struct recorder *recorder, const struct recorder *other);

/* One JSON object: for each class count, p50, p99.9, p99.999 and max in ns; sorts the times. */
void recorder_print(struct recorder *recorder);

#endif
