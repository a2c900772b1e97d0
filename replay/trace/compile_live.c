/* compile_live.c - hash table of live blocks; see compile_live.h.
 *
 * Invariant: between a block's home place (hash of its id) and the place where it lies no place is empty; removal
 * shifts followers back instead of leaving tombstones, so that churn never degrades the table. */
#include "trace/compile_live.h"

#include <stdlib.h>
#include <string.h>

static size_t place_of(const struct hp_compile_live *l, uint64_t id)
{
    return (size_t)((id * 0x9e3779b97f4a7c15u) >> 17) & l->mask;
}

bool hp_compile_live_init(struct hp_compile_live *l)
{
    l->mask = 4095;
    l->used = 0;
    l->place = calloc(l->mask + 1, sizeof *l->place);
    return l->place != NULL;
}

void hp_compile_live_release(struct hp_compile_live *l)
{
    free(l->place);
    memset(l, 0, sizeof *l);
}

struct hp_compile_block *hp_compile_live_find(const struct hp_compile_live *l, uint64_t id)
{
    for (size_t i = place_of(l, id);; i = (i + 1) & l->mask) {
        if (l->place[i].id == id)
            return id ? &l->place[i] : NULL;
        if (l->place[i].id == 0)
            return NULL;
    }
}

static struct hp_compile_block *first_empty(struct hp_compile_live *l, uint64_t id)
{
    size_t i = place_of(l, id);

    while (l->place[i].id != 0)
        i = (i + 1) & l->mask;
    return &l->place[i];
}

static bool grow(struct hp_compile_live *l)
{
    struct hp_compile_live bigger = { .mask = l->mask * 2 + 1, .used = l->used };

    bigger.place = calloc(bigger.mask + 1, sizeof *bigger.place);
    if (!bigger.place)
        return false;
    for (size_t i = 0; i <= l->mask; i++)
        if (l->place[i].id != 0)
            *first_empty(&bigger, l->place[i].id) = l->place[i];
    free(l->place);
    *l = bigger;
    return true;
}

struct hp_compile_block *hp_compile_live_add(struct hp_compile_live *l, uint64_t id)
{
    if (l->used * 2 > l->mask && !grow(l))
        return NULL;
    struct hp_compile_block *b = first_empty(l, id);
    memset(b, 0, sizeof *b);
    b->id = id;
    l->used++;
    return b;
}

void hp_compile_live_remove(struct hp_compile_live *l, uint64_t id)
{
    struct hp_compile_block *b = hp_compile_live_find(l, id);

    if (!b)
        return;
    size_t hole = (size_t)(b - l->place);
    for (size_t i = (hole + 1) & l->mask; l->place[i].id != 0; i = (i + 1) & l->mask) {
        size_t home = place_of(l, l->place[i].id);
        /* It may move into the hole unless its home lies behind the hole, on the way to i. */
        if (((i - home) & l->mask) >= ((i - hole) & l->mask)) {
            l->place[hole] = l->place[i];
            hole = i;
        }
    }
    l->place[hole].id = 0;
    l->used--;
}

static int by_id(const void *a, const void *b)
{
    uint64_t x = ((const struct hp_compile_block *)a)->id, y = ((const struct hp_compile_block *)b)->id;

    return x < y ? -1 : x > y;
}

struct hp_compile_block *hp_compile_live_sorted(const struct hp_compile_live *l)
{
    struct hp_compile_block *list = malloc((l->used + 1) * sizeof *list);
    size_t n = 0;

    if (!list)
        return NULL;
    for (size_t i = 0; i <= l->mask; i++)
        if (l->place[i].id != 0)
            list[n++] = l->place[i];
    qsort(list, n, sizeof *list, by_id);
    return list;
}
