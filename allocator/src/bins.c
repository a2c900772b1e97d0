#include "bins.h"

static size_t bin_of_size(size_t size)
{
    return size / CELL_ALIGN;
}

void cell_bins_init(struct cell_bins *bins)
{
    bins->nonempty = 0;
    for (size_t i = 0; i < CELL_BIN_COUNT; i++)
        cell_link_init(&bins->list[i]);
}

void cell_bins_insert(struct cell_bins *bins, struct cell_chunk *c)
{
    size_t bin = bin_of_size(cell_chunk_size(c));

    cell_link_append(&bins->list[bin], &c->link);
    bins->nonempty |= UINT64_C(1) << bin;
}

void cell_bins_remove(struct cell_bins *bins, struct cell_chunk *c)
{
    size_t bin = bin_of_size(cell_chunk_size(c));
    struct cell_link *list = &bins->list[bin];

    cell_link_remove(&c->link);
    if (list->next == list)
        bins->nonempty &= ~(UINT64_C(1) << bin);
}

struct cell_chunk *cell_bins_find(const struct cell_bins *bins, size_t size)
{
    if (size >= CELL_FIT_MIN)
        return NULL;

    uint64_t candidates = bins->nonempty & (~UINT64_C(0) << bin_of_size(size));
    if (candidates == 0)
        return NULL;

    struct cell_chunk *c = cell_chunk_of_link(bins->list[__builtin_ctzll(candidates)].next);
    CELL_CHECK(cell_chunk_is_sealed(c), CELL_FATAL_HEADER);
    return c;
}

bool cell_bins_is_valid(const struct cell_bins *bins)
{
    for (size_t i = 0; i < CELL_BIN_COUNT; i++) {
        const struct cell_link *list = &bins->list[i];
        bool nonempty = (bins->nonempty >> i & 1) != 0;

        if (nonempty != (list->next != list))                       /* B1 */
            return false;
        for (const struct cell_link *link = list->next; link != list; link = link->next) {
            const struct cell_chunk *c = cell_chunk_of_link(link);
            if (link->next->prev != link || !cell_chunk_is_sealed(c) || cell_chunk_is_inuse(c) ||
                cell_chunk_size(c) != i * CELL_ALIGN)               /* B2 */
                return false;
        }
    }
    return true;
}
