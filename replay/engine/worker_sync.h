/* worker_sync.h - waiting for another thread: spin briefly, then sleep on a futex. Used by the loop only.
 *
 * A word only grows. The waiter announces itself before it looks again, the publisher looks for waiters after it has
 * written: with sequential consistency one of them sees the other, so no wake-up is lost. */
#ifndef HP_WORKER_SYNC_H
#define HP_WORKER_SYNC_H

#include <linux/futex.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { HP_SPINS = 256 };

static inline void hp_cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline void hp_futex(_Atomic uint32_t *word, int operation, uint32_t value)
{
    syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static inline void hp_sync_wait(_Atomic uint32_t *word, _Atomic uint32_t *waiters, uint32_t needed)
{
    uint32_t seen;

    for (int i = 0; i < HP_SPINS; i++) {
        if (atomic_load_explicit(word, memory_order_acquire) >= needed)
            return;
        hp_cpu_relax();
    }
    atomic_fetch_add(waiters, 1);
    while ((seen = atomic_load(word)) < needed)
        hp_futex(word, FUTEX_WAIT, seen);
    atomic_fetch_sub(waiters, 1);
}

static inline void hp_sync_publish(_Atomic uint32_t *word, _Atomic uint32_t *waiters, uint32_t value)
{
    atomic_store(word, value);
    if (atomic_load(waiters))
        hp_futex(word, FUTEX_WAKE, INT_MAX);
}

#endif
