#include "recurring.h"

_Static_assert(CELL_RECURRING_SLOTS == 2u << (32 - 27), "the hash has as many values as there are pairs");

/* One whose blocks still come back is spared. */
static void vote_against(struct cell_demand *demand)
{
    if (demand->proven && demand->freed)
        demand->freed = 0;
    else
        demand->recurred = (uint16_t)(demand->recurred - (demand->recurred != 0));
}

struct cell_recurring *cell_recurring_vote(struct cell_recurring *slot)
{
    struct cell_demand *first = &slot[0].demand, *second = &slot[1].demand;
    bool behind = second->recurred < first->recurred || (second->recurred == first->recurred && second->proven);
    struct cell_recurring *weaker = slot + behind;
    struct cell_recurring *loser = weaker->demand.recurred == 0 ? weaker : NULL;
    vote_against(first);
    vote_against(second);
    return loser;
}

void cell_recurring_watch(struct cell_recurring *slot, size_t size)
{
    *slot = (struct cell_recurring){ .size = (uint32_t)size };
}
