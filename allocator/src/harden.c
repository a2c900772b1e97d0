#include "harden.h"

#include <string.h>

#include "arena.h"
#include "mapped.h"
#include "minmax.h"
#include "os.h"
#include "quarantine.h"
#include "sizeclass.h"
#include "tcache.h"

/* Behind the canary; before the mapping's header when there is a guard page. */
struct record {
    size_t requested;
    size_t seal;        /* over the block's address and `requested`; its complement: dead */
};

/* Where a block's record lies, where its canary ends, and the bytes without access behind that. */
struct frame {
    struct record *record;
    char *end;
    size_t guard;
};

/* Linux lets a process have 65530 mappings; a block with a guard page takes two, one that waits in quarantine up to two more. At
 * the limit, even giving back and growing the heap may fail. */
#define GUARDED_MAX  8192u

/* Bytes before a block with a guard page. */
#define FRONT  (CELL_MAPPED_PREFIX + sizeof(struct record))

static struct { size_t requested_bytes, guard_blocks; } totals;

static void count(size_t *total, size_t more)
{
    __atomic_fetch_add(total, more, __ATOMIC_RELAXED);
}

static size_t seal_of(const void *block, size_t requested)
{
    uint64_t mixed = ((uintptr_t)block ^ cell_chunk_secret) * UINT64_C(0x9FB21C651E98DF25);

    mixed = ((mixed ^ mixed >> 29) + requested) * UINT64_C(0xD6E8FEB86659FD93);
    return (size_t)(mixed ^ mixed >> 32);
}

/* Never 0, the byte that an overflow by one writes most often. */
static unsigned char canary_of(const void *block)
{
    return (unsigned char)(seal_of(block, 0) | 1);
}

static bool is_in_segment(const void *block)
{
    return cell_segment_holds(&cell_heap_main.segment, block);
}

static struct record *record_at_end(const void *block, size_t usable)
{
    return (struct record *)((uintptr_t)block + usable) - 1;
}

/* Ends the program when there can be no block. */
static struct frame frame_of(const void *block)
{
    size_t usable = cell_heap_usable(&cell_heap_main, block);
    size_t guard = is_in_segment(block) ? 0 : cell_mapped_guard(block);
    struct record *record = record_at_end(block, usable);

    if (guard != 0)
        return (struct frame){ (struct record *)((uintptr_t)block - FRONT), (char *)(uintptr_t)block + usable, guard };
    return (struct frame){ record, (char *)record, 0 };
}

/* ---- records and canaries ---------------------------------------------------------------------------------------- */

static void set_requested(void *block, const struct frame *frame, size_t size)
{
    char *end = (char *)block + size;

    memset(end, canary_of(block), (size_t)(frame->end - end));
    frame->record->requested = size;
    __atomic_store_n(&frame->record->seal, seal_of(block, size), __ATOMIC_RELAXED);
}

static bool consists_of(const char *bytes, const char *end, unsigned char value)
{
    while (bytes < end && (unsigned char)*bytes == value)
        bytes++;
    return bytes == end;
}

/* The record is not that of a live block: says why. */
static _Noreturn void reject(const void *block, const struct frame *frame)
{
    bool dead = frame->record->seal == ~seal_of(block, frame->record->requested);

    if (dead || (is_in_segment(block) && cell_freed_is_tagged(block)))
        cell_fatal(CELL_FATAL_DOUBLE_FREE);
    if (is_in_segment(block) && !cell_heap_is_carved(&cell_heap_main, block))
        cell_fatal(CELL_FATAL_BAD_POINTER);
    cell_fatal(CELL_FATAL_CANARY);
}

/* The frame of a live block; ends the program when it is none, or was written past its end. */
static struct frame live_frame(const void *block)
{
    /* What waits without access has no header to read. */
    CELL_CHECK(is_in_segment(block) || !cell_quarantine_has_unmapped(block), CELL_FATAL_DOUBLE_FREE);
    struct frame frame = frame_of(block);
    const struct record *record = frame.record;

    if (__atomic_load_n(&record->seal, __ATOMIC_RELAXED) != seal_of(block, record->requested))
        reject(block, &frame);
    CELL_CHECK(consists_of((const char *)block + record->requested, frame.end, canary_of(block)), CELL_FATAL_CANARY);
    return frame;
}

bool cell_harden_is_intact(const void *block)
{
    struct frame frame = frame_of(block);
    size_t live = seal_of(block, frame.record->requested);

    return frame.record->seal == ~live ||
           (frame.record->seal == live && consists_of((const char *)block + frame.record->requested, frame.end, canary_of(block)));
}

/* Of two threads that free a block at once, one finds it dead. */
static void mark_dead(const void *block, const struct frame *frame)
{
    size_t live = seal_of(block, frame->record->requested);

    CELL_CHECK(__atomic_compare_exchange_n(&frame->record->seal, &live, ~live, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED),
               CELL_FATAL_DOUBLE_FREE);
}

size_t cell_harden_requested(const void *block)
{
    return live_frame(block).record->requested;
}

bool cell_harden_is_freed(const void *block, size_t usable)
{
    if (usable < sizeof(struct record))
        return false;
    const struct record *record = record_at_end(block, usable);
    return record->seal == ~seal_of(block, record->requested);
}

/* ---- allocation ---------------------------------------------------------------------------------------------------- */

