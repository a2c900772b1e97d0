#include "bins.h"

static size_t bin_of_size(size_t size)
{
    return size / CELL_ALIGN;
}

static uint64_t bit_of(size_t bin)
{
    return UINT64_C(1) << bin % 64;
}

void cell_bins_insert(struct cell_bins *bins, struct cell_chunk *c, size_t size)
{
    size_t bin = bin_of_size(size);
    struct cell_link *list = &bins->list[bin];

    if ((bins->nonempty[bin / 64] & bit_of(bin)) == 0) {
        bins->nonempty[bin / 64] |= bit_of(bin);
        cell_link_init(list);
    }
    cell_link_append(list, &c->link);
}

void cell_bins_remove(struct cell_bins *bins, struct cell_chunk *c, size_t size)
{
    size_t bin = bin_of_size(size);
    struct cell_link *list = &bins->list[bin];

    cell_link_remove(&c->link);
    if (list->next == list)
        bins->nonempty[bin / 64] &= ~bit_of(bin);
}

struct cell_chunk *cell_bins_find(const struct cell_bins *bins, size_t size)
{
    size_t bin = bin_of_size(size), word = bin / 64;

    if (size >= CELL_FIT_MIN)
        return NULL;
    uint64_t candidates = bins->nonempty[word] & (~UINT64_C(0) << bin % 64);
    while (candidates == 0) {
        if (++word == CELL_BIN_WORDS)
            return NULL;
        candidates = bins->nonempty[word];
    }
    struct cell_chunk *c = cell_chunk_of_link(bins->list[word * 64 + (size_t)__builtin_ctzll(candidates)].next);
    CELL_CHECK(cell_chunk_is_sealed(c), CELL_FATAL_HEADER);
    return c;
}

bool cell_bins_is_valid(const struct cell_bins *bins)
{
    for (size_t i = 0; i < CELL_BIN_COUNT; i++) {
        const struct cell_link *list = &bins->list[i];
        bool nonempty = (bins->nonempty[i / 64] & bit_of(i)) != 0;

        if (nonempty != (list->next != NULL && list->next != list)) /* B1 */
            return false;
        if (!nonempty)
            continue;
        for (const struct cell_link *link = list->next; link != list; link = link->next) {
            const struct cell_chunk *c = cell_chunk_of_link(link);
            if (link->next->prev != link || !cell_chunk_is_sealed(c) || cell_chunk_is_inuse(c) ||
                cell_chunk_size(c) != i * CELL_ALIGN)               /* B2 */
                return false;
        }
    }
    return true;
}
