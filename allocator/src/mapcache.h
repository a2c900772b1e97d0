/* mapcache.h - freed mappings kept for reuse: their pages are there already, and a fault costs more than all else here.
 *
 * Only a program that keeps mapping what it has just given back is worth the memory (`regret`). What is kept is bounded by the
 * caller, or by what the program has wanted back time and again (`wanted`); the oldest goes first, and what is more than
 * little goes before the heap sets a new peak. A kept mapping serves any size: what it has too much stays kept, what it lacks the
 * system adds to it. A block grows into the one behind it. Where blocks prove to be hardly used (`sparse`), mappings are neither
 * split nor joined: what they have used would come to lie all over them, resident and of use to nobody.
 *
 * Knows no heap and no lock; the caller holds the heap's, and makes the system calls.
 */
#ifndef CELL_MAPCACHE_H
#define CELL_MAPCACHE_H

#include <stdbool.h>
#include <stddef.h>

#define CELL_MAPCACHE_ENTRIES 32

/* A mapping, or what is left of one. */
struct cell_extent {
    char *start;
    size_t size;
};

struct cell_mapcache {
    unsigned held;
    unsigned regret;                /* how often memory was mapped that had been given back before, of late */
    size_t bytes;                   /* of the entries */
    size_t given_back;              /* bytes that have gone back and have not been asked for since */
    size_t beyond;                  /* of these, what went for the caller's bound alone */
    size_t wanted;                  /* bytes that may be kept whatever that bound: what went for it has been asked for so often */
    size_t least;                   /* of `bytes` during the last `puts`: what has lain unused all the time */
    unsigned puts;
    int sparse;                     /* > 0: blocks have turned out to be hardly used */
    struct cell_extent entry[CELL_MAPCACHE_ENTRIES];    /* the first `held`, oldest first */
};

/* Mappings to give back once the lock is released. */
struct cell_extents {
    struct cell_extent extent[CELL_MAPCACHE_ENTRIES + 1];
    unsigned count;
};

/* The kept mapping that suits `size` bytes best, or start == NULL. It may be smaller; what it has too much, beyond a little, is
 * split off and stays, or, where blocks are hardly used, goes to `cut`, to be given back; start == NULL: nothing does. Sizes are multiples
 * of the system's page. Learns from requests that it cannot serve. */
struct cell_extent cell_mapcache_take(struct cell_mapcache *cache, size_t size, struct cell_extent *cut);
/* Takes `size` bytes at `at` if a kept mapping begins there and holds them. */
bool cell_mapcache_take_at(struct cell_mapcache *cache, char *at, size_t size);
/* Keeps a mapping if experience says so and `bound` bytes allow it, at the expense of older ones, joined with its neighbours
 * unless blocks are hardly used; what is not kept goes to `dropped`. bound == 0: nothing is kept. */
void cell_mapcache_put(struct cell_mapcache *cache, struct cell_extent mapping, size_t bound, struct cell_extents *dropped);
/* Learns whether a block was hardly used. */
void cell_mapcache_note_use(struct cell_mapcache *cache, bool hardly);
/* Whether such blocks hardly are, as those before have proved. */
bool cell_mapcache_is_sparse(const struct cell_mapcache *cache);
/* Whether memory has been mapped time and again that had been given back before: more than may be kept here comes and goes. */
bool cell_mapcache_is_regretted(const struct cell_mapcache *cache);
/* Takes the oldest until no more than `keep` bytes are left; 0: all. */
struct cell_extents cell_mapcache_shrink(struct cell_mapcache *cache, size_t keep);

#endif
