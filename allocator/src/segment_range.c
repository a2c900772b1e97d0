/* segment_range.c - where the range of a segment lies.
 *
 * On 64 bits a range lies at a place of its own with nothing above it, in which it grows; what it has not grown to is not mapped, so
 * that a limit of the address space (RLIMIT_AS) counts only what is committed, whenever it comes, and mlockall() locks no more. Where
 * there is no such place, on 32 bits, and for separate heaps of a capacity beyond a place, it is reserved: address space without access.
 *
 *      66 .. 75 TiB   the first heap, somewhere          |   76 .. 85 TiB   separate heaps, a place of 32 GiB for each
 *
 * That is above what V8 chooses at random (up to 64 TiB) and below position-independent programs (from 85 TiB on); mappings that the
 * system places begin below 60 TiB or come down from 128 TiB. On arm64, where they may begin at 64 to 96 TiB, all lies 36 TiB higher: below
 * programs (from 170 TiB on), or with 47 bits of address above them (85 to 101 TiB) and, the first heap, below what comes down from 112 to 128.
 * With 39 bits the first heap has a place at 128 to 192 GiB, and ends below programs (from 341 GiB on); separate heaps have none.
 */
#include <string.h>

#include "minmax.h"
#include "os.h"
#include "segment.h"

#if SIZE_MAX > UINT32_MAX
#define RANGE_DEFAULT     ((size_t)1 << 40)     /* address space alone */
#define LOW_FROM          ((uintptr_t)1 << 37)
#define LOW_SPREAD        ((uintptr_t)1 << 36)
#define LOW_RANGE         ((size_t)1 << 37)
#ifndef __aarch64__
#define FIRST_FROM        ((uintptr_t)66 << 40)
#else
#define FIRST_FROM        ((uintptr_t)102 << 40)
#endif
#define FIRST_SPREAD      ((uintptr_t)8 << 40)
#define OTHERS_FROM       (FIRST_FROM + ((uintptr_t)10 << 40))
#define OTHERS_SPREAD     ((uintptr_t)1 << 40)
#define PLACE_BYTES       ((size_t)1 << 35)
#define PLACES            256u
#define ATTEMPTS_MAX      8u
#else
#define RANGE_DEFAULT     ((size_t)1 << 30)
#define LOW_FROM          ((uintptr_t)6 << 28)  /* between programs with their brk area and the system's mappings */
#define LOW_SPREAD        ((uintptr_t)1 << 28)
#define LOW_RANGE         RANGE_DEFAULT
#endif

/* Of a limit of the address space that a reservation may take. */
#define FIRST_SHARE       2u
#define OTHER_SHARE       16u

/* Bytes of infos, the page that they share with kind[], and kind[]. */
static CELL_AT_START size_t tables_bytes(size_t range)
{
    size_t page = cell_os_page_size(), pages = range >> CELL_PAGE_SHIFT;

    return cell_round_up(pages * sizeof(struct cell_page_info), page) + page + cell_round_up(pages, page);
}

/* Infos downwards and kind[] upwards from the middle of a page, then the range itself from a huge page's boundary on, whose first part is
 * committed. */
static CELL_AT_START bool settle(struct cell_segment *seg, char *start, size_t range)
{
    size_t page = cell_os_page_size();

    seg->kind = (uint8_t *)start + cell_round_up((range >> CELL_PAGE_SHIFT) * sizeof(struct cell_page_info), page) + page / 2;
    seg->base = (char *)cell_round_up((uintptr_t)start + tables_bytes(range), CELL_HUGE_PAGE);
    seg->range_end = range;
    return cell_segment_grow(seg, CELL_PAGE);
}

/* A number that does not tell what headers and links are protected by. */
static CELL_AT_START uintptr_t random_offset(uintptr_t spread, unsigned shift)
{
    return (uintptr_t)(cell_os_random(CELL_OS_RANDOM_PLACE) >> shift) & (spread - 1) & ~(uintptr_t)(CELL_HUGE_PAGE - 1);
}

/* Somewhere in a part of the address space; a few times, if something is there. */
static CELL_AT_START bool settle_within(struct cell_segment *seg, uintptr_t from, uintptr_t spread, size_t range)
{
    for (unsigned attempt = 0; attempt < 2; attempt++) {
        if (settle(seg, (char *)(from + random_offset(spread, attempt * 8)), range))
            return true;
        cell_segment_destroy(seg);
    }
    return false;
}

#if SIZE_MAX > UINT32_MAX

static CELL_AT_START bool settle_first(struct cell_segment *seg)
{
    return settle_within(seg, FIRST_FROM, FIRST_SPREAD, RANGE_DEFAULT) || settle_within(seg, LOW_FROM, LOW_SPREAD, LOW_RANGE);
}

