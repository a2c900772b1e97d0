#include "index.h"

#include "footprint.h"
#include "minmax.h"
#include "os.h"
#include "tunables.h"

/* Giving back less than this, and less than this share of the heap, is not worth a system call and a flush of the TLB. */
#define DIRTY_MIN      (4 * CELL_PAGE)
#define DIRTY_SHARE    256
#define ONCE_EMPTIED   2u       /* of a heap that has emptied, this times what was handed out since counts as its peak, ... */
#define EMPTIED_MIN    4u       /* ... but this share of the peak at least: the last pages would go by many small calls */
#define MOST_SHARE     8u       /* most: all but this share */

/* ---- bins, fit and the list of dirty chunks -------------------------------------------------------------------- */

static struct cell_fit_node *node_of_dirty(struct cell_link *link)
{
    return (struct cell_fit_node *)((char *)link - offsetof(struct cell_fit_node, dirty));
}

static size_t worth_purging(const struct cell_heap *heap)
{
    size_t share = (heap->segment.resident << CELL_PAGE_SHIFT) / DIRTY_SHARE;

    return share > DIRTY_MIN ? share : DIRTY_MIN;
}

void cell_index_insert(struct cell_heap *heap, struct cell_chunk *c, size_t size, size_t dirty_bytes)
{
    if (size < CELL_FIT_MIN) {
        cell_bins_insert(&heap->bins, c, size);
        return;
    }
    struct cell_fit_node *node = (struct cell_fit_node *)c;
    cell_fit_insert(&heap->fit, c, size);
    node->dirty_bytes = dirty_bytes;
    node->dirty.next = NULL;
    if (dirty_bytes >= worth_purging(heap)) {
        cell_link_append(&heap->dirty, &node->dirty);
        heap->dirty_bytes += dirty_bytes;
    }
}

/* Takes a free chunk out of bins or fit; returns its resident bytes, as far as they are known. */
size_t cell_index_remove(struct cell_heap *heap, struct cell_chunk *c)
{
    size_t size = cell_chunk_size(c);

    if (size < CELL_FIT_MIN) {
        cell_bins_remove(&heap->bins, c, size);
        return size;
    }
    struct cell_fit_node *node = (struct cell_fit_node *)c;
    size_t dirty_bytes = node->dirty_bytes;
    cell_fit_remove(&heap->fit, c);
    if (node->dirty.next != NULL) {
        cell_link_remove(&node->dirty);
        heap->dirty_bytes -= dirty_bytes;
    }
    return dirty_bytes;
}

/* ---- purging -------------------------------------------------------------------------------------------------- */

static void purge_chunk(struct cell_heap *heap, struct cell_fit_node *node)
{
    char *from = (char *)node + sizeof *node;
    size_t purged = cell_segment_purge(&heap->segment, from, (char *)node + cell_chunk_size(&node->chunk));

    cell_link_remove(&node->dirty);
    node->dirty.next = NULL;
    heap->dirty_bytes -= node->dirty_bytes;
    node->dirty_bytes = 0;
    heap->counts.purges += purged != 0;
    heap->counts.purged_bytes += purged;
}

void cell_index_purge_top(struct cell_heap *heap, size_t keep)
{
    char *from = (char *)heap->top + CELL_TOP_KEEP + keep;
    char *end = heap->segment.base + heap->segment.committed;
    size_t purged;

    if (from >= end || heap->top_dirty <= keep)
        return;
    purged = cell_segment_purge(&heap->segment, from, end);
    heap->dirty_bytes -= heap->top_dirty - keep;
    heap->top_dirty = keep;
    heap->counts.purges += purged != 0;
    heap->counts.purged_bytes += purged;
}

struct listing {
    struct cell_heap *heap;
    size_t least;
};

__attribute__((cold)) static void list_as_dirty(struct cell_fit_node *node, void *argument)
{
    const struct listing *listing = argument;

    if (node->dirty.next != NULL || node->dirty_bytes < listing->least)
        return;
    cell_link_append(&listing->heap->dirty, &node->dirty);
    listing->heap->dirty_bytes += node->dirty_bytes;
}

