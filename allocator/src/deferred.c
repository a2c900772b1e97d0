#include "deferred.h"

static size_t row_of_size(size_t size)
{
    return size / CELL_ALIGN;
}

/* Takes the oldest entry of a row off it; the row must have one. */
static struct cell_chunk *take(struct cell_deferred *deferred, size_t row)
{
    size_t entry = deferred->oldest[row] - 1u;
    struct cell_chunk *c = deferred->chunk[entry];
    struct cell_freed *block = cell_chunk_user(c);

    CELL_CHECK(cell_freed_is_tagged(block), CELL_FATAL_FREE_LIST);
    cell_freed_untag(block);
    deferred->chunk[entry] = NULL;
    deferred->oldest[row] = deferred->next[entry];
    deferred->held--;
    while (deferred->used != 0 && deferred->chunk[deferred->used - 1] == NULL)
        deferred->used--;
    return c;
}

struct cell_chunk *cell_deferred_take(struct cell_deferred *deferred, size_t size)
{
    size_t row = row_of_size(size);

    return deferred->oldest[row] == 0 ? NULL : take(deferred, row);
}

struct cell_chunk *cell_deferred_take_at(struct cell_deferred *deferred, size_t entry)
{
    struct cell_chunk *c = deferred->chunk[entry];

    if (c == NULL)
        return NULL;
    CELL_CHECK(cell_chunk_is_sealed(c) && cell_chunk_is_inuse(c) && cell_chunk_size(c) < CELL_FIT_MIN, CELL_FATAL_HEADER);
    CELL_CHECK(cell_freed_is_tagged(cell_chunk_user(c)), CELL_FATAL_FREE_LIST);
    cell_freed_untag(cell_chunk_user(c));
    deferred->oldest[row_of_size(cell_chunk_size(c))] = 0;
    deferred->chunk[entry] = NULL;
    if (--deferred->held == 0)
        deferred->used = 0;
    return c;
}

void cell_deferred_put(struct cell_deferred *deferred, struct cell_chunk *c, size_t size)
{
    size_t row = row_of_size(size), entry = deferred->used++;

    cell_freed_set_next(cell_chunk_user(c), NULL);
    deferred->chunk[entry] = c;
    deferred->next[entry] = 0;
    if (deferred->oldest[row] == 0)
        deferred->oldest[row] = (uint8_t)(entry + 1);
    else
        deferred->next[deferred->youngest[row]] = (uint8_t)(entry + 1);
    deferred->youngest[row] = (uint8_t)entry;
    deferred->held++;
}

bool cell_deferred_is_valid(const struct cell_deferred *deferred)
{
    size_t held = 0, reached = 0;

    if (deferred->used > CELL_DEFERRED || (deferred->used != 0 && deferred->chunk[deferred->used - 1] == NULL))
        return false;                                   /* D1 */
    for (size_t i = 0; i < deferred->used; i++)
        held += deferred->chunk[i] != NULL;
    for (size_t row = 0; row < CELL_BIN_COUNT; row++) {
        for (size_t next = deferred->oldest[row]; next != 0; next = deferred->next[next - 1]) {
            struct cell_chunk *c = next > deferred->used ? NULL : deferred->chunk[next - 1];
            if (++reached > held || c == NULL || !cell_chunk_is_sealed(c) || !cell_chunk_is_inuse(c) ||
                row_of_size(cell_chunk_size(c)) != row || !cell_freed_is_tagged(cell_chunk_user(c)))
                return false;                           /* D2, D3 */
        }
    }
    return held == deferred->held && reached == held;   /* D1 */
}
