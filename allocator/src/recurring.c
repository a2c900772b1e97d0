#include "recurring.h"

_Static_assert(CELL_RECURRING_SLOTS == 2u << (32 - 26), "the hash has as many values as there are pairs");

static void note(struct cell_recurring *slot)
{
    slot->recurred = (uint8_t)(slot->recurred + (slot->freed && slot->recurred < CELL_RECURS_MAX));
    slot->proven |= slot->recurred == CELL_RECURS;
    slot->freed = false;
}

/* One whose blocks still come back is spared. */
static void vote_against(struct cell_recurring *slot)
{
    if (slot->proven && slot->freed)
        slot->freed = false;
    else
        slot->recurred = (uint8_t)(slot->recurred - (slot->recurred != 0));
}

struct cell_recurring *cell_recurring_ask(struct cell_recurring *slots, size_t size)
{
    struct cell_recurring *slot = cell_recurring_find(slots, size);

    if (slot->size == size) {
        note(slot);
        return NULL;
    }
    bool second = slot[1].recurred < slot[0].recurred || (slot[1].recurred == slot[0].recurred && slot[1].proven);
    struct cell_recurring *weaker = slot + second;
    struct cell_recurring *loser = weaker->recurred == 0 ? weaker : NULL;
    vote_against(&slot[0]);
    vote_against(&slot[1]);
    return loser;
}

void cell_recurring_watch(struct cell_recurring *slot, size_t size)
{
    *slot = (struct cell_recurring){ .size = (uint32_t)size };
}