void cell_index_purge_all(struct cell_heap *heap, size_t dirty_bytes)
{
    cell_fit_visit(&heap->fit, list_as_dirty, &(struct listing){ heap, dirty_bytes });
    while (heap->dirty.next != &heap->dirty)
        purge_chunk(heap, node_of_dirty(heap->dirty.next));
}

/* Oldest first, until at most `limit` dirty bytes are left; the top goes last, since it is where growth comes from. */
void cell_index_purge_down_to(struct cell_heap *heap, size_t limit)
{
    while (heap->dirty_bytes > limit && heap->dirty.next != &heap->dirty)
        purge_chunk(heap, node_of_dirty(heap->dirty.next));
    if (heap->dirty_bytes > limit)
        cell_index_purge_top(heap, limit < heap->top_dirty ? limit : 0);
}

/* Whether most of what a purge gave back was wanted again, and no second has passed since. */
static bool is_regretted(const struct cell_heap *heap, const struct cell_purge *purge)
{
    return purge->pages != 0 && heap->segment.brought_in - purge->brought_in >= purge->pages / 2 &&
           cell_os_now_ms() - purge->ms < CELL_REGRET_MS;
}

/* Which purge may be repeated now that `dirty_bytes` are free: one that was regretted only when most of the peak is free, as at the end
 * of a phase, and when that was not regretted either. NULL: none; sets purge_at. */
static struct cell_purge *purge_to_make(struct cell_heap *heap, size_t peak)
{
    size_t most = peak - peak / MOST_SHARE, dirty = heap->dirty_bytes;

    if (!is_regretted(heap, &heap->much_purged))
        return &heap->much_purged;
    if (dirty >= most && !is_regretted(heap, &heap->most_purged))
        return &heap->most_purged;
    heap->purge_at = dirty + peak / 16;
    if (dirty < most && heap->purge_at > most)
        heap->purge_at = most;
    return NULL;
}

/* A program that frees much once may not need it again; one that frees and allocates in turns keeps its pages. */
void cell_index_purge_if_much(struct cell_heap *heap)
{
    size_t peak = heap->resident_peak << CELL_PAGE_SHIFT;

    if (cell_option.purge_share == 0 || heap->dirty_bytes < cell_option.purge_min)
        return;
    size_t base = cell_max(peak / EMPTIED_MIN, cell_min(peak, ONCE_EMPTIED * heap->most_handed_out)), limit = base / cell_option.purge_share;
    if (heap->dirty_bytes <= limit) {
        heap->purge_at = limit;
        return;
    }
    struct cell_purge *purge = heap->dirty_bytes < heap->purge_at ? NULL : purge_to_make(heap, peak);
    if (purge == NULL)
        return;
    uint64_t before = heap->segment.purged_pages;
    cell_index_purge_down_to(heap, limit / 2);
    heap->purge_at = limit;
    *purge = (struct cell_purge){ (size_t)(heap->segment.purged_pages - before), cell_os_now_ms(), heap->segment.brought_in };
}

void cell_index_purge_before_growth(struct cell_heap *heap, size_t bytes, size_t keep)
{
    size_t peak = heap->resident_peak << CELL_PAGE_SHIFT;

    keep += cell_footprint_kept_at(heap, peak);
    size_t excess = heap->dirty_bytes > keep ? heap->dirty_bytes - keep : 0;
    size_t resident = heap->segment.resident << CELL_PAGE_SHIFT;

    if (excess == 0 || (cell_footprint_now(heap) + bytes <= heap->footprint_peak &&
                        resident + bytes <= peak))
        return;
    size_t unused = cell_footprint_unused(heap);
    bytes = bytes < DIRTY_MIN ? DIRTY_MIN : bytes;
    cell_index_purge_down_to(heap, keep + (excess > bytes ? excess - bytes : 0));
    cell_footprint_note_room(heap, unused);
}
