#include "space.h"

#include "footprint.h"
#include "index.h"
#include "mapped.h"
#include "minmax.h"
#include "os.h"
#include "tunables.h"

#define SIZES_TRIED  16u
#define EQUALS_TRIED 16u
#define PLACES_TRIED 64u

/* Writes header and footer of a free chunk whose neighbours are in use, and indexes it. Its first page is written to. */
static void insert_free(struct cell_heap *heap, struct cell_chunk *c, size_t size, size_t dirty_bytes)
{
    cell_chunk_set(c, size, CELL_PREV_INUSE);
    cell_chunk_set_footer(c, size);
    cell_chunk_clear_prev_inuse(cell_chunk_at(c, size));
    cell_index_insert(heap, c, size, dirty_bytes);
}

/* The same for what may begin in a page without memory. */
static void make_free(struct cell_heap *heap, struct cell_chunk *c, size_t size, size_t dirty_bytes)
{
    size_t node_size = size < sizeof(struct cell_fit_node) ? size : sizeof(struct cell_fit_node);

    cell_segment_touch(&heap->segment, c, cell_chunk_at(c, node_size), NULL);
    insert_free(heap, c, size, dirty_bytes);
}

/* ---- taking chunks -------------------------------------------------------------------------------------------- */

/* Bytes to leave free before a chunk at `c` so that its user address is aligned: none, or enough for a chunk. */
static size_t lead_for(const struct cell_chunk *c, size_t alignment)
{
    size_t lead = -((uintptr_t)c + CELL_CHUNK_USER) & (alignment - 1);

    if (lead != 0 && lead < CELL_CHUNK_MIN)
        lead += alignment;
    return lead;
}

size_t cell_space_room(const struct cell_chunk *c, size_t alignment)
{
    return cell_chunk_size(c) - lead_for(c, alignment);
}

static bool is_top(const struct cell_heap *heap, const struct cell_chunk *c)
{
    return c == heap->top;
}

static struct cell_chunk *find(const struct cell_heap *heap, size_t size)
{
    struct cell_chunk *c = cell_bins_find(&heap->bins, size);

    return c != NULL ? c : cell_fit_find(&heap->fit, size);
}

static bool holds(const struct cell_chunk *c, size_t size, size_t alignment)
{
    return lead_for(c, alignment) + size <= cell_chunk_size(c);
}

static struct cell_chunk *next_equal(const struct cell_heap *heap, struct cell_chunk *c, size_t size)
{
    return size < CELL_FIT_MIN ? cell_bins_next(&heap->bins, c, size) : cell_fit_next(c);
}

/* Whether a block at an alignment has room in a chunk depends on where that lies: the more it is larger, the likelier. So several sizes
 * are looked at, and of each some chunks. */
__attribute__((noinline))
static struct cell_chunk *find_aligned(const struct cell_heap *heap, size_t size, size_t alignment)
{
    size_t step = cell_max(alignment / SIZES_TRIED, CELL_ALIGN), enough = size + alignment + CELL_CHUNK_MIN, found = size;
    unsigned tries = PLACES_TRIED;

    for (size_t least = size; least < enough && tries != 0; least = cell_max(least, found) + step) {
        struct cell_chunk *c = cell_space_find(heap, least, CELL_ALIGN);
        if (c == NULL)
            return NULL;
        found = cell_chunk_size(c);
        for (unsigned equals = EQUALS_TRIED; c != NULL && equals != 0 && tries != 0; equals--, tries--) {
            if (holds(c, size, alignment))
                return c;
            c = next_equal(heap, c, found);
        }
    }
    return cell_space_find(heap, enough, CELL_ALIGN);
}

struct cell_chunk *cell_space_find(const struct cell_heap *heap, size_t size, size_t alignment)
{
    struct cell_chunk *c = find(heap, size);

    return c == NULL || holds(c, size, alignment) ? c : find_aligned(heap, size, alignment);
}

static void note_growth(struct cell_heap *heap)
{
    if (heap->segment.resident > heap->resident_peak)
        heap->resident_peak = heap->segment.resident;
    cell_footprint_note(heap);
}

