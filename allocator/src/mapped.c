#include "mapped.h"

#include "footprint.h"
#include "index.h"
#include "minmax.h"
#include "os.h"
#include "sizeclass.h"

#define HUGE_ANYHOW   (16 * CELL_HUGE_PAGE)     /* of a block this large, one huge page is slack that does not weigh */
#define DYNAMIC_MAX   ((size_t)32 << 20)    /* largest value that the dynamic threshold takes */
#define UNUSED_WEIGHS ((size_t)1 << 20)     /* a block beyond this size must not come in whole where blocks are hardly used, */
#define UNUSED_MAX    ((size_t)8 << 20)     /* ... nor may more than this of smaller ones */
#define DYNAMIC_SHARE 16                    /* up to this share of the heap it follows any block */

static struct cell_mapped *mapped_of(const void *block)
{
    return (struct cell_mapped *)((uintptr_t)block - CELL_MAPPED_PREFIX);
}

static struct cell_mapped *checked_mapped_of(const void *block)
{
    struct cell_mapped *m = mapped_of(block);

    CELL_CHECK(!cell_chunk_is_erased(&m->chunk), CELL_FATAL_DOUBLE_FREE);
    /* Anything but a mapped block's address: most often a pointer that malloc never returned. */
    CELL_CHECK(cell_chunk_is_sealed(&m->chunk) && cell_chunk_is_mapped(&m->chunk), CELL_FATAL_BAD_POINTER);
    CELL_CHECK(cell_chunk_is_inuse(&m->chunk), CELL_FATAL_DOUBLE_FREE);
    return m;
}

static size_t round_to_page(size_t size)
{
    return cell_round_up(size, cell_os_page_size());
}

size_t cell_mapped_threshold(const struct cell_heap *heap)
{
    size_t followed = __atomic_load_n(&heap->map_threshold, __ATOMIC_RELAXED);

    return followed > cell_option.mmap_threshold && cell_option.mmap_dynamic ? followed : cell_option.mmap_threshold;
}

/* Blocks that come and go are better kept in the heap if they are small against it, or if the program has often mapped anew what it had
 * given back; but not many if their pages are seldom used. Whether they are, only mappings tell. */
static void follow_threshold(struct cell_heap *heap, size_t size)
{
    size_t heap_bytes = cell_segment_resident(&heap->segment) << CELL_PAGE_SHIFT;
    bool regretted = cell_option.map_cache_share != 0 && cell_mapcache_is_regretted(&heap->map_cache);
    bool come_and_go = size <= heap_bytes / DYNAMIC_SHARE || regretted;
    bool light = !cell_segment_large_are_unused(&heap->segment) || (size <= UNUSED_WEIGHS && heap->mapped_peak <= UNUSED_MAX);

    if (cell_option.mmap_dynamic && come_and_go && light && size <= DYNAMIC_MAX && size >= cell_mapped_threshold(heap))
        __atomic_store_n(&heap->map_threshold, size + 1, __ATOMIC_RELAXED);
}

void cell_mapped_unmap_all(const struct cell_extents *extents)
{
    for (unsigned i = 0; i < extents->count; i++)
        cell_os_unmap(extents->extent[i].start, extents->extent[i].size);
}

/* Gives the parts of a mapping back that an aligned block does not need. */
static void trim_mapping(char **start, size_t *size, char *block, size_t request)
{
    size_t page = cell_os_page_size();
    char *first = (char *)((uintptr_t)(block - CELL_MAPPED_PREFIX) & ~(page - 1));
    char *end = *start + *size;
    char *last = block + round_to_page((size_t)(block - first) + request) - (block - first);

    if (first > *start)
        cell_os_unmap(*start, (size_t)(first - *start));
    if (last < end)
        cell_os_unmap(last, (size_t)(end - last));
    *start = first;
    *size = (size_t)(last - first);
}

