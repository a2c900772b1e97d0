#include "fit.h"

static unsigned order_of_size(size_t size)
{
    return (unsigned)(sizeof(unsigned long long) * 8 - 1) - (unsigned)__builtin_clzll(size);
}

static size_t node_size(const struct cell_fit_node *node)
{
    return cell_chunk_size(&node->chunk);
}

static struct cell_fit_node *node_of(struct cell_chunk *c)
{
    return (struct cell_fit_node *)c;
}

void cell_fit_init(struct cell_fit *fit)
{
    fit->nonempty = 0;
    for (size_t order = 0; order < CELL_FIT_ORDERS; order++)
        fit->root[order] = NULL;
}

static void place(struct cell_fit_node **slot, struct cell_fit_node *node)
{
    *slot = node;
    node->slot = slot;
}

void cell_fit_insert(struct cell_fit *fit, struct cell_chunk *c, size_t size)
{
    struct cell_fit_node *node = node_of(c);
    unsigned order = order_of_size(size);
    struct cell_fit_node **slot = &fit->root[order];

    node->child[0] = node->child[1] = NULL;
    fit->nonempty |= UINT64_C(1) << order;
    for (size_t bit = (size_t)1 << order >> 1; *slot != NULL; bit >>= 1) {
        if (node_size(*slot) == size) {
            node->slot = NULL;
            cell_link_append(&(*slot)->chunk.link, &c->link);
            return;
        }
        slot = &(*slot)->child[(size & bit) != 0];
    }
    place(slot, node);
    cell_link_init(&c->link);
}

/* Puts `heir` (NULL: nothing) where `node` stood, with its children. */
static void replace(struct cell_fit_node *node, struct cell_fit_node *heir)
{
    CELL_CHECK(*node->slot == node, CELL_FATAL_FREE_LIST);
    if (heir == NULL) {
        *node->slot = NULL;
        return;
    }
    place(node->slot, heir);
    for (int side = 0; side < 2; side++) {
        heir->child[side] = NULL;
        if (node->child[side] != NULL)
            place(&heir->child[side], node->child[side]);
    }
}

/* Any leaf below a node can stand in its place (F3): it shares all the bits that lead there. */
static struct cell_fit_node *detach_leaf(struct cell_fit_node *node)
{
    struct cell_fit_node *leaf = node;

    while (leaf->child[0] != NULL || leaf->child[1] != NULL)
        leaf = leaf->child[leaf->child[1] != NULL];
    if (leaf == node)
        return NULL;
    *leaf->slot = NULL;
    return leaf;
}

void cell_fit_remove(struct cell_fit *fit, struct cell_chunk *c)
{
    struct cell_fit_node *node = node_of(c);
    struct cell_link *next = c->link.next;

    cell_link_remove(&c->link);
    if (node->slot == NULL)
        return;
    if (next != &c->link)
        replace(node, node_of(cell_chunk_of_link(next)));      /* the second oldest inherits: F4 */
    else
        replace(node, detach_leaf(node));

    unsigned order = order_of_size(cell_chunk_size(c));
    if (fit->root[order] == NULL)
        fit->nonempty &= ~(UINT64_C(1) << order);
}

/* The smallest size in a whole trie: it lies on the path that keeps to the lower side. */
static struct cell_fit_node *smallest(struct cell_fit_node *node)
{
    struct cell_fit_node *best = node;

    while (node != NULL) {
        if (node_size(node) < node_size(best))
            best = node;
        node = node->child[node->child[0] == NULL];
    }
    return best;
}

/* In the trie of the request's own order: follow the bits of `size`; all on the upper side of that path is larger. */
static struct cell_fit_node *smallest_from(struct cell_fit_node *node, size_t size, unsigned order)
{
    struct cell_fit_node *best = NULL, *upper = NULL;

    for (size_t bit = (size_t)1 << order >> 1; node != NULL; bit >>= 1) {
        size_t found = node_size(node);
        if (found >= size && (best == NULL || found < node_size(best))) {
            best = node;
            if (found == size)
                return best;
        }
        int side = (size & bit) != 0;
        if (side == 0 && node->child[1] != NULL)
            upper = node->child[1];
        node = node->child[side];
    }
    if (upper != NULL) {
        struct cell_fit_node *other = smallest(upper);
        if (best == NULL || node_size(other) < node_size(best))
            best = other;
    }
    return best;
}

struct cell_chunk *cell_fit_find(const struct cell_fit *fit, size_t size)
{
    if (size < CELL_FIT_MIN)
        size = CELL_FIT_MIN;

    unsigned order = order_of_size(size);
    struct cell_fit_node *best = smallest_from(fit->root[order], size, order);
    if (best == NULL) {
        uint64_t higher = fit->nonempty & (~UINT64_C(0) << order << 1);
        if (higher == 0)
            return NULL;
        best = smallest(fit->root[__builtin_ctzll(higher)]);
    }
    CELL_CHECK(cell_chunk_is_sealed(&best->chunk), CELL_FATAL_HEADER);
    return &best->chunk;
}

struct cell_chunk *cell_fit_next(const struct cell_chunk *c)
{
    struct cell_chunk *next = cell_chunk_of_link(c->link.next);

    CELL_CHECK(cell_chunk_is_sealed(next), CELL_FATAL_HEADER);
    return node_of(next)->slot == NULL ? next : NULL;          /* round again */
}

/* Depth is bounded by the bits of a size, so recursion is too. */
__attribute__((cold)) static void visit_trie(struct cell_fit_node *node, void (*visit)(struct cell_fit_node *, void *), void *argument)
{
    if (node == NULL)
        return;
    for (struct cell_chunk *c = &node->chunk; c != NULL; c = cell_fit_next(c))
        visit(node_of(c), argument);
    visit_trie(node->child[0], visit, argument);
    visit_trie(node->child[1], visit, argument);
}

void cell_fit_visit(const struct cell_fit *fit, void (*visit)(struct cell_fit_node *, void *), void *argument)
{
    for (unsigned order = 0; order < CELL_FIT_ORDERS; order++)
        visit_trie(fit->root[order], visit, argument);
}

/* The same. */
__attribute__((cold)) static bool trie_is_valid(struct cell_fit_node *const *slot, size_t bit, size_t prefix, size_t prefix_mask)
{
    const struct cell_fit_node *node = *slot;

    if (node == NULL)
        return true;
    if (node->slot != slot || (node_size(node) & prefix_mask) != prefix)        /* F2, F3 */
        return false;

    const struct cell_link *ring = &node->chunk.link;
    const struct cell_link *link = ring;
    do {
        struct cell_chunk *c = cell_chunk_of_link(link);
        if (link->next->prev != link || !cell_chunk_is_sealed(c) || cell_chunk_is_inuse(c) ||
            cell_chunk_size(c) != node_size(node) || (link != ring && node_of(c)->slot != NULL))
            return false;
        link = link->next;
    } while (link != ring);

    return trie_is_valid(&node->child[0], bit >> 1, prefix, prefix_mask | bit) &&
           trie_is_valid(&node->child[1], bit >> 1, prefix | bit, prefix_mask | bit);
}

bool cell_fit_is_valid(const struct cell_fit *fit)
{
    for (unsigned order = 0; order < CELL_FIT_ORDERS; order++) {
        bool nonempty = (fit->nonempty >> order & 1) != 0;
        size_t lead = (size_t)1 << order;

        if (nonempty != (fit->root[order] != NULL))                             /* F1 */
            return false;
        if (!trie_is_valid(&fit->root[order], lead >> 1, lead, ~(lead - 1)))
            return false;
    }
    return true;
}
