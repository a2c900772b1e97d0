/* lock.h - the one kind of lock: spin a little, then sleep; no atomic at all while the process has one thread.
 *
 * States: 0 free, 1 held, 2 held with (perhaps) a sleeper. A lock taken without an atomic is safe: no second thread can
 * come to life inside the allocator.
 */
#ifndef CELL_LOCK_H
#define CELL_LOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "os.h"

struct cell_lock {
    uint32_t state;
    uint32_t waits;         /* how often it was held by another thread when it was wanted; written by the holder */
};

/* Pauses before a sleep; longer than the lock is ever held while its holder runs: a sleep and a wake-up cost far more. */
#define CELL_LOCK_SPINS      1000
/* Pauses between two looks, at most: each look takes the line from the holder, who is the next to want it, and the heap's with it. */
#define CELL_LOCK_PAUSES_MAX 32

static inline void cell_lock_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("" ::: "memory");
#endif
}

static inline void cell_lock_wait(struct cell_lock *lock)
{
    for (int spun = 0, pauses = 1; spun < CELL_LOCK_SPINS; spun += pauses) {
        uint32_t free_state = 0;
        if (__atomic_load_n(&lock->state, __ATOMIC_RELAXED) == 0 &&
            __atomic_compare_exchange_n(&lock->state, &free_state, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
            return;
        pauses = pauses < CELL_LOCK_PAUSES_MAX ? pauses * 2 : pauses;
        for (int i = 0; i < pauses; i++)
            cell_lock_pause();
    }
    while (__atomic_exchange_n(&lock->state, 2, __ATOMIC_ACQUIRE) != 0)
        cell_os_wait(&lock->state, 2);
}

/* Apart from the calls that meet no other thread. */
__attribute__((cold, noinline, unused))
static void cell_lock_acquire_slow(struct cell_lock *lock)
{
    cell_lock_wait(lock);
    __atomic_store_n(&lock->waits, lock->waits + 1, __ATOMIC_RELAXED);
}

static inline void cell_lock_acquire(struct cell_lock *lock)
{
    if (cell_os_single_threaded()) {
        lock->state = 1;
        return;
    }
    uint32_t free_state = 0;
    if (!__atomic_compare_exchange_n(&lock->state, &free_state, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
        cell_lock_acquire_slow(lock);
}

static inline void cell_lock_release(struct cell_lock *lock)
{
    if (cell_os_single_threaded()) {
        lock->state = 0;
        return;
    }
    if (__atomic_exchange_n(&lock->state, 0, __ATOMIC_RELEASE) == 2)
        cell_os_wake_one(&lock->state);
}

/* Callable without it. */
static inline uint32_t cell_lock_waits(const struct cell_lock *lock)
{
    return __atomic_load_n(&lock->waits, __ATOMIC_RELAXED);
}

/* In the child of a fork: whoever held it is gone. */
static inline void cell_lock_reset(struct cell_lock *lock)
{
    lock->state = 0;
}

#endif
