/* segment.h - the range of address space that a heap lives in, and what is known of each of its pages.
 *
 *      base                      top (heap.c)        committed            end of the range
 *       |  chunks and pools ...   |  never used yet     |  nothing yet        |
 *
 *      kind[]   one byte for each 4 KiB page: in use by chunks, known to be zero, or pool of class k
 *      info     16 bytes for each page, of use to pool.c only; downwards from kind[], so that a small heap's tables share a page
 *
 * The range of an arena (arena.h) is a part of the first heap's, whose base and tables it shares: a page has one number for all.
 *
 * Called by heap.c under its lock. Memory comes in two steps: committed (mapped, writable), populated (pages present; by one call for
 * several of them, since a fault costs ten times as much). Where the range lies, and whether it is reserved beforehand, is in
 * segment_range.c.
 *
 * Invariants
 *   S1  base + start <= committed end <= end of the range; kind[] and the infos cover all that is committed.
 *   S2  A page of kind ABSENT or POPULATED reads as zero, and no chunk header, link or footer lies in it.
 *   S3  `resident` counts the pages below the committed end that are not ABSENT, as far as we can know.
 */
#ifndef CELL_SEGMENT_H
#define CELL_SEGMENT_H

#include "chunk.h"
#include "hugepage.h"
#include "place.h"

enum cell_page_kind {
    CELL_PAGE_CHUNK = 0,        /* written to, or about to be */
    CELL_PAGE_ABSENT,           /* zero, without memory */
    CELL_PAGE_POPULATED,        /* zero, with memory */
    CELL_PAGE_RESERVED_KIND,    /* last one that is not a pool's */
    CELL_PAGE_POOL = 16,        /* and above: byte offset of the pool's class in a thread cache's bins */
};

/* Descriptor of a pool, by page index; pool.c gives the fields their meaning. */
struct cell_page_info {
    uint32_t next, prev;
    uint16_t free_head;         /* offset of the stack's top in the page, + 1; 0: none */
    uint16_t free_count, carved;
    uint8_t  pool_class, until_relink;
};

struct cell_segment {
    /* One cache line that every free reads and that seldom changes. */
    _Alignas(64) char *base;
    size_t slots;                               /* committed / CELL_ALIGN, that of the last part where there are parts */
    uint8_t *kind;
    size_t committed, range_end;                /* bytes from base */
    size_t start;                               /* the same */
    struct cell_segment *whole;                 /* that this is a part of, or itself */
    /* What changes under the heap's lock. */
    char *map;                                  /* what is reserved: infos, kind[], range; NULL: nothing, or a part of another's */
    unsigned place;                             /* number of its own place, from 1; 0: none */
    size_t kind_committed, info_committed;      /* bytes */
    size_t resident;                            /* pages */
    size_t huge_from;                           /* offset from which huge pages were asked for; SIZE_MAX: nowhere */
    bool refused;                               /* growth, the last time, by the system */
    int large_use;                              /* > 0: large blocks have turned out to be used to their ends */
    size_t large_used;                          /* bytes of the largest of them */
    _Alignas(8) uint64_t brought_in;            /* pages, ever, by calls and by faults */
    /* The same two of all its parts, which have locks of their own. */
    size_t parts_resident;
    _Alignas(8) uint64_t parts_brought_in;
    uint64_t populate_calls, populated_pages, purge_calls, purged_pages;
    struct cell_huge_account huge;              /* that of the whole counts */
};

/* Pages that are counted as brought in and will be when the heap's lock has been released, by whoever gets the block. */
struct cell_postponed {
    char *start;
    size_t size;                                /* bytes; 0: none */
};

/* Where a range was known to be zero: the first run of such bytes, empty when begin == end. */
struct cell_zero_run {
    char *begin, *end;
};

/* A range of so many bytes, whose first part is committed; 0: as much as is sensible, for a program's first heap. False: not even a small
 * one was to be had. */
bool cell_segment_init(struct cell_segment *seg, size_t range) CELL_AT_START;
/* Bytes that the range, or a part of it, leaves unused before the next part: what describes them shares a page with what describes that. */
size_t cell_segment_gap(void) __attribute__((cold));
/* `part` is to be [from, to) of the range of `whole`, of which nothing there is committed, and grows in it, its first part committed; bytes
 * from base, multiples of a huge page. False: no memory. */
bool cell_segment_init_part(struct cell_segment *part, struct cell_segment *whole, size_t from, size_t to);
void cell_segment_destroy(struct cell_segment *seg) __attribute__((cold));
/* Commits at least `bytes` more. False: the range or the system's memory is used up. */
bool cell_segment_grow(struct cell_segment *seg, size_t bytes);
/* Must precede any write to [from, to): brings absent pages in, a batch at a time, and takes their zero mark away. Where `postponed` is
 * not NULL, pages without memory may be left to it instead, those of the range alone. */
