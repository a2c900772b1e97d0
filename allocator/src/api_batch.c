/* api_batch.c - several blocks in one call (dlmalloc's), and resizing that never moves.
 *
 * independent_*: one chunk that holds all blocks is taken from the heap and divided into chunks in use, side by side; each
 * is then a block like any other. The array of addresses, when wanted, is the first of them.
 */
#include <string.h>

#include "api.h"
#include "arena.h"
#include "cellmalloc.h"
#include "harden.h"
#include "sizeclass.h"
#include "tcache.h"

/* How many blocks, and how large each is: `sizes`, or `size` for all when that is NULL. */
struct wish {
    size_t count, size;
    const size_t *sizes;
};

static size_t wished_size(const struct wish *wish, size_t i)
{
    return wish->sizes != NULL ? wish->sizes[i] : wish->size;
}

/* Bytes of all chunks together; 0: too many. */
static size_t total_bytes(const struct wish *wish, size_t array_bytes)
{
    size_t total = array_bytes;

    if (wish->sizes == NULL) {
        bool fits = wish->size <= CELL_REQUEST_MAX / 2 &&
                    !__builtin_mul_overflow(wish->count, cell_size_of_chunk(wish->size), &total) &&
                    !__builtin_add_overflow(total, array_bytes, &total) && total <= CELL_REQUEST_MAX;
        return fits ? total : 0;
    }
    for (size_t i = 0; i < wish->count; i++)
        if (wished_size(wish, i) > CELL_REQUEST_MAX / 2 ||
            __builtin_add_overflow(total, cell_size_of_chunk(wished_size(wish, i)), &total) || total > CELL_REQUEST_MAX)
            return 0;
    return total;
}

/* Makes the first `size` bytes of a chunk in use a chunk of their own; returns the rest. Lock held. */
static struct cell_chunk *split(struct cell_chunk *c, size_t size)
{
    size_t status = CELL_INUSE | (cell_chunk_is_prev_inuse(c) ? CELL_PREV_INUSE : 0);
    struct cell_chunk *rest = cell_chunk_at(c, size);

    cell_chunk_set(rest, cell_chunk_size(c) - size, CELL_INUSE | CELL_PREV_INUSE);
    cell_chunk_set(c, size, status);
    return rest;
}

static void **divide(struct cell_chunk *c, const struct wish *wish, size_t array_bytes, void **blocks)
{
    cell_heap_lock(&cell_heap_main);
    if (blocks == NULL) {
        blocks = cell_chunk_user(c);
        c = wish->count == 0 ? c : split(c, array_bytes);
    }
    for (size_t i = 0; i < wish->count; i++) {
        void *block = cell_chunk_user(c);
        cell_freed_untag(block);        /* cells may have lain within */
        if (i + 1 < wish->count)
            c = split(c, cell_size_of_chunk(wished_size(wish, i)));
        blocks[i] = block;
    }
    cell_heap_unlock(&cell_heap_main);
    return blocks;
}

/* With harden.c each block has a record and perhaps a guard page of its own: they lie apart. */
static void **make_apart(const struct wish *wish, void **blocks)
{
    void **made = blocks != NULL ? blocks : cell_reallocarray(NULL, wish->count, sizeof *blocks);
    size_t i = 0;

    while (made != NULL && i < wish->count && (made[i] = cell_malloc(wished_size(wish, i))) != NULL)
        i++;
    if (made == NULL || i == wish->count)
        return made;
    while (i > 0)
        cell_free(made[--i]);
    if (made != blocks)
        cell_free(made);
    return cell_api_or_enomem(NULL);
}

/* The chunk that all of `wish` fits into. */
static void **make(const struct wish *wish, void **blocks)
{
    if (cell_tcache_start() && cell_harden_is_on())
        return make_apart(wish, blocks);
    size_t array_bytes = blocks != NULL || wish->count > CELL_REQUEST_MAX / sizeof *blocks
                             ? 0 : cell_size_of_chunk(wish->count * sizeof *blocks);
    size_t total = total_bytes(wish, array_bytes);
    struct cell_freed *stack = NULL;

    if (wish->count == 0 && blocks != NULL)
        return blocks;
    if (total == 0 || !cell_tcache_start() || cell_heap_take_chunks(&cell_heap_main, total, 1, &stack) == 0)
        return cell_api_or_enomem(NULL);
    return divide(cell_chunk_of_user(cell_freed_pop(&stack)), wish, array_bytes, blocks);
}

void **cell_independent_calloc(size_t count, size_t size, void **blocks)
{
    struct wish wish = { count, size, NULL };
    void **made = make(&wish, blocks);

    for (size_t i = 0; made != NULL && i < count; i++)
        memset(made[i], 0, size);
    return made;
}

void **cell_independent_comalloc(size_t count, const size_t *sizes, void **blocks)
{
    struct wish wish = { count, 0, sizes };

    return make(&wish, blocks);
}

size_t cell_bulk_free(void **blocks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cell_free(blocks[i]);
        blocks[i] = NULL;
    }
    return 0;
}

void *cell_realloc_in_place(void *block, size_t size)
{
    struct cell_heap *heap = cell_arena_heap_of(block);

    if (block == NULL)
        return NULL;
    if (size > CELL_REQUEST_MAX)
        return cell_api_or_enomem(NULL);

    if (cell_harden_is_on())
        return cell_api_or_enomem(cell_harden_resize(block, size));
    size_t usable = cell_heap_usable(heap, block);
    return cell_api_resize_in_place(heap, block, size) != NULL || usable >= size ? block : cell_api_or_enomem(NULL);
}