static char *aligned_block(char *start, size_t alignment)
{
    uintptr_t block = (uintptr_t)start + CELL_MAPPED_PREFIX;

    return (char *)((block + alignment - 1) & ~(uintptr_t)(alignment - 1));
}

/* Links a block that lies in a mapping into the heap. Lock held. */
static void adopt(struct cell_heap *heap, struct cell_mapped *m)
{
    cell_link_append(&heap->mapped, &m->link);
    heap->mapped_count++;
    __atomic_store_n(&heap->mapped_bytes, heap->mapped_bytes + m->size, __ATOMIC_RELAXED);
    if (heap->mapped_bytes > heap->mapped_peak)
        heap->mapped_peak = heap->mapped_bytes;
    cell_footprint_note(heap);
}

static void abandon(struct cell_heap *heap, struct cell_mapped *m)
{
    cell_link_remove(&m->link);
    heap->mapped_count--;
    __atomic_store_n(&heap->mapped_bytes, heap->mapped_bytes - m->size, __ATOMIC_RELAXED);
}

/* What of a block is to come in: the `ahead` bytes from `fresh` on, and huge pages in all of it if it is so large that one of them half
 * used does not weigh and `filled`, for what is known of the program. */
struct coming {
    struct cell_extent block;
    char *fresh;
    size_t ahead;
    bool filled;
};

static char *huge_page_up(const char *address)
{
    return (char *)(((uintptr_t)address + CELL_HUGE_PAGE - 1) & ~(uintptr_t)(CELL_HUGE_PAGE - 1));
}

/* Huge pages are asked for in the whole block or, one by one, in what comes in now; returns where they end. To the system a block is one
 * mapping, which it can grow and move, only if at last all of it asks for them or none does. Older kernels (Linux 6.1) want it to have had
 * memory before it parted, too: so the first page comes in before all else.
 * cold: not near what a program's start needs. */
__attribute__((cold, noinline))
static char *choose_page_size(struct cell_huge_account *account, const struct coming *c)
{
    bool whole = c->filled && c->block.size >= HUGE_ANYHOW;
    char *known_end = c->fresh + c->ahead, *block_end = c->block.start + c->block.size;
    char *first = huge_page_up(c->fresh == c->block.start ? c->fresh + 1 : c->fresh), *next = first;
    char *end = (char *)((uintptr_t)(whole ? block_end : known_end) & ~(uintptr_t)(CELL_HUGE_PAGE - 1));

    if (first >= end)
        return c->fresh;
    bool pays = cell_huge_pays(account);
    if (pays && c->fresh == c->block.start)
        cell_os_populate(c->fresh, cell_os_page_size());
    if (pays && whole)
        cell_os_huge(c->block.start, c->block.size);
    /* Of a whole block one at least, to know what they take. */
    while (pays && (next == first || next + CELL_HUGE_PAGE <= known_end) && cell_huge_bring_in(account, next)) {
        next += CELL_HUGE_PAGE;
        pays = cell_huge_pays(account);
    }
    if (!pays && next < end)
        cell_huge_went_without(account, (size_t)(end - next));
    if (cell_huge_is_available(account) && !(pays && whole))
        cell_os_no_huge(c->block.start, c->block.size);
    if (pays && whole && c->ahead != 0 && huge_page_up(known_end) > next)      /* the last of them comes in whole */
        return huge_page_up(known_end) < block_end ? huge_page_up(known_end) : block_end;
    return next > first ? next : c->fresh;
}

/* Brings it in; returns where that ends. */
static char *populate(struct cell_heap *heap, struct coming c)
{
    char *huge_end = c.fresh;

    c.ahead &= ~(cell_os_page_size() - 1);
    if (c.block.size >= CELL_HUGE_PAGE)
        huge_end = choose_page_size(&heap->segment.whole->huge, &c);
    if (c.ahead != 0 && !cell_os_populate(c.fresh, c.ahead))
        c.ahead = 0;
    return huge_end > c.fresh + c.ahead ? huge_end : c.fresh + c.ahead;
}