static inline struct cell_zero_run cell_segment_touch(struct cell_segment *seg, void *from, void *to, struct cell_postponed *postponed);
void cell_segment_bring_in(const struct cell_postponed *postponed) __attribute__((cold));
/* How many of `size` bytes to bring in where nothing tells whether they will be used: so few that slack does not weigh. */
size_t cell_segment_populate_batch(const struct cell_segment *seg, size_t size);
/* How many of the first bytes of a fresh block of `size` bytes to bring in before they are asked for: small blocks whole;
 * large ones a batch, or, once such blocks have proved to be used whole, as far as the largest of them and nearly to the end. */
size_t cell_segment_populate_ahead(const struct cell_segment *seg, size_t size);
/* Learns whether a large block of `size` bytes, left to faults from some point on, was used beyond it. */
void cell_segment_note_large_use(struct cell_segment *seg, size_t size, bool used);
static inline bool cell_segment_large_are_unused(const struct cell_segment *seg)
{
    return __atomic_load_n(&seg->large_use, __ATOMIC_RELAXED) < 0;
}

static inline bool cell_segment_large_are_used(const struct cell_segment *seg)
{
    return __atomic_load_n(&seg->large_use, __ATOMIC_RELAXED) > 0;
}
/* Bytes of pages without memory among the `size` from `from` on, those not committed yet included. */
size_t cell_segment_absent(const struct cell_segment *seg, const void *from, size_t size);
/* Gives back the whole pages in [from, to) that have memory; returns their number of bytes. */
size_t cell_segment_purge(struct cell_segment *seg, void *from, void *to);

/* With all its parts; callable without the heap's lock. */
static inline size_t cell_segment_resident(const struct cell_segment *seg)
{
    return __atomic_load_n(&seg->resident, __ATOMIC_RELAXED) + __atomic_load_n(&seg->parts_resident, __ATOMIC_RELAXED);
}

static inline uint64_t cell_segment_brought_in(const struct cell_segment *seg)
{
    return __atomic_load_n(&seg->brought_in, __ATOMIC_RELAXED) + __atomic_load_n(&seg->parts_brought_in, __ATOMIC_RELAXED);
}

static inline size_t cell_segment_page_of(const struct cell_segment *seg, const void *p)
{
    return (size_t)((const char *)p - seg->base) >> CELL_PAGE_SHIFT;
}

/* Whether all of its range is committed, or the system refused more the last time. Callable without the heap's lock. */
static inline bool cell_segment_is_full(const struct cell_segment *seg)
{
    return __atomic_load_n(&seg->committed, __ATOMIC_RELAXED) == seg->range_end || __atomic_load_n(&seg->refused, __ATOMIC_RELAXED);
}

static inline struct cell_page_info *cell_segment_info(const struct cell_segment *seg, size_t page)
{
    return (struct cell_page_info *)seg->kind - page - 1;
}

static inline void *cell_segment_page_start(const struct cell_segment *seg, size_t page)
{
    return seg->base + (page << CELL_PAGE_SHIFT);
}

/* Where a block lies, in CELL_ALIGN from base; SIZE_MAX / 16 and more for an address below base or that is misaligned. */
static inline size_t cell_segment_slot_of(const struct cell_segment *seg, const void *p)
{
    size_t offset = (size_t)((const char *)p - seg->base);

    return offset / CELL_ALIGN | offset << (sizeof offset * 8 - 4);
}

/* Whether that is in the range. Callable without the heap's lock, like base and kind[] for a page that holds a live block. */
static inline bool cell_segment_has_slot(const struct cell_segment *seg, size_t slot)
{
    return slot < __atomic_load_n(&seg->slots, __ATOMIC_RELAXED);
}

static inline size_t cell_segment_kind_of_slot(const struct cell_segment *seg, size_t slot)
{
    return seg->kind[slot / (CELL_PAGE / CELL_ALIGN)];
}

/* Whether an address of the whole range is in this part of it, or, of the whole, in no part. */
static inline bool cell_segment_owns(const struct cell_segment *seg, const void *p)
{
    return (size_t)((const char *)p - seg->base) - seg->start < seg->range_end - seg->start;
}

/* Of any address. */
static inline bool cell_segment_holds(const struct cell_segment *seg, const void *p)
{
    return cell_segment_has_slot(seg, (size_t)((const char *)p - seg->base) / CELL_ALIGN);
}

struct cell_zero_run cell_segment_touch_slow(struct cell_segment *seg, void *from, void *to, struct cell_postponed *postponed);

static inline struct cell_zero_run cell_segment_touch(struct cell_segment *seg, void *from, void *to, struct cell_postponed *postponed)
{
    size_t page = cell_segment_page_of(seg, from), last = cell_segment_page_of(seg, (char *)to - 1);

    /* A header may lie in the last words of a pool's page. */
    while (seg->kind[page] == CELL_PAGE_CHUNK || seg->kind[page] >= CELL_PAGE_POOL)
        if (++page > last)
            return (struct cell_zero_run){ (char *)to, (char *)to };
    return cell_segment_touch_slow(seg, from, to, postponed);
}

#endif
