#include "bins.h"

bool cell_bins_is_valid(const struct cell_bins *bins)
{
    for (size_t i = 0; i < CELL_BIN_COUNT; i++) {
        const struct cell_link *list = &bins->list[i];
        bool nonempty = (bins->nonempty[i / 64] & cell_bins_bit(i)) != 0;

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