/* Marks [c, c + size) in use; `lead` bytes before it become a free chunk. What is at its end is the caller's. */
static struct cell_zero_run occupy(struct cell_heap *heap, struct cell_chunk *c, size_t lead, size_t size,
                                   size_t lead_dirty)
{
    struct cell_chunk *taken = cell_chunk_at(c, lead);
    size_t resident = heap->segment.resident;
    struct cell_zero_run zero = cell_segment_touch(&heap->segment, taken, (char *)taken + size + CELL_WORD, heap->postponed);

    cell_chunk_set(taken, size, CELL_INUSE | CELL_PREV_INUSE);
    heap->in_use += size;
    if (lead != 0)
        make_free(heap, c, lead, lead_dirty);
    if (heap->segment.resident != resident)
        note_growth(heap);
    return zero;
}

/* Under a limit of the footprint, the pages of `size` bytes from `c` on that have no memory yet must still be free. */
static bool may_bring_in(const struct cell_heap *heap, const struct cell_chunk *c, size_t size)
{
    return !cell_footprint_is_limited(heap) ||
           cell_footprint_may_grow(heap, cell_segment_absent(&heap->segment, c, size + CELL_PAGE));
}

/* Gives back what lies unused elsewhere, as far as it must be. */
__attribute__((cold, noinline)) static bool give_way(struct cell_heap *heap, const struct cell_chunk *c, size_t size)
{
    struct cell_extents dropped = cell_footprint_make_room(heap, cell_segment_absent(&heap->segment, c, size + CELL_PAGE));

    cell_mapped_unmap_all(&dropped);
    cell_index_purge_down_to(heap, 0);
    if (!may_bring_in(heap, c, size))
        cell_index_purge_all(heap, CELL_PAGE);
    return may_bring_in(heap, c, size);
}

static bool make_way(struct cell_heap *heap, const struct cell_chunk *c, size_t size)
{
    return may_bring_in(heap, c, size) || give_way(heap, c, size);
}

/* Splits a free chunk: lead, taken, remainder. */
static struct cell_chunk *take_from_chunk(struct cell_heap *heap, struct cell_chunk *c, size_t size, size_t alignment,
                                          struct cell_zero_run *zero)
{
    size_t lead = lead_for(c, alignment);
    size_t remainder = cell_chunk_size(c) - lead - size;
    size_t dirty = cell_index_remove(heap, c);
    struct cell_chunk *next = cell_chunk_next(c);

    if (remainder < CELL_CHUNK_MIN) {
        size += remainder;
        remainder = 0;
    }
    cell_chunk_set_prev_inuse(next);
    *zero = occupy(heap, c, lead, size, cell_min(dirty, lead));
    if (remainder != 0)
        make_free(heap, cell_chunk_at(c, lead + size), remainder, cell_min(dirty, remainder));
    heap->counts.splits += (lead != 0) + (remainder != 0);
    return cell_chunk_at(c, lead);
}

static size_t top_bytes(const struct cell_heap *heap)
{
    return (size_t)(heap->segment.base + heap->segment.committed - (char *)heap->top);
}

/* Whether taking `size` from the top would bring in a page. */
static bool top_is_absent(const struct cell_heap *heap, size_t size)
{
    if (size + CELL_WORD > top_bytes(heap))
        return true;
    const char *last = (const char *)heap->top + size + CELL_WORD - 1;
    return heap->segment.kind[cell_segment_page_of(&heap->segment, last)] == CELL_PAGE_ABSENT;
}

/* What lies unused goes before the heap sets a new peak, if it is more than little: kept mappings, then the oldest free pages.
 * The top's own are about to be used. */
static void drop_before_growth(struct cell_heap *heap, size_t bytes)
{
    struct cell_extents dropped = cell_footprint_make_room(heap, bytes);

    cell_mapped_unmap_all(&dropped);
    cell_index_purge_before_growth(heap, bytes + CELL_PAGE, heap->top_dirty);
}

static bool grow(struct cell_heap *heap, size_t need)
{
    heap->counts.grows++;
    return cell_segment_grow(&heap->segment, need + cell_option.top_pad) ||
           (cell_option.top_pad != 0 && cell_segment_grow(&heap->segment, need));
}

static struct cell_chunk *take_from_top(struct cell_heap *heap, size_t size, size_t alignment,
                                        struct cell_zero_run *zero)
{
    struct cell_chunk *c = heap->top;
    size_t lead = lead_for(c, alignment);
    size_t need = lead + size + CELL_TOP_KEEP;

