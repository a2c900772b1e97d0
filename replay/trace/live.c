/* live.c - open addressing with linear probing; a removal moves the followers up, so that no tombstones pile up. */
#include "trace/live.h"
#include "trace/trace.h"

#include <stdlib.h>

static size_t home_of(const struct hp_live *live, uint64_t id)
{
    return (size_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (live->room - 1);
}

int hp_live_init(struct hp_live *live)
{
    live->room = 1024;
    live->count = 0;
    live->slots = calloc(live->room, sizeof *live->slots);
    return live->slots ? 0 : HP_E_IO;
}

void hp_live_free(struct hp_live *live)
{
    free(live->slots);
    live->slots = NULL;
}

struct hp_live_block *hp_live_find(const struct hp_live *live, uint64_t id)
{
    for (size_t at = home_of(live, id); live->slots[at].id; at = (at + 1) & (live->room - 1))
        if (live->slots[at].id == id)
            return &live->slots[at];
    return NULL;
}

static void put(struct hp_live *live, const struct hp_live_block *block)
{
    size_t at = home_of(live, block->id);

    while (live->slots[at].id)
        at = (at + 1) & (live->room - 1);
    live->slots[at] = *block;
}

int hp_live_add(struct hp_live *live, const struct hp_live_block *block)
{
    if ((live->count + 1) * 2 > live->room) {
        struct hp_live wider = { calloc(live->room * 2, sizeof *live->slots), live->room * 2, live->count };
        if (!wider.slots)
            return HP_E_IO;
        for (size_t i = 0; i < live->room; i++)
            if (live->slots[i].id)
                put(&wider, &live->slots[i]);
        free(live->slots);
        *live = wider;
    }
    put(live, block);
    live->count++;
    return 0;
}

void hp_live_remove(struct hp_live *live, struct hp_live_block *block)
{
    size_t mask = live->room - 1, hole = (size_t)(block - live->slots);

    for (size_t at = (hole + 1) & mask; live->slots[at].id; at = (at + 1) & mask) {
        size_t home = home_of(live, live->slots[at].id);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            live->slots[hole] = live->slots[at];
            hole = at;
        }
    }
    live->slots[hole].id = 0;
    live->count--;
}