static uint64_t places[PLACES / 64];            /* bits: taken */

static bool take_place(unsigned place)
{
    uint64_t bit = (uint64_t)1 << (place % 64);

    return (__atomic_fetch_or(&places[place / 64], bit, __ATOMIC_RELAXED) & bit) == 0;
}

static void leave_place(const struct cell_segment *seg)
{
    unsigned place = seg->place - 1;

    if (seg->place != 0)
        __atomic_fetch_and(&places[place / 64], ~((uint64_t)1 << (place % 64)), __ATOMIC_RELAXED);
}

/* The first place that nobody has, or one of the next, should something be mapped there: the places of another copy of the library, which
 * counts its own, or it begins elsewhere. */
__attribute__((cold, noinline))
static bool settle_other(struct cell_segment *seg, size_t range)
{
    if (range > PLACE_BYTES / 2)                /* the rest is for its tables */
        return false;
    unsigned from = (unsigned)((uintptr_t)places / sizeof places % PLACES), attempts = 0;
    char *first = (char *)(OTHERS_FROM + random_offset(OTHERS_SPREAD, 24));     /* of bits that do not place the first heap */
    for (unsigned i = 0; i < PLACES && attempts < ATTEMPTS_MAX; i++) {
        unsigned place = (from + i) % PLACES;
        if (!take_place(place))
            continue;
        attempts++;
        seg->place = place + 1;
        if (settle(seg, first + place * PLACE_BYTES, range))
            return true;
        cell_segment_destroy(seg);
    }
    return false;
}

#else

/* Others need what address space there is: only under a limit of it, which would count a reservation. */
static CELL_AT_START bool settle_first(struct cell_segment *seg)
{
    return cell_os_address_limit() != SIZE_MAX && settle_within(seg, LOW_FROM, LOW_SPREAD, LOW_RANGE);
}

static bool settle_other(struct cell_segment *seg, size_t range)
{
    (void)seg, (void)range;
    return false;
}

static void leave_place(const struct cell_segment *seg)
{
    (void)seg;
}

#endif

/* One reservation for tables and range. */
static bool reserve(struct cell_segment *seg, size_t range)
{
    size_t size = tables_bytes(range) + CELL_HUGE_PAGE - cell_os_page_size() + range;

    seg->map = cell_os_reserve(size);
    if (seg->map == NULL)
        return false;
    bool settled = settle(seg, seg->map, range);
    cell_os_unmap(seg->base + range, (size_t)(seg->map + size - seg->base) - range);
    if (!settled)
        cell_segment_destroy(seg);
    return settled;
}

/* As much as can be had; of a limit, at most a share. */
__attribute__((cold, noinline))
static bool settle_reserved(struct cell_segment *seg, size_t range, size_t share)
{
    size_t limit = cell_os_address_limit();

    if (limit != SIZE_MAX)
        range = cell_max(cell_min(range, limit / share) & ~(CELL_HUGE_PAGE - 1), CELL_HUGE_PAGE);
    while (!reserve(seg, range)) {
        if (range == CELL_HUGE_PAGE)
            return false;
        range = cell_max((range / 4) & ~(CELL_HUGE_PAGE - 1), CELL_HUGE_PAGE);
    }
    return true;
}

bool cell_segment_init(struct cell_segment *seg, size_t range)
{
    memset(seg, 0, sizeof *seg);
    seg->whole = seg;
    seg->huge_from = SIZE_MAX;
    if (range == 0)
        return settle_first(seg) || settle_reserved(seg, RANGE_DEFAULT, FIRST_SHARE);
    range = cell_round_up(range, CELL_HUGE_PAGE);
    return settle_other(seg, range) || settle_reserved(seg, range, OTHER_SHARE);
}

size_t cell_segment_gap(void)
{
    return cell_os_page_size() / 2 * CELL_PAGE;
}

bool cell_segment_init_part(struct cell_segment *part, struct cell_segment *whole, size_t from, size_t to)
{
    *part = (struct cell_segment){ .base = whole->base, .kind = whole->kind, .whole = whole, .start = from, .committed = from,
                                   .range_end = to, .huge_from = SIZE_MAX };
    return cell_segment_grow(part, CELL_PAGE);
}

void cell_segment_destroy(struct cell_segment *seg)
{
    if (seg->map != NULL) {
        cell_os_unmap(seg->map, (size_t)(seg->base - seg->map) + seg->range_end);
    } else if (seg->kind_committed != 0) {
        cell_os_unmap((char *)seg->kind - seg->info_committed, seg->info_committed + seg->kind_committed);
        cell_os_unmap(seg->base, seg->committed);
    }
    leave_place(seg);
    seg->map = NULL;
    seg->place = 0;
    seg->kind_committed = seg->info_committed = seg->committed = 0;
}