/* Puts the block's end against the page at the end of the mapping, which loses access. An alignment beyond a page decides
 * where the block begins instead; what the mapping then has too much is given back. */
static void *alloc_guarded(size_t size, size_t alignment)
{
    size_t page = cell_os_page_size();
    bool wide = alignment > page;
    size_t room = cell_round_up(size == 0 ? 1 : size, wide ? page : alignment);
    size_t bytes = cell_round_up(FRONT + room, page) + (wide ? alignment : 0);
    char *start = cell_os_map(bytes + page), *mapping = start;

    if (start == NULL)
        return NULL;
    char *block = wide ? (char *)cell_round_up((uintptr_t)start + FRONT, alignment) : start + bytes - room;
    char *end = block + room;
    if (wide) {
        start = (char *)((uintptr_t)(block - FRONT) & ~(page - 1));
        if (start != mapping)
            cell_os_unmap(mapping, (size_t)(start - mapping));
        if (end != mapping + bytes)
            cell_os_unmap(end + page, (size_t)(mapping + bytes - end));
    }
    if (!cell_os_forbid(end, page) || !cell_mapped_adopt(&cell_heap_main, block, start, (size_t)(end - start), page)) {
        cell_os_unmap(start, (size_t)(end - start) + page);
        return NULL;
    }
    count(&totals.guard_blocks, 1);
    return block;
}

static void *alloc_plain(size_t size, size_t alignment)
{
    size_t bytes = size + sizeof(struct record);

    return alignment <= CELL_ALIGN ? cell_tcache_alloc_slow(bytes) : cell_tcache_alloc_aligned(bytes, alignment);
}

static void *alloc(size_t size, size_t alignment)
{
    void *block = NULL;

    if (cell_option.harden > 1 && size >= cell_option.guard_min &&
        __atomic_load_n(&totals.guard_blocks, __ATOMIC_RELAXED) < GUARDED_MAX)
        block = alloc_guarded(size, alignment);
    return block != NULL ? block : alloc_plain(size, alignment);
}

void *cell_harden_alloc(size_t size, size_t alignment, bool clear)
{
    if (size > CELL_REQUEST_MAX - 2 * FRONT || alignment > CELL_REQUEST_MAX / 2)
        return NULL;
    alignment = alignment < CELL_ALIGN ? CELL_ALIGN : alignment;
    void *block = alloc(size, alignment);
    if (block == NULL) {
        cell_quarantine_empty();
        block = alloc(size, alignment);     /* another thread may have been emptying it */
    }
    if (block == NULL)
        return NULL;

    struct frame frame = frame_of(block);
    set_requested(block, &frame, size);
    if (clear && frame.guard == 0)
        memset(block, 0, size);
    count(&totals.requested_bytes, size);
    return block;
}

/* ---- free and resize ------------------------------------------------------------------------------------------------- */

static void free_guarded(void *block)
{
    struct cell_extent mapping = cell_mapped_disown(&cell_heap_main, block);

    count(&totals.guard_blocks, -(size_t)1);
    cell_os_purge(mapping.start, mapping.size);
    if (cell_os_forbid(mapping.start, mapping.size))
        cell_quarantine_add_unmapped(block, mapping);
    else
        cell_os_unmap(mapping.start, mapping.size);
}

void cell_harden_free(void *block, size_t size)
{
    struct frame frame = live_frame(block);
    size_t requested = frame.record->requested;

    CELL_CHECK(size == CELL_SIZE_UNKNOWN || size == requested, CELL_FATAL_SIZED_FREE);
    mark_dead(block, &frame);
    count(&totals.requested_bytes, -requested);
    if (frame.guard != 0) {
        free_guarded(block);
    } else if (cell_option.harden > 1) {
        memset(block, 0, (size_t)(frame.end - (char *)block));
        cell_quarantine_add(block, (size_t)(frame.end - (char *)block));
    } else {
        cell_heap_give(cell_arena_heap_of(block), block);
    }
}

static void *resize(void *block, const struct frame *frame, size_t size)
{
    count(&totals.requested_bytes, size - frame->record->requested);
    set_requested(block, frame, size);
    return block;
}

void *cell_harden_resize(void *block, size_t size)
{
    struct frame frame = live_frame(block);

    return size <= (size_t)(frame.end - (char *)block) ? resize(block, &frame, size) : NULL;
}

void *cell_harden_realloc(void *block, size_t size)
{
    struct frame frame = live_frame(block);
    size_t room = (size_t)(frame.end - (char *)block), old = frame.record->requested;
    size_t waste = frame.guard != 0 ? CELL_ALIGN : room / 2 + CELL_ALIGN;   /* a guard page must stay near the end */

    if (size <= room && room - size < waste)
        return resize(block, &frame, size);
    void *moved = cell_harden_alloc(size, CELL_ALIGN, false);
    if (moved == NULL)
        return size <= room ? resize(block, &frame, size) : NULL;
    memcpy(moved, block, old < size ? old : size);
    cell_harden_free(block, CELL_SIZE_UNKNOWN);
    return moved;
}

void cell_harden_count(struct cell_harden_census *census)
{
    census->requested_bytes = __atomic_load_n(&totals.requested_bytes, __ATOMIC_RELAXED);
    census->guard_blocks = __atomic_load_n(&totals.guard_blocks, __ATOMIC_RELAXED);
}
