#include "hugepage.h"

#include <limits.h>

#include "os.h"
#include "tunables.h"

#define INTEREST    8           /* a unit without a huge page pays in this share of its small pages' time */
#define BALANCE_MAX 8           /* times that time: past gains weigh no more */

static long balance(const struct cell_huge_account *account)
{
    return __atomic_load_n(&account->balance_ns, __ATOMIC_RELAXED);
}

static long small_ns(const struct cell_huge_account *account)
{
    return __atomic_load_n(&account->small_ns, __ATOMIC_RELAXED);
}

static void pay_in(struct cell_huge_account *account, long long ns, long long most)
{
    long long now = balance(account) + ns;

    now = now < most ? now : most;
    now = now < LONG_MAX ? now : LONG_MAX;
    now = now > LONG_MIN ? now : LONG_MIN;
    __atomic_store_n(&account->balance_ns, (long)now, __ATOMIC_RELAXED);
}

bool cell_huge_pays(struct cell_huge_account *account)
{
    if (cell_option.huge_min == 0)
        return false;
    if (!__atomic_load_n(&account->known, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&account->available, cell_os_huge_available(), __ATOMIC_RELAXED);
        __atomic_store_n(&account->known, true, __ATOMIC_RELEASE);
    }
    return cell_huge_is_available(account) && (cell_option.huge_cost == 0 || balance(account) >= 0);
}

void cell_huge_took(struct cell_huge_account *account, long ns)
{
    long long small = small_ns(account);

    if (small == 0)
        __atomic_store_n(&account->small_ns, ns > 0 ? ns : 1, __ATOMIC_RELAXED);
    else
        pay_in(account, small * (long)cell_option.huge_cost / 100 - ns, BALANCE_MAX * small);
}

void cell_huge_went_without(struct cell_huge_account *account, size_t bytes)
{
    long long units = (long long)(bytes / CELL_HUGE_PAGE);

    if (balance(account) < 0)
        pay_in(account, units * (small_ns(account) / INTEREST), 0);
}

bool cell_huge_bring_in(struct cell_huge_account *account, char *start)
{
    bool possible = cell_option.populate_share != 0 && !__atomic_load_n(&account->unmeasured, __ATOMIC_RELAXED);
    bool measured = possible && cell_option.huge_cost != 0, first = measured && small_ns(account) == 0;

    if (first)
        cell_os_no_huge(start, CELL_HUGE_PAGE);
    else
        cell_os_huge(start, CELL_HUGE_PAGE);
    unsigned long before = measured ? cell_os_thread_ns() : 0;
    bool came_in = possible && cell_os_populate(start, CELL_HUGE_PAGE);
    if (came_in && measured)
        cell_huge_took(account, (long)(cell_os_thread_ns() - before));
    if (first) {
        cell_os_huge(start, CELL_HUGE_PAGE);
        if (!came_in)
            __atomic_store_n(&account->unmeasured, true, __ATOMIC_RELAXED);
    }
    return came_in;
}
