#include "mapcache.h"

#define REGRET_ENOUGH  2u       /* the first of a kind is always given back */
#define REGRET_MAX     8u
#define GROWN_FROM     4        /* a mapping grows to this many times its size at most */
#define SLACK          8        /* a block may have this share of it too much */

/* What is kept cannot serve a request: would it if all had been kept? */
static struct cell_extent learn(struct cell_mapcache *cache, size_t size)
{
    if (cache->given_back >= size - size / 4) {
        cache->regret += cache->regret < REGRET_MAX;
        cache->given_back -= cache->given_back < size ? cache->given_back : size;
    } else if (cache->regret > 0) {
        cache->regret--;
    }
    return (struct cell_extent){ NULL, 0 };
}

static struct cell_extent remove_entry(struct cell_mapcache *cache, unsigned at)
{
    struct cell_extent taken = cache->entry[at];

    cache->bytes -= taken.size;
    cache->held--;
    for (unsigned i = at; i < cache->held; i++)
        cache->entry[i] = cache->entry[i + 1];
    return taken;
}

static void append(struct cell_mapcache *cache, struct cell_extent mapping)
{
    cache->entry[cache->held++] = mapping;
    cache->bytes += mapping.size;
}

/* Whether `a` suits `size` bytes better than `b`: the smallest that holds them, else the largest. */
static bool suits_better(size_t a, size_t b, size_t size)
{
    return b >= size ? a >= size && a < b : a > b;
}

struct cell_extent cell_mapcache_take(struct cell_mapcache *cache, size_t size, struct cell_extent *rest)
{
    unsigned best = 0;

    *rest = (struct cell_extent){ NULL, 0 };
    for (unsigned i = 1; i < cache->held; i++)
        if (suits_better(cache->entry[i].size, cache->entry[best].size, size))
            best = i;
    if (cache->held == 0 || cache->entry[best].size < size / GROWN_FROM)
        return learn(cache, size);

    struct cell_extent taken = remove_entry(cache, best);
    if (taken.size > size && taken.size - size > size / SLACK) {
        struct cell_extent excess = { taken.start + size, taken.size - size };
        taken.size = size;
        if (excess.size >= size / GROWN_FROM)
            append(cache, excess);
        else
            *rest = excess;
    }
    return taken;
}

void cell_mapcache_put(struct cell_mapcache *cache, struct cell_extent mapping, size_t bound, struct cell_extents *dropped)
{
    bool keep = bound != 0 && cache->regret >= REGRET_ENOUGH;

    dropped->count = 0;
    while (cache->held != 0 && (cache->bytes + mapping.size > bound || cache->held == CELL_MAPCACHE_ENTRIES))
        dropped->extent[dropped->count++] = remove_entry(cache, 0);
    if (keep)
        append(cache, mapping);
    else
        dropped->extent[dropped->count++] = mapping;
    for (unsigned i = 0; i < dropped->count; i++)
        cache->given_back += dropped->extent[i].size;
}

struct cell_extents cell_mapcache_empty(struct cell_mapcache *cache)
{
    struct cell_extents dropped = { .count = 0 };

    while (cache->held != 0)
        dropped.extent[dropped.count++] = remove_entry(cache, 0);
    return dropped;
}
