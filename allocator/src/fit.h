/* fit.h - free chunks of CELL_FIT_MIN bytes and more: pure best fit, oldest first among equals.
 *
 * One bitwise trie for each power of two. A node is a free chunk; below the leading bit, each level down branches on the
 * next lower bit of the size, so a node at depth d shares its d highest bits with all that hang below it. Chunks of a
 * size that is already in a trie join the ring of its node.
 *
 *        order 12 (4096..8191)                      ring of one size, oldest first:
 *              6144                                    node -> second -> ... -> newest -> node
 *          0 /      \ 1
 *        4160        6400      (bit 11)
 *            \ 1
 *            5200              (bit 10)
 *
 * Find, insert and remove take at most one step per bit of the size: O(log size), whatever the number of chunks. Called
 * by index.c and space.c with the heap's lock held; knows no lock, thread or segment. The idea of trees of same-sized rings is Doug
 * Lea's (dlmalloc 2.8).
 *
 * Invariants: F1 bit o of `nonempty` is set exactly when root o exists; F2 a node's parent points to it; F3 a child on
 * side b has bit b at its level and its ancestors' bits above; F4 the node of a ring is its oldest member.
 */
#ifndef CELL_FIT_H
#define CELL_FIT_H

#include "bins.h"

#define CELL_FIT_ORDERS  (sizeof(size_t) * 8)

/* What a free chunk of the index keeps in its own memory. */
struct cell_fit_node {
    struct cell_chunk chunk;            /* chunk.link is the ring */
    struct cell_fit_node *child[2];
    struct cell_fit_node **slot;        /* what points here in the trie; NULL: a younger member of a ring */
    struct cell_link dirty;             /* heap.c: list of free chunks worth purging, oldest first; next NULL: not in it */
    size_t dirty_bytes;                 /* estimate */
};

_Static_assert(sizeof(struct cell_fit_node) <= CELL_FIT_MIN, "a node must fit into the smallest chunk it manages");

struct cell_fit {
    uint64_t nonempty;
    struct cell_fit_node *root[CELL_FIT_ORDERS];
};

void cell_fit_init(struct cell_fit *fit);
void cell_fit_insert(struct cell_fit *fit, struct cell_chunk *c, size_t size);
void cell_fit_remove(struct cell_fit *fit, struct cell_chunk *c);
/* The oldest among the smallest chunks of at least `size` bytes, still in the index; NULL when there is none. */
struct cell_chunk *cell_fit_find(const struct cell_fit *fit, size_t size);
/* The next younger of the same size; NULL when there is none. */
struct cell_chunk *cell_fit_next(const struct cell_chunk *c);
/* Calls `visit` with each chunk, which must not take any out or put any in. */
void cell_fit_visit(const struct cell_fit *fit, void (*visit)(struct cell_fit_node *, void *), void *argument) __attribute__((cold));
bool cell_fit_is_valid(const struct cell_fit *fit) __attribute__((cold));

#endif
