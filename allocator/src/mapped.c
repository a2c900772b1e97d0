#include "mapped.h"

#include "index.h"
#include "os.h"
#include "sizeclass.h"

#define HUGE          ((size_t)2 << 20)     /* bytes of a huge page */
#define HUGE_ANYHOW   (16 * HUGE)           /* of a block this large, one huge page is slack that does not weigh */
#define DYNAMIC_MAX   ((size_t)32 << 20)    /* largest value that the dynamic threshold takes */
#define DYNAMIC_SHARE 16                    /* it follows blocks up to this share of the heap */

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
    size_t mask = cell_os_page_size() - 1;

    return (size + mask) & ~mask;
}

size_t cell_mapped_threshold(const struct cell_heap *heap)
{
    size_t followed = __atomic_load_n(&heap->map_threshold, __ATOMIC_RELAXED);

    return followed > cell_option.mmap_threshold && cell_option.mmap_dynamic ? followed : cell_option.mmap_threshold;
}

/* Blocks that come and go and are small against the heap are better kept in it. */
static void follow_threshold(struct cell_heap *heap, size_t size)
{
    size_t heap_bytes = heap->segment.resident << CELL_PAGE_SHIFT;

    if (cell_option.mmap_dynamic && size <= DYNAMIC_MAX && size <= heap_bytes / DYNAMIC_SHARE &&
        size >= cell_mapped_threshold(heap))
        __atomic_store_n(&heap->map_threshold, size + 1, __ATOMIC_RELAXED);
}

/* A kept mapping of about the size, or start == NULL. Lock held. */
static char *take_from_cache(struct cell_heap *heap, size_t size, size_t *found)
{
    struct cell_map_cache *cache = &heap->map_cache;

    for (size_t i = 0; i < CELL_MAP_CACHE; i++) {
        char *start = cache->entry[i].start;
        if (start == NULL || cache->entry[i].size < size || cache->entry[i].size - size > size / 4)
            continue;
        *found = cache->entry[i].size;
        cache->bytes -= *found;
        cache->entry[i].start = NULL;
        heap->counts.map_reuses++;
        return start;
    }
    return NULL;
}

/* True when the mapping was kept. The first of its kind is always given back: only a size that keeps coming back is
 * worth the memory. Lock held. */
static bool keep_in_cache(struct cell_heap *heap, char *start, size_t size)
{
    struct cell_map_cache *cache = &heap->map_cache;
    size_t in_use = (heap->segment.resident << CELL_PAGE_SHIFT) + heap->mapped_bytes + size;
    size_t bound = cell_option.map_cache_share == 0 ? 0 : in_use / cell_option.map_cache_share;

    cache->last_freed = size;
    if (bound == 0 || cache->churn < 2 || (cache->bytes + size > bound && cache->bytes != 0))
        return false;
    for (size_t i = 0; i < CELL_MAP_CACHE; i++) {
        if (cache->entry[i].start != NULL)
            continue;
        cache->entry[i].start = start;
        cache->entry[i].size = size;
        cache->bytes += size;
        return true;
    }
    return false;
}

static void count_churn(struct cell_map_cache *cache, size_t size)
{
    if (cache->last_freed >= size && cache->last_freed - size <= size / 4) {
        cache->churn += cache->churn < 8;
        cache->last_freed = 0;
    } else if (cache->churn > 0) {
        cache->churn--;
    }
}

struct cell_map_cache cell_mapped_empty_cache(struct cell_heap *heap)
{
    struct cell_map_cache taken = heap->map_cache;

    for (size_t i = 0; i < CELL_MAP_CACHE; i++)
        heap->map_cache.entry[i].start = NULL;
    heap->map_cache.bytes = 0;
    return taken;
}

void cell_mapped_unmap_all(const struct cell_map_cache *cache)
{
    for (size_t i = 0; i < CELL_MAP_CACHE; i++)
        if (cache->entry[i].start != NULL)
            cell_os_unmap(cache->entry[i].start, cache->entry[i].size);
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
    heap->mapped_bytes += m->size;
    if (heap->mapped_bytes > heap->mapped_peak)
        heap->mapped_peak = heap->mapped_bytes;
    cell_heap_note_footprint(heap);
}

static void abandon(struct cell_heap *heap, struct cell_mapped *m)
{
    cell_link_remove(&m->link);
    heap->mapped_count--;
    heap->mapped_bytes -= m->size;
}

/* Asks for huge pages where blocks like this one have proved to be used whole, and in what is so large that one of
 * them half used does not weigh. */
static void choose_page_size(struct cell_heap *heap, char *start, size_t size, size_t ahead)
{
    size_t vouched = size >= HUGE_ANYHOW && cell_segment_large_are_used(&heap->segment) ? size : ahead;
    char *from = (char *)(((uintptr_t)start + HUGE - 1) & ~(uintptr_t)(HUGE - 1));
    char *to = (char *)((uintptr_t)(start + vouched) & ~(uintptr_t)(HUGE - 1));

    if (from < to && cell_segment_may_use_huge(&heap->segment))
        cell_os_huge(from, (size_t)(to - from));
}

