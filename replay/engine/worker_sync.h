/* worker_sync.h - waiting for another thread: spin briefly, then sleep on a futex. Used by the loops and worker_timed.c.
 *
 * A mark's value only grows (between resets). Sleepers leave the least value that one of them needs, and nobody is woken
 * before: a thread whose positions are waited for publishes many that are not. Waiter and publisher each write, then read
 * what the other writes; with sequential consistency one of them sees the other. Who registers while others are being
 * woken finds that the round is over before it sleeps, so no wake-up is lost. */
#ifndef HP_WORKER_SYNC_H
#define HP_WORKER_SYNC_H

#include <linux/futex.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { HP_SPINS = 256 };

struct hp_mark {
    _Atomic uint32_t value;
    _Atomic uint32_t wanted;        /* the least value that a sleeper needs; UINT32_MAX: nobody sleeps */
    _Atomic uint32_t rounds;        /* of waking: what sleepers sleep on */
};
#define HP_MARK_INIT { .wanted = UINT32_MAX }

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

static inline void hp_sync_want(struct hp_mark *m, uint32_t needed)
{
    uint32_t wanted = atomic_load(&m->wanted);

    while (needed < wanted && !atomic_compare_exchange_weak(&m->wanted, &wanted, needed))
        ;
}

/* spins: how often to look before sleeping; 0 where a processor that spins is one that others need. */
static inline void hp_sync_wait(struct hp_mark *m, uint32_t needed, int spins)
{
    for (int i = 0; i < spins; i++) {
        if (atomic_load_explicit(&m->value, memory_order_acquire) >= needed)
            return;
        hp_cpu_relax();
    }
    while (atomic_load(&m->value) < needed) {
        uint32_t round = atomic_load(&m->rounds);
        hp_sync_want(m, needed);
        if (atomic_load(&m->value) < needed)
            hp_futex(&m->rounds, FUTEX_WAIT, round);
    }
}

/* After the value has grown to `value` or beyond. */
static inline void hp_sync_wake(struct hp_mark *m, uint32_t value)
{
    if (atomic_load(&m->wanted) > value)
        return;
    atomic_store(&m->wanted, UINT32_MAX);
    atomic_fetch_add(&m->rounds, 1);
    hp_futex(&m->rounds, FUTEX_WAKE, INT_MAX);
}

static inline void hp_sync_publish(struct hp_mark *m, uint32_t value)
{
    atomic_store(&m->value, value);
    hp_sync_wake(m, value);
}

#endif