static char *populate_new(struct cell_heap *heap, struct cell_extent block, char *fresh)
{
    size_t size = (size_t)(block.start + block.size - fresh), ahead = cell_segment_populate_ahead(&heap->segment, size);

    return populate(heap, (struct coming){ block, fresh, ahead, cell_segment_large_are_used(&heap->segment) });
}

/* What a block has grown by may be its last growth, of which half stays empty on average where each doubles it; of an eighth, little. */
static char *populate_more(struct cell_heap *heap, struct cell_extent block, char *fresh, bool filled)
{
    size_t before = (size_t)(fresh - block.start), size = block.size - before, ahead = cell_segment_populate_batch(&heap->segment, size);

    if (filled && ahead != 0)
        ahead = cell_max(ahead, cell_min(size, before) / 8);
    return populate(heap, (struct coming){ block, fresh, ahead, filled });
}

static bool is_resident(const char *address)
{
    return cell_os_is_resident((char *)((uintptr_t)address & ~(cell_os_page_size() - 1)));
}

/* A page well within the part that was left to faults tells whether the program has used the whole block, the one at a quarter, if
 * left to faults, whether it has hardly used it. Lock held. */
static void learn_use(struct cell_heap *heap, const struct cell_mapped *m)
{
    char *end = m->start + m->size, *quarter = m->start + m->size / 4;
    char *middle = m->populated_end + (end - m->populated_end) / 2;

    if (m->size < cell_option.populate_max || m->populated_end >= end)
        return;
    bool whole = is_resident(middle);
    cell_segment_note_large_use(&heap->segment, m->size, whole);
    if (whole || m->populated_end <= quarter)
        cell_mapcache_note_use(&heap->map_cache, !whole && !is_resident(quarter));
}

static void write_header(struct cell_mapped *m, char *start, size_t size, char *populated_end)
{
    m->start = start;
    m->size = size;
    m->populated_end = populated_end;
    m->guard = 0;
    cell_chunk_set(&m->chunk, (size_t)(start + size - (char *)&m->chunk), CELL_INUSE | CELL_MAPPED);
}

/* Whether `size` bytes more are within the limits. What lies unused goes before a new peak is set, if it is more than little;
 * `dropped` is to be unmapped. Lock held. */
static bool make_room(struct cell_heap *heap, size_t size, struct cell_extents *dropped)
{
    *dropped = cell_footprint_make_room(heap, size);
    if (cell_footprint_now(heap) + size > heap->footprint_peak)
        cell_index_purge_before_growth(heap, size, 0);
    return cell_footprint_may_grow(heap, size);
}

/* Whether `size` bytes may be mapped, and what is kept that can serve them. */
static bool admit(struct cell_heap *heap, size_t size, bool reusable, struct cell_extent *kept)
{
    struct cell_extents dropped;
    struct cell_extent cut = { NULL, 0 };

    *kept = cut;
    cell_lock_acquire(&heap->lock);
    if (reusable)
        *kept = cell_mapcache_take(&heap->map_cache, size, &cut);
    bool admitted = make_room(heap, size, &dropped) && heap->mapped_count < cell_option.mmap_max;
    heap->counts.unmaps += !admitted && kept->start != NULL;
    cell_lock_release(&heap->lock);
    cell_mapped_unmap_all(&dropped);
    if (cut.start != NULL)
        cell_os_unmap(cut.start, cut.size);
    if (!admitted && kept->start != NULL)
        cell_os_unmap(kept->start, kept->size);
    return admitted;
}

/* A mapping of `size` bytes or a little more; `*used` of them may hold anything, the rest is zero. start == NULL: no memory. */
static struct cell_extent obtain(struct cell_extent kept, size_t size, size_t *used)
{
    char *start = NULL;

