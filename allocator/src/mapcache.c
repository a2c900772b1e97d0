#include "mapcache.h"

#include "minmax.h"

#define REGRET_ENOUGH  2u       /* the first of a kind is always given back */
#define REGRET_MAX     8u
#define GROWN_FROM     4        /* a mapping grows to this many times its size at most */
#define SLACK          8        /* a block may have this share of it too much */
#define SLACK_SPARSE   4        /* ... where that has no memory for the most part; free_sized() knows of it */
#define WANTED_STEP    4        /* what has been wanted back this many times may be kept */
#define SPARSE_MAX     4        /* bounds of what is learnt about the use of blocks */
#define WINDOW         64       /* puts after which what has lain unused counts as wanted no more */

/* Of a request, `size` bytes are not there: would they be if all had been kept? */
static bool learn(struct cell_mapcache *cache, size_t size)
{
    size_t beyond = cell_min(cache->beyond, size);

    if (cache->given_back < size - size / 4)
        return false;
    cache->regret += cache->regret < REGRET_MAX;
    cache->given_back -= cell_min(cache->given_back, size);
    cache->beyond -= beyond;
    cache->wanted += beyond / WANTED_STEP;
    return true;
}

static struct cell_extent remove_entry(struct cell_mapcache *cache, unsigned at)
{
    struct cell_extent taken = cache->entry[at];

    __atomic_store_n(&cache->bytes, cache->bytes - taken.size, __ATOMIC_RELAXED);
    cache->held--;
    for (unsigned i = at; i < cache->held; i++)
        cache->entry[i] = cache->entry[i + 1];
    return taken;
}

/* Takes what lies beside a mapping out, as a part of it. */
static void join_neighbours(struct cell_mapcache *cache, struct cell_extent *mapping)
{
    for (unsigned i = cache->held; i-- > 0;) {
        struct cell_extent *beside = &cache->entry[i];

        if (beside->start + beside->size == mapping->start || mapping->start + mapping->size == beside->start) {
            mapping->start = beside->start < mapping->start ? beside->start : mapping->start;
            mapping->size += remove_entry(cache, i).size;
        }
    }
}

/* As the newest.
 * cold, as what else is for kept mappings alone: not near what a program's start needs. */
__attribute__((cold, noinline))
static void append(struct cell_mapcache *cache, struct cell_extent mapping)
{
    if (!cell_mapcache_is_sparse(cache))
        join_neighbours(cache, &mapping);
    cache->entry[cache->held++] = mapping;
    __atomic_store_n(&cache->bytes, cache->bytes + mapping.size, __ATOMIC_RELAXED);
}

static void note_least(struct cell_mapcache *cache)
{
    if (cache->bytes < cache->least)
        cache->least = cache->bytes;
}

/* Whether `a` suits `size` bytes better than `b`: the smallest that holds them, else the largest. */
static bool suits_better(size_t a, size_t b, size_t size)
{
    return b >= size ? a >= size && a < b : a > b;
}

struct cell_extent cell_mapcache_take(struct cell_mapcache *cache, size_t size, struct cell_extent *cut)
{
    bool sparse = cell_mapcache_is_sparse(cache);
    unsigned best = 0;

    *cut = (struct cell_extent){ NULL, 0 };
    for (unsigned i = 1; i < cache->held; i++)
        if (suits_better(cache->entry[i].size, cache->entry[best].size, size))
            best = i;
    if (cache->held == 0 || cache->entry[best].size < size / GROWN_FROM) {
        if (!learn(cache, size) && cache->regret > 0)
            cache->regret--;
        return (struct cell_extent){ NULL, 0 };
    }
    struct cell_extent taken = remove_entry(cache, best);
    if (taken.size < size)
        learn(cache, size - taken.size);
    if (taken.size > size && taken.size - size > size / (sparse ? SLACK_SPARSE : SLACK)) {
        struct cell_extent rest = { taken.start + size, taken.size - size };
        taken.size = size;
        if (sparse) {
            cache->given_back += rest.size;
            *cut = rest;
        } else {
            append(cache, rest);
        }
    }
    note_least(cache);
    return taken;
}

bool cell_mapcache_take_at(struct cell_mapcache *cache, char *at, size_t size)
{
    for (unsigned i = 0; i < cache->held; i++) {
        struct cell_extent *kept = &cache->entry[i];

        if (kept->start != at || kept->size < size)
            continue;
        if (kept->size == size) {
            remove_entry(cache, i);
        } else {
            kept->start += size;
            kept->size -= size;
            __atomic_store_n(&cache->bytes, cache->bytes - size, __ATOMIC_RELAXED);
        }
        note_least(cache);
        return true;
    }
    return false;
}

static void forget_unused(struct cell_mapcache *cache)
{
    if (++cache->puts < WINDOW)
        return;
    cache->wanted -= cell_min(cache->wanted, cache->least);
    cache->least = cache->bytes;
    cache->puts = 0;
}

void cell_mapcache_put(struct cell_mapcache *cache, struct cell_extent mapping, size_t bound, struct cell_extents *dropped)
{
    bool keep = bound != 0 && cache->regret >= REGRET_ENOUGH;

    if (bound != 0 && bound < cache->wanted)
        bound = cache->wanted;
    dropped->count = 0;
    while (cache->held != 0 && cache->bytes + mapping.size > bound) {
        cache->beyond += cache->entry[0].size;
        dropped->extent[dropped->count++] = remove_entry(cache, 0);
    }
    if (cache->held == CELL_MAPCACHE_ENTRIES)
        dropped->extent[dropped->count++] = remove_entry(cache, 0);
    if (keep)
        append(cache, mapping);
    else
        dropped->extent[dropped->count++] = mapping;
    for (unsigned i = 0; i < dropped->count; i++)
        cache->given_back += dropped->extent[i].size;
    forget_unused(cache);
}

__attribute__((cold, noinline))
void cell_mapcache_note_use(struct cell_mapcache *cache, bool hardly)
{
    int sparse = hardly ? cache->sparse + 1 : cache->sparse - 2;

    sparse = sparse > SPARSE_MAX ? SPARSE_MAX : sparse < -SPARSE_MAX ? -SPARSE_MAX : sparse;
    __atomic_store_n(&cache->sparse, sparse, __ATOMIC_RELAXED);
}

bool cell_mapcache_is_sparse(const struct cell_mapcache *cache)
{
    return __atomic_load_n(&cache->sparse, __ATOMIC_RELAXED) > 0;
}

bool cell_mapcache_is_regretted(const struct cell_mapcache *cache)
{
    return cache->regret == REGRET_MAX;
}

struct cell_extents cell_mapcache_shrink(struct cell_mapcache *cache, size_t keep)
{
    struct cell_extents dropped = { .count = 0 };

    while (cache->bytes > keep) {
        cache->given_back += cache->entry[0].size;
        dropped.extent[dropped.count++] = remove_entry(cache, 0);
    }
    return dropped;
}
