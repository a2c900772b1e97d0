/* hugepage.h - whether huge pages pay: what one takes here, against as many small pages.
 *
 * Mostly a huge page comes in a quarter of the time of the small pages in its place. Where the system has none at hand it may take several
 * times theirs: others must be moved out of the way, or a virtual machine has reported its free memory to the host, which must find it
 * again. So the first is brought in as small pages, to know their time. What each later one takes less is paid into an account,
 * what it takes more out of it; while that is overdrawn none is asked for. What grows by small pages meanwhile pays in an eighth of
 * their time, so that trying again costs about that.
 *
 * All calls may come from several threads without a lock: what gets lost between two of them does not matter.
 */
#ifndef CELL_HUGEPAGE_H
#define CELL_HUGEPAGE_H

#include <stdbool.h>
#include <stddef.h>

#define CELL_HUGE_PAGE      ((size_t)2 << 20)   /* bytes */

struct cell_huge_account {
    bool known, available;                      /* by the system's switch */
    bool unmeasured;                            /* the system cannot bring pages in by a call */
    long small_ns;                              /* that small pages in place of a huge one take; 0: not known yet */
    long balance_ns;
};

/* Whether to ask for huge pages now: by huge_min, by the system, by the account. Asks the system once. */
bool cell_huge_pays(struct cell_huge_account *account) __attribute__((cold));
static inline bool cell_huge_is_available(const struct cell_huge_account *account)
{
    return __atomic_load_n(&account->available, __ATOMIC_RELAXED);
}
/* Brings in a huge page's worth of address space without memory, as the account has it; huge pages are asked for there, then. False: the
 * system or populate_share:0 leaves it to the first touch. */
bool cell_huge_bring_in(struct cell_huge_account *account, char *start) __attribute__((cold));
/* `bytes` that huge pages might have had were left to small ones. */
void cell_huge_went_without(struct cell_huge_account *account, size_t bytes) __attribute__((cold));
/* What a huge page took to come in, or the first, in small pages. */
void cell_huge_took(struct cell_huge_account *account, long ns) __attribute__((cold));

#endif