    *used = kept.size;
    if (kept.start != NULL && kept.size >= size)
        return kept;
    if (kept.start != NULL) {
        start = cell_os_remap(kept.start, kept.size, size, true);
        if (start == NULL)
            cell_os_unmap(kept.start, kept.size);
    }
    if (start == NULL) {
        start = cell_os_map(size);
        *used = 0;
    }
    return (struct cell_extent){ start, size };
}

/* What is kept for reuse goes when the system has no more. False: nothing was kept. */
static bool drop_kept(struct cell_heap *heap)
{
    cell_lock_acquire(&heap->lock);
    struct cell_extents dropped = cell_footprint_drop_kept(heap);
    cell_lock_release(&heap->lock);
    cell_mapped_unmap_all(&dropped);
    return dropped.count != 0;
}

/* Clearing by writes would bring in all of a block that is hardly used. False: it is to be written to, as where all of it is to come in. */
__attribute__((cold, noinline))
static bool clear_by_giving_back(struct cell_heap *heap, char *start, size_t size)
{
    return size > UNUSED_WEIGHS && cell_mapcache_is_sparse(&heap->map_cache) && !cell_segment_large_are_used(&heap->segment) &&
           cell_os_purge(start, size);
}

size_t cell_mapped_good_size(size_t request)
{
    return round_to_page(request + CELL_MAPPED_PREFIX) - CELL_MAPPED_PREFIX;
}

void *cell_mapped_alloc(struct cell_heap *heap, size_t request, size_t alignment, struct cell_zero_run *zero)
{
    bool trimmed = alignment > cell_os_page_size();      /* where such a block lies shows when there is a mapping */
    size_t before = (CELL_MAPPED_PREFIX + alignment - 1) & ~(alignment - 1), size, used;
    struct cell_extent mapping;

    before += trimmed ? CELL_MAPPED_PREFIX : 0;
    request = request != 0 ? request : 1;       /* else an aligned block could begin where its mapping ends */
    if (__builtin_add_overflow(request, before, &size) || size > CELL_REQUEST_MAX - cell_os_page_size())
        return NULL;
    size = round_to_page(size);
    if (!admit(heap, size, !trimmed, &mapping))
        return NULL;
    mapping = obtain(mapping, size, &used);
    if (mapping.start == NULL && drop_kept(heap))
        mapping = obtain(mapping, size, &used);
    if (mapping.start == NULL)
        return NULL;

    char *block = aligned_block(mapping.start, alignment);
    if (trimmed)
        trim_mapping(&mapping.start, &mapping.size, block, request);

    struct cell_mapped *m = mapped_of(block);
    bool cleared = zero != NULL && used != 0 && clear_by_giving_back(heap, mapping.start, used);
    char *fresh = cleared ? mapping.start : mapping.start + used, *end = mapping.start + mapping.size;
    write_header(m, mapping.start, mapping.size, fresh < end ? populate_new(heap, mapping, fresh) : end);
    cell_lock_acquire(&heap->lock);
    heap->counts.maps += used == 0;
    heap->counts.map_reuses += used != 0;
    adopt(heap, m);
    cell_lock_release(&heap->lock);
    if (zero != NULL)
        *zero = (struct cell_zero_run){ fresh > block ? fresh : block, end };
    return block;
}

bool cell_mapped_adopt(struct cell_heap *heap, void *block, char *start, size_t size, size_t guard)
{
    struct cell_mapped *m = mapped_of(block);

    write_header(m, start, size, start + size);
    m->guard = guard;
    cell_lock_acquire(&heap->lock);
    bool admitted = heap->mapped_count < cell_option.mmap_max && cell_footprint_may_grow(heap, size);
    if (admitted)
        adopt(heap, m);
    heap->counts.maps += admitted;
    cell_lock_release(&heap->lock);
    return admitted;
}

struct cell_extent cell_mapped_disown(struct cell_heap *heap, void *block)
{
    struct cell_mapped *m = checked_mapped_of(block);