    if (top_is_absent(heap, lead + size)) {
        drop_before_growth(heap, lead + size);
        if (!make_way(heap, c, lead + size))
            return NULL;
    }
    if (need > top_bytes(heap) && !grow(heap, need - top_bytes(heap)))
        return NULL;

    size_t recycled = cell_min(heap->top_dirty, lead + size);
    heap->top_dirty -= recycled;
    heap->dirty_bytes -= recycled;
    heap->top = cell_chunk_at(c, lead + size);
    *zero = occupy(heap, c, lead, size, cell_min(recycled, lead));
    return cell_chunk_at(c, lead);
}

/* A chunk smaller than a page lies between written headers: no page of it can be without memory. */
static struct cell_chunk *take_from_bin(struct cell_heap *heap, struct cell_chunk *c, size_t size, size_t have)
{
    size_t remainder = have - size;

    cell_bins_remove(&heap->bins, c, have);
    if (remainder < CELL_CHUNK_MIN) {
        cell_chunk_set_prev_inuse(cell_chunk_at(c, have));
        cell_chunk_set(c, have, CELL_INUSE | CELL_PREV_INUSE);
        heap->in_use += have;
        return c;
    }
    cell_chunk_set(c, size, CELL_INUSE | CELL_PREV_INUSE);
    heap->in_use += size;
    struct cell_chunk *rest = cell_chunk_at(c, size);
    cell_chunk_set(rest, remainder, CELL_PREV_INUSE);
    cell_chunk_set_footer(rest, remainder);
    cell_bins_insert(&heap->bins, rest, remainder);
    heap->counts.splits++;
    return c;
}

struct cell_chunk *cell_space_take_from(struct cell_heap *heap, struct cell_chunk *place, size_t size, size_t alignment,
                                        struct cell_zero_run *zero)
{
    size_t have = cell_chunk_size(place);

    if (have < CELL_PAGE && alignment == CELL_ALIGN) {
        *zero = (struct cell_zero_run){ NULL, NULL };
        return take_from_bin(heap, place, size, have);
    }
    size_t need = lead_for(place, alignment) + size;
    if (!make_way(heap, place, need))
        return NULL;
    return take_from_chunk(heap, place, size, alignment, zero);
}

struct cell_chunk *cell_space_take_from_bins(struct cell_heap *heap, size_t size)
{
    struct cell_chunk *c = cell_bins_find(&heap->bins, size);
    size_t have = c == NULL ? CELL_PAGE : cell_chunk_size(c);

    return have < CELL_PAGE ? take_from_bin(heap, c, size, have) : NULL;
}

struct cell_chunk *cell_space_take_from_top(struct cell_heap *heap, size_t size, size_t alignment, enum cell_growth growth,
                                            struct cell_zero_run *zero)
{
    if (growth == CELL_STAY && top_is_absent(heap, lead_for(heap->top, alignment) + size))
        return NULL;
    return take_from_top(heap, size, alignment, zero);
}

struct cell_chunk *cell_space_take(struct cell_heap *heap, size_t size, size_t alignment, enum cell_growth growth,
                                   struct cell_zero_run *zero)
{
    struct cell_chunk *c = cell_space_find(heap, size, alignment);

    if (c != NULL)
        return cell_space_take_from(heap, c, size, alignment, zero);
    return cell_space_take_from_top(heap, size, alignment, growth, zero);
}

/* ---- giving chunks back ---------------------------------------------------------------------------------------- */

static struct cell_chunk *merge_previous(struct cell_heap *heap, struct cell_chunk *c, size_t *size, size_t *dirty)
{
    if (cell_chunk_is_prev_inuse(c))
        return c;
    struct cell_chunk *previous = cell_chunk_prev(c);
    CELL_CHECK(cell_segment_holds(&heap->segment, previous) && cell_chunk_is_sealed(previous) &&
               !cell_chunk_is_inuse(previous) && cell_chunk_next(previous) == c, CELL_FATAL_HEADER);
    *dirty += cell_index_remove(heap, previous);
    *size += cell_chunk_size(previous);
    cell_chunk_erase(c);
    heap->counts.merges++;
    return previous;
}

