/* api_heaps.c - separate heaps: instances of struct cell_heap in a mapping of their own, without thread caches.
 *
 * Invariant: every heap between create and destroy is in the list `heaps`, so that fork() can take its lock.
 */
#include <errno.h>
#include <string.h>

#include "api.h"
#include "cellmalloc.h"
#include "mapped.h"
#include "os.h"
#include "sizeclass.h"
#include "tcache.h"

/* Address space of a heap without a capacity. Beyond it every block has a mapping of its own. */
#define RANGE (sizeof(size_t) > 4 ? (size_t)1 << 34 : (size_t)1 << 26)

struct instance {
    struct cell_heap heap;
    struct cell_link link;
};

static struct {
    struct cell_lock lock;
    struct cell_link heaps;         /* all zero: none yet */
} list;

static struct instance *instance_of_link(struct cell_link *link)
{
    return (struct instance *)((char *)link - offsetof(struct instance, link));
}

static size_t instance_bytes(void)
{
    size_t mask = cell_os_page_size() - 1;

    return (sizeof(struct instance) + mask) & ~mask;
}

struct cell_heap *cell_heap_create(size_t capacity)
{
    struct instance *made = cell_tcache_start() && capacity <= CELL_REQUEST_MAX / 2 ? cell_os_map(instance_bytes()) : NULL;

    if (made == NULL)
        return cell_api_or_enomem(NULL);
    if (!cell_heap_init(&made->heap, capacity == 0 ? RANGE : capacity)) {
        cell_os_unmap(made, instance_bytes());
        return cell_api_or_enomem(NULL);
    }
    made->heap.footprint_limit = capacity;
    cell_lock_acquire(&list.lock);
    if (list.heaps.next == NULL)
        cell_link_init(&list.heaps);
    cell_link_append(&list.heaps, &made->link);
    cell_lock_release(&list.lock);
    return &made->heap;
}

void cell_heap_destroy(struct cell_heap *heap)
{
    if (heap == NULL)
        return;
    cell_lock_acquire(&list.lock);
    cell_link_remove(&((struct instance *)heap)->link);
    cell_lock_release(&list.lock);

    while (heap->mapped.next != &heap->mapped)
        cell_mapped_free(heap, cell_chunk_user(&((struct cell_mapped *)heap->mapped.next)->chunk));
    struct cell_extents kept = cell_mapcache_shrink(&heap->map_cache, 0);
    cell_mapped_unmap_all(&kept);
    cell_segment_destroy(&heap->segment);
    cell_os_unmap(heap, instance_bytes());
}

static void *take_cell(struct cell_heap *heap, size_t size)
{
    struct cell_freed *stack = NULL;

    if (cell_heap_take_cells(heap, (unsigned)(cell_size_of_cell(size) / CELL_ALIGN), 1, &stack) == 0)
        return NULL;
    return cell_freed_pop(&stack);
}

/* zero == NULL: what the block holds does not matter. */
static void *take(struct cell_heap *heap, size_t size, struct cell_zero_run *zero)
{
    void *block = cell_size_is_cell(size) ? take_cell(heap, size) : NULL;

    if (block != NULL) {
        if (zero != NULL)
            zero->begin = zero->end = block;
        return block;
    }
    return size > CELL_REQUEST_MAX ? NULL : cell_heap_alloc(heap, size, CELL_ALIGN, CELL_GROW, zero);
}

void *cell_heap_malloc(struct cell_heap *heap, size_t size)
{
    return cell_api_or_enomem(take(heap, size, NULL));
}

void *cell_heap_calloc(struct cell_heap *heap, size_t count, size_t size)
{
    struct cell_zero_run zero;
    size_t bytes;
    void *block = __builtin_mul_overflow(count, size, &bytes) ? NULL : take(heap, bytes, &zero);

    return block == NULL ? cell_api_or_enomem(NULL) : cell_api_clear(block, bytes, zero);
}

void *cell_heap_realloc(struct cell_heap *heap, void *block, size_t size)
{
    if (block == NULL)
        return cell_heap_malloc(heap, size);
    if (size == 0) {
        cell_heap_free(heap, block);
        return NULL;
    }
    if (size > CELL_REQUEST_MAX)
        return cell_api_or_enomem(NULL);

    void *resized = cell_heap_resize(heap, block, size);
    if (resized != NULL)
        return resized;
    size_t usable = cell_heap_usable(heap, block);
    void *moved = cell_heap_malloc(heap, size);
    if (moved == NULL)
        return size <= usable ? cell_api_keep(heap, block, usable, size) : NULL;
    memcpy(moved, block, usable < size ? usable : size);
    cell_heap_free(heap, block);
    return moved;
}

void *cell_heap_memalign(struct cell_heap *heap, size_t alignment, size_t size)
{
    size_t rounded = cell_api_round_alignment(alignment);

    if (rounded == 0) {
        errno = EINVAL;
        return NULL;
    }
    if (rounded <= CELL_ALIGN)
        return cell_heap_malloc(heap, size);
    if (size > CELL_REQUEST_MAX)
        return cell_api_or_enomem(NULL);
    return cell_api_or_enomem(cell_heap_alloc(heap, size, rounded, CELL_GROW, NULL));
}

void cell_heap_free(struct cell_heap *heap, void *block)
{
    const struct cell_segment *seg = &heap->segment;

    if (block == NULL)
        return;
    if (cell_segment_holds(seg, block) && seg->kind[cell_segment_page_of(seg, block)] >= CELL_PAGE_POOL)
        CELL_CHECK(!cell_freed_is_tagged(block), CELL_FATAL_DOUBLE_FREE);
    cell_heap_give(heap, block);
}

size_t cell_heap_usable_size(struct cell_heap *heap, const void *block)
{
    return block == NULL ? 0 : cell_heap_usable(heap, block);
}

/* ---- around fork() ------------------------------------------------------------------------------------------------- */

static void for_each_heap(void (*action)(struct cell_heap *heap))
{
    if (list.heaps.next == NULL)
        return;
    for (struct cell_link *link = list.heaps.next; link != &list.heaps; link = link->next)
        action(&instance_of_link(link)->heap);
}

void cell_api_heaps_lock(void)
{
    cell_lock_acquire(&list.lock);
    for_each_heap(cell_heap_lock);
}

void cell_api_heaps_unlock(void)
{
    for_each_heap(cell_heap_unlock);
    cell_lock_release(&list.lock);
}

void cell_api_heaps_reset_lock(void)
{
    for_each_heap(cell_heap_reset_lock);
    cell_lock_reset(&list.lock);
}