    cell_lock_acquire(&heap->lock);
    abandon(heap, m);
    cell_chunk_erase(&m->chunk);
    heap->counts.unmaps++;
    cell_lock_release(&heap->lock);
    return (struct cell_extent){ m->start, m->size + m->guard };
}

size_t cell_mapped_guard(const void *block)
{
    return checked_mapped_of(block)->guard;
}

void cell_mapped_free(struct cell_heap *heap, void *block)
{
    struct cell_mapped *m = checked_mapped_of(block);
    char *start = m->start;
    size_t size = m->size;
    struct cell_extents dropped;

    cell_lock_acquire(&heap->lock);
    learn_use(heap, m);
    abandon(heap, m);
    cell_chunk_erase(&m->chunk);
    follow_threshold(heap, size);
    size_t in_use = (cell_segment_resident(&heap->segment) << CELL_PAGE_SHIFT) + heap->mapped_bytes + size;
    size_t bound = cell_option.map_cache_share == 0 ? 0 : in_use / cell_option.map_cache_share;
    cell_mapcache_put(&heap->map_cache, (struct cell_extent){ start, size }, bound, &dropped);
    heap->counts.unmaps += dropped.count;
    cell_lock_release(&heap->lock);
    cell_mapped_unmap_all(&dropped);
}

size_t cell_mapped_usable(const void *block)
{
    return cell_chunk_size(&checked_mapped_of(block)->chunk) - CELL_CHUNK_USER;
}

/* The mapping is grown or shrunk to what the block needs for `request` bytes. */
static void *resize(struct cell_heap *heap, void *block, size_t request, bool may_move)
{
    struct cell_mapped *m = checked_mapped_of(block);
    size_t offset = (size_t)((char *)block - m->start);
    size_t size, old_size = m->size;

    if (request > CELL_REQUEST_MAX - offset - cell_os_page_size())
        return NULL;
    size = round_to_page(offset + request);
    if (size == old_size)
        return block;

    /* The list must not lead here while the system moves the mapping. */
    struct cell_extents dropped = { .count = 0 };
    cell_lock_acquire(&heap->lock);
    abandon(heap, m);
    bool taken = size > old_size && cell_mapcache_take_at(&heap->map_cache, m->start + old_size, size - old_size);
    bool refused = size > old_size && !taken && !make_room(heap, size, &dropped);
    if (taken)
        write_header(m, m->start, size, m->start + size);
    if (taken || refused)
        adopt(heap, m);
    heap->counts.map_reuses += taken;
    cell_lock_release(&heap->lock);
    cell_mapped_unmap_all(&dropped);
    if (taken || refused)
        return taken ? block : NULL;

    bool full = size > old_size && is_resident(m->start + old_size - 1);
    /* Not by its last page alone, nor where that came in ahead. */
    bool filled = full && old_size >= HUGE_ANYHOW && m->populated_end < m->start + old_size && is_resident(m->start + old_size / 2);
    char *start = cell_os_remap(m->start, old_size, size, may_move);
    if (start != NULL) {
        m = (struct cell_mapped *)(start + offset - CELL_MAPPED_PREFIX);
        struct cell_extent mapping = { start, size };
        write_header(m, start, size, full ? populate_more(heap, mapping, start + old_size, filled) : start + size);
    }
    cell_lock_acquire(&heap->lock);
    adopt(heap, m);
    heap->counts.remaps += start != NULL;
    cell_lock_release(&heap->lock);
    return start == NULL ? NULL : start + offset;
}

void *cell_mapped_resize(struct cell_heap *heap, void *block, size_t request)
{
    return request < cell_option.mmap_threshold / 2 ? NULL : resize(heap, block, request, true);
}

void *cell_mapped_resize_in_place(struct cell_heap *heap, void *block, size_t request)
{
    return resize(heap, block, request != 0 ? request : 1, false);
}