static void merge_next(struct cell_heap *heap, struct cell_chunk *next, size_t *size, size_t *dirty)
{
    CELL_CHECK(cell_chunk_is_sealed(next), CELL_FATAL_HEADER);
    if (cell_chunk_is_inuse(next))
        return;
    *dirty += cell_index_remove(heap, next);
    *size += cell_chunk_size(next);
    cell_chunk_erase(next);
    heap->counts.merges++;
}

static void merge_into_top(struct cell_heap *heap, struct cell_chunk *c, size_t dirty)
{
    cell_chunk_erase(c);
    heap->top = c;
    heap->top_dirty += dirty;
    heap->dirty_bytes += dirty;
}

/* Marks the chunk free, merges the previous, merges the next, inserts the whole. */
void cell_space_release(struct cell_heap *heap, struct cell_chunk *c, size_t size)
{
    size_t dirty = size;
    struct cell_chunk *next = cell_chunk_at(c, size);

    heap->in_use -= size;
    c = merge_previous(heap, c, &size, &dirty);
    if (is_top(heap, next)) {
        merge_into_top(heap, c, dirty);
    } else {
        merge_next(heap, next, &size, &dirty);      /* never up to the top: C2 */
        insert_free(heap, c, size, dirty);
    }
    cell_index_purge_if_much(heap);
}

bool cell_space_join(struct cell_heap *heap, struct cell_chunk **c, size_t *size, struct cell_chunk *other)
{
    bool behind = other == cell_chunk_at(*c, *size);

    if (!behind && cell_chunk_next(other) != *c)
        return false;
    *size += cell_heap_inuse_size(other);
    cell_chunk_erase(behind ? other : *c);
    *c = behind ? *c : other;
    heap->counts.merges++;
    return true;
}

void cell_space_coalesce(struct cell_heap *heap)
{
    for (size_t i = 0; heap->deferred.held != 0; i++) {
        struct cell_chunk *c = cell_deferred_take_at(&heap->deferred, i);
        if (c != NULL)
            cell_space_release(heap, c, cell_chunk_size(c));
    }
}

struct cell_chunk *cell_space_find_coalesced(struct cell_heap *heap, size_t size, size_t alignment)
{
    struct cell_chunk *c = cell_space_find(heap, size, alignment);

    if (c != NULL || heap->deferred.held == 0)
        return c;
    cell_space_coalesce(heap);
    return cell_space_find(heap, size, alignment);
}

/* ---- resizing in place --------------------------------------------------------------------------------------- */

/* Splits the tail off a chunk in use. */
void cell_space_cut(struct cell_heap *heap, struct cell_chunk *c, size_t size)
{
    size_t status = CELL_INUSE | (cell_chunk_is_prev_inuse(c) ? CELL_PREV_INUSE : 0);
    struct cell_chunk *tail = cell_chunk_at(c, size);

    cell_chunk_set(tail, cell_chunk_size(c) - size, CELL_INUSE | CELL_PREV_INUSE);
    cell_chunk_set(c, size, status);
    heap->counts.splits++;
    cell_space_release(heap, tail, cell_chunk_size(tail));
}

/* Makes the chunk `size` bytes long out of the top or the free chunk behind it. */
bool cell_space_extend(struct cell_heap *heap, struct cell_chunk *c, size_t size)
{
    struct cell_chunk *next = cell_chunk_next(c);
    size_t have = cell_chunk_size(c), more = size - have;
    size_t status = CELL_INUSE | (cell_chunk_is_prev_inuse(c) ? CELL_PREV_INUSE : 0);
    struct cell_zero_run zero;

    if (is_top(heap, next)) {
        if (more < CELL_CHUNK_MIN)
            more = CELL_CHUNK_MIN;
        if (take_from_top(heap, more, CELL_ALIGN, &zero) == NULL)
            return false;
    } else {
        CELL_CHECK(cell_chunk_is_sealed(next), CELL_FATAL_HEADER);
        if (cell_chunk_is_inuse(next) || cell_chunk_size(next) < more || !make_way(heap, next, more))
            return false;
        take_from_chunk(heap, next, more < CELL_CHUNK_MIN ? CELL_CHUNK_MIN : more, CELL_ALIGN, &zero);
    }
    more = cell_chunk_size(next);
    cell_chunk_erase(next);
    cell_chunk_set(c, have + more, status);
    return true;
}