/* Brings in what comes first of the `size` fresh bytes at `start`; returns where that ends. */
static char *populate(struct cell_heap *heap, char *start, size_t size)
{
    size_t ahead = cell_segment_populate_ahead(&heap->segment, size) & ~(cell_os_page_size() - 1);

    choose_page_size(heap, start, size, ahead);
    if (ahead != 0 && !cell_os_populate(start, ahead))
        ahead = 0;
    return start + ahead;
}

/* A page well within the part that was left to faults tells whether the program has used the whole block. Lock held. */
static void learn_use(struct cell_heap *heap, const struct cell_mapped *m)
{
    char *end = m->start + m->size;
    char *middle = m->populated_end + (end - m->populated_end) / 2;

    if (m->size >= cell_option.populate_max && m->populated_end < end)
        cell_segment_note_large_use(&heap->segment, m->size, cell_os_is_resident(
            (char *)((uintptr_t)middle & ~(cell_os_page_size() - 1))));
}

static void write_header(struct cell_mapped *m, char *start, size_t size, char *populated_end)
{
    m->start = start;
    m->size = size;
    m->populated_end = populated_end;
    m->guard = 0;
    cell_chunk_set(&m->chunk, (size_t)(start + size - (char *)&m->chunk), CELL_INUSE | CELL_MAPPED);
}

/* Whether `size` more bytes may be mapped. Takes a kept mapping if one fits; if not, what lies unused goes before a new
 * peak is set. */
static bool admit(struct cell_heap *heap, size_t size, bool reusable, char **start, size_t *found)
{
    struct cell_map_cache dropped = { .bytes = 0 };

    cell_lock_acquire(&heap->lock);
    count_churn(&heap->map_cache, size);
    *start = reusable ? take_from_cache(heap, size, found) : NULL;
    if (*start == NULL && cell_heap_footprint(heap) + size > heap->footprint_peak) {
        dropped = cell_mapped_empty_cache(heap);
        cell_index_purge_before_growth(heap, size, 0);
    }
    bool admitted = heap->mapped_count < cell_option.mmap_max && cell_heap_may_take(heap, size);
    cell_lock_release(&heap->lock);
    if (dropped.bytes != 0)
        cell_mapped_unmap_all(&dropped);
    return admitted;
}

void *cell_mapped_alloc(struct cell_heap *heap, size_t request, size_t alignment, struct cell_zero_run *zero)
{
    size_t slack = alignment > CELL_ALIGN ? alignment : 0, size, found = 0;
    char *start;

    request = request != 0 ? request : 1;       /* else an aligned block could begin where its mapping ends */
    if (__builtin_add_overflow(request, CELL_MAPPED_PREFIX + cell_os_page_size(), &size) ||
        __builtin_add_overflow(size, slack, &size) || size > CELL_REQUEST_MAX)
        return NULL;
    size = round_to_page(request + CELL_MAPPED_PREFIX + slack);
    if (!admit(heap, size, slack == 0, &start, &found))
        return NULL;

    bool fresh = start == NULL;
    if (fresh) {
        found = size;
        start = cell_os_map(size);
        if (start == NULL)
            return NULL;
    }
    char *block = aligned_block(start, alignment);
    if (slack >= cell_os_page_size())
        trim_mapping(&start, &found, block, request);

    struct cell_mapped *m = mapped_of(block);
    write_header(m, start, found, fresh ? populate(heap, start, found) : start + found);
    cell_lock_acquire(&heap->lock);
    heap->counts.maps += fresh;
    adopt(heap, m);
    cell_lock_release(&heap->lock);
    zero->begin = fresh ? block : start + found;
    zero->end = start + found;
    return block;
}

bool cell_mapped_adopt(struct cell_heap *heap, void *block, char *start, size_t size, size_t guard)
{
    struct cell_mapped *m = mapped_of(block);

    write_header(m, start, size, start + size);
    m->guard = guard;
    cell_lock_acquire(&heap->lock);
    bool admitted = heap->mapped_count < cell_option.mmap_max && cell_heap_may_take(heap, size);
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

    cell_lock_acquire(&heap->lock);
    learn_use(heap, m);
    abandon(heap, m);
    cell_chunk_erase(&m->chunk);
    follow_threshold(heap, size);
    bool kept = keep_in_cache(heap, start, size);
    heap->counts.unmaps += !kept;
    cell_lock_release(&heap->lock);
    if (!kept)
        cell_os_unmap(start, size);
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
    if (size > old_size && !cell_heap_may_take(heap, size - old_size))
        return NULL;

    /* The list must not lead here while the system moves the mapping. What is full is grown to be filled again. */
    cell_lock_acquire(&heap->lock);
    abandon(heap, m);
    cell_lock_release(&heap->lock);
    bool full = size > old_size && cell_os_is_resident(m->start + old_size - cell_os_page_size());
    char *start = cell_os_remap(m->start, old_size, size, may_move);
    if (start != NULL) {
        m = (struct cell_mapped *)(start + offset - CELL_MAPPED_PREFIX);
        write_header(m, start, size, full ? populate(heap, start + old_size, size - old_size) : start + size);
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
