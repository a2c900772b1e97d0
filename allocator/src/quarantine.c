#include "quarantine.h"

#include <string.h>

#include "arena.h"
#include "os.h"
#include "tunables.h"

#define BUCKETS 1024u

struct entry {
    char *block;
    struct cell_extent mapping;     /* start NULL: a block of the heap, `size` bytes of it zero */
    uint32_t next;                  /* in the chain of its bucket: index + 1 */
};

static struct {
    struct cell_lock lock;
    struct entry *ring;
    size_t capacity, first, count, bytes;
    uint32_t bucket[BUCKETS];       /* index + 1 */
} quarantine;

static uint32_t *bucket_of(const void *block)
{
    return &quarantine.bucket[(uintptr_t)block / CELL_ALIGN * 2654435761u >> 8 & (BUCKETS - 1)];
}

/* Memory that it keeps from other uses. */
static size_t held(const struct entry *entry)
{
    return entry->mapping.start == NULL ? entry->mapping.size : 0;
}

/* ---- the ring, lock held ----------------------------------------------------------------------------------------- */

static bool make_ring(void)
{
    size_t page = cell_os_page_size();
    size_t bytes = (cell_option.quarantine_blocks * sizeof(struct entry) + page - 1) & ~(page - 1);

    if (quarantine.ring == NULL && bytes != 0)
        quarantine.ring = cell_os_map(bytes);
    quarantine.capacity = quarantine.ring == NULL ? 0 : cell_option.quarantine_blocks;
    return quarantine.ring != NULL;
}

static bool push(const struct entry *entry)
{
    if (!make_ring() || quarantine.count == quarantine.capacity ||
        quarantine.bytes + held(entry) > cell_option.quarantine_bytes)
        return false;
    size_t at = (quarantine.first + quarantine.count++) % quarantine.capacity;
    quarantine.ring[at] = *entry;
    quarantine.bytes += held(entry);
    if (entry->mapping.start != NULL) {
        quarantine.ring[at].next = *bucket_of(entry->block);
        *bucket_of(entry->block) = (uint32_t)at + 1;
    }
    return true;
}

static void unchain(const struct entry *entry)
{
    uint32_t *link = bucket_of(entry->block);

    while (&quarantine.ring[*link - 1] != entry)
        link = &quarantine.ring[*link - 1].next;
    *link = entry->next;
}

static bool pop(struct entry *oldest)
{
    if (quarantine.count == 0)
        return false;
    struct entry *entry = &quarantine.ring[quarantine.first];
    if (entry->mapping.start != NULL)
        unchain(entry);
    *oldest = *entry;
    quarantine.bytes -= held(entry);
    quarantine.first = (quarantine.first + 1) % quarantine.capacity;
    quarantine.count--;
    return true;
}

/* ---- coming and going ------------------------------------------------------------------------------------------------ */

static bool is_zero(const char *bytes, size_t size)
{
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

static void let_go(const struct entry *entry)
{
    if (entry->mapping.start != NULL) {
        cell_os_unmap(entry->mapping.start, entry->mapping.size);
        return;
    }
    CELL_CHECK(is_zero(entry->block, entry->mapping.size), CELL_FATAL_QUARANTINE);
    cell_heap_give(cell_arena_heap_of(entry->block), entry->block);
}

/* Makes room, oldest first; what would not fit into the empty quarantine goes at once. */
static void add(struct entry entry)
{
    for (bool placed = false, any = true; !placed; ) {
        struct entry oldest;

        cell_lock_acquire(&quarantine.lock);
        placed = push(&entry);
        if (!placed)
            any = held(&entry) <= cell_option.quarantine_bytes && pop(&oldest);
        cell_lock_release(&quarantine.lock);
        if (placed)
            return;
        let_go(any ? &oldest : &entry);
        if (!any)
            return;
    }
}

void cell_quarantine_add(void *block, size_t size)
{
    add((struct entry){ block, { NULL, size }, 0 });
}

void cell_quarantine_add_unmapped(void *block, struct cell_extent mapping)
{
    add((struct entry){ block, mapping, 0 });
}

bool cell_quarantine_has_unmapped(const void *block)
{
    bool found = false;

    cell_lock_acquire(&quarantine.lock);
    for (uint32_t at = *bucket_of(block); at != 0 && !found; at = quarantine.ring[at - 1].next)
        found = quarantine.ring[at - 1].block == block;
    cell_lock_release(&quarantine.lock);
    return found;
}

bool cell_quarantine_is_intact(void)
{
    bool intact = true;

    cell_lock_acquire(&quarantine.lock);
    for (size_t i = 0; i < quarantine.count && intact; i++) {
        const struct entry *entry = &quarantine.ring[(quarantine.first + i) % quarantine.capacity];
        intact = entry->mapping.start != NULL || is_zero(entry->block, entry->mapping.size);
    }
    cell_lock_release(&quarantine.lock);
    return intact;
}

void cell_quarantine_empty(void)
{
    bool more = true;

    while (more) {
        struct entry oldest;

        cell_lock_acquire(&quarantine.lock);
        more = pop(&oldest);
        cell_lock_release(&quarantine.lock);
        if (more)
            let_go(&oldest);
    }
}

void cell_quarantine_count(uint64_t *blocks, uint64_t *bytes)
{
    cell_lock_acquire(&quarantine.lock);
    *blocks = quarantine.count;
    *bytes = quarantine.bytes;
    cell_lock_release(&quarantine.lock);
}

void cell_quarantine_lock(void)
{
    cell_lock_acquire(&quarantine.lock);
}

void cell_quarantine_unlock(void)
{
    cell_lock_release(&quarantine.lock);
}

void cell_quarantine_reset_lock(void)
{
    cell_lock_reset(&quarantine.lock);
}
