#include "segment.h"

#include <string.h>

#include "minmax.h"
#include "os.h"
#include "tunables.h"

#define MIB               ((size_t)1 << 20)
#define HUGE_PAGES        (CELL_HUGE_PAGE >> CELL_PAGE_SHIFT)
#define COMMIT_MIN        MIB
#define COMMIT_MAX        (64 * MIB)
#define BATCH_MAX         ((size_t)64)          /* pages brought in beyond need */
#define CALL_MAX          ((size_t)512)         /* pages brought in by one call */
#define LARGE_USE_MAX     4                     /* bounds of what is learnt about large blocks */

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static size_t pages_of(size_t bytes)
{
    return bytes >> CELL_PAGE_SHIFT;
}

static bool commit(const struct cell_segment *seg, char *start, size_t size)
{
    return seg->whole->map != NULL ? cell_os_commit(start, size) : cell_os_map_at(start, size);
}

/* Bytes of a table to have committed so that it holds `need`; it grows by a quarter at a time. */
static size_t table_size(size_t committed, size_t need, size_t maximum)
{
    size_t page = cell_os_page_size();

    if (need <= committed)
        return committed;
    size_t size = cell_round_up(cell_max(need, committed + committed / 4) - page / 2, 4 * page);
    return page / 2 + cell_min(size, cell_round_up(cell_max(maximum, page / 2) - page / 2, page));
}

/* Commits the parts of the tables that describe the range from its start to `end`. They begin in the middle of a page: that of the
 * whole range, of the same one. */
static bool commit_tables(struct cell_segment *seg, size_t end)
{
    size_t first = pages_of(seg->start), pages = pages_of(end) - first, maximum = pages_of(seg->range_end) - first;
    size_t unit = sizeof(struct cell_page_info), half = cell_os_page_size() / 2;
    char *kinds = (char *)seg->kind + first, *infos = (char *)seg->kind - first * unit;

    if (seg->kind_committed == 0) {
        if (!commit(seg, kinds - half, 2 * half))
            return false;
        seg->kind_committed = half;
    }
    if (seg->info_committed == 0) {
        if (infos != kinds && !commit(seg, infos - half, 2 * half))
            return false;
        seg->info_committed = half;
    }
    size_t kind = table_size(seg->kind_committed, pages, maximum);
    size_t info = table_size(seg->info_committed, pages * unit, maximum * unit);
    if (kind > seg->kind_committed && !commit(seg, kinds + seg->kind_committed, kind - seg->kind_committed))
        return false;
    seg->kind_committed = kind;
    if (info > seg->info_committed && !commit(seg, infos - info, info - seg->info_committed))
        return false;
    seg->info_committed = info;
    return true;
}

/* Huge pages once the heap is many times their size, so that a half-empty one at its end does not weigh. Up to a huge page's size there
 * can be none. */
static void choose_page_size(struct cell_segment *seg, size_t from, size_t to)
{
    size_t start = seg->start, huge_min = start + cell_round_up(cell_option.huge_min, CELL_HUGE_PAGE), small_to = huge_min;

    if (seg->huge_from == SIZE_MAX) {
        bool large_by_use = seg->resident << CELL_PAGE_SHIFT >= cell_option.huge_min / 2;    /* what a large alignment skips is no heap */
        bool pays = to >= start + cell_option.huge_min && cell_huge_pays(&seg->whole->huge);    /* from that size on it is worth a look */
        if (pays && large_by_use) {
            seg->huge_from = cell_round_up(cell_max(from, start + cell_option.huge_min), CELL_HUGE_PAGE);
        } else if (cell_huge_is_available(&seg->whole->huge)) {
            small_to = to;
            cell_huge_went_without(&seg->whole->huge, to - from);
        }
        size_t small = from - start < CELL_HUGE_PAGE ? start : from;
        if (small < small_to && to - start >= CELL_HUGE_PAGE)
            cell_os_no_huge(seg->base + small, cell_min(to, small_to) - small);
    }
    from = cell_max(from, seg->huge_from);
    if (from < to)
        cell_os_huge(seg->base + from, to - from);
}

/* Frees read it without a lock, and arenas grow at the same time. */
static void raise_slots(size_t *slots, size_t to)
{
    size_t now = __atomic_load_n(slots, __ATOMIC_RELAXED);

    while (now < to && !__atomic_compare_exchange_n(slots, &now, to, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        continue;
}

static bool grow_to(struct cell_segment *seg, size_t target)
{
    if (!commit_tables(seg, target) || !commit(seg, seg->base + seg->committed, target - seg->committed))
        return false;
    memset(seg->kind + pages_of(seg->committed), CELL_PAGE_ABSENT, pages_of(target - seg->committed));
    choose_page_size(seg, seg->committed, target);
    __atomic_store_n(&seg->committed, target, __ATOMIC_RELAXED);
    raise_slots(&seg->slots, target / CELL_ALIGN);
    raise_slots(&seg->whole->slots, target / CELL_ALIGN);
    return true;
}

bool cell_segment_grow(struct cell_segment *seg, size_t bytes)
{
    size_t size = seg->committed - seg->start, unit = size >= cell_option.huge_min ? CELL_HUGE_PAGE : COMMIT_MIN;
    size_t step = cell_min(cell_max(size / 4, COMMIT_MIN), COMMIT_MAX);

    if (bytes > seg->range_end - seg->committed)
        return false;
    size_t least = cell_min(cell_round_up(seg->committed + bytes, unit), seg->range_end);
    size_t target = cell_min(cell_round_up(seg->committed + cell_max(bytes, step), unit), seg->range_end);

    bool grown = grow_to(seg, target) || (least < target && grow_to(seg, least));
    __atomic_store_n(&seg->refused, !grown, __ATOMIC_RELAXED);
    return grown;
}

static void add_resident(struct cell_segment *seg, size_t pages)
{
    if (seg->whole != seg) {
        __atomic_add_fetch(&seg->whole->parts_resident, pages, __ATOMIC_RELAXED);
        __atomic_add_fetch(&seg->whole->parts_brought_in, pages, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&seg->resident, seg->resident + pages, __ATOMIC_RELAXED);
    __atomic_store_n(&seg->brought_in, seg->brought_in + pages, __ATOMIC_RELAXED);
}

static void remove_resident(struct cell_segment *seg, size_t pages)
{
    pages = cell_min(pages, seg->resident);
    if (seg->whole != seg)
        __atomic_sub_fetch(&seg->whole->parts_resident, pages, __ATOMIC_RELAXED);
    __atomic_store_n(&seg->resident, seg->resident - pages, __ATOMIC_RELAXED);
}

static size_t absent_run(const struct cell_segment *seg, size_t page, size_t limit)
{
    size_t end = page;

    while (end < limit && seg->kind[end] == CELL_PAGE_ABSENT)
        end++;
    return end - page;
}

/* Pages to bring in beyond need: a small share of the heap, so that slack never weighs. */
static size_t batch_pages(const struct cell_segment *seg)
{
    size_t share = cell_option.populate_share == 0 ? 0 : cell_segment_resident(seg) / cell_option.populate_share;
    size_t os_page = pages_of(cell_os_page_size());

    return cell_max(cell_min(share, BATCH_MAX), os_page == 0 ? 1 : os_page);
}

size_t cell_segment_populate_batch(const struct cell_segment *seg, size_t size)
{
    return cell_option.populate_share == 0 ? 0 : cell_min(size, batch_pages(seg) << CELL_PAGE_SHIFT);
}

size_t cell_segment_populate_ahead(const struct cell_segment *seg, size_t size)
{
    if (cell_option.populate_share == 0)
        return 0;
    if (size < cell_option.populate_max)
        return size;
    int large_use = __atomic_load_n(&seg->large_use, __ATOMIC_RELAXED);
    if (large_use > 0)                  /* the rest tells, when the block is freed, whether this still holds */
        return cell_min(size - size / 8, __atomic_load_n(&seg->large_used, __ATOMIC_RELAXED));
    if (large_use < 0)
        return 0;
    return cell_segment_populate_batch(seg, size);
}

void cell_segment_note_large_use(struct cell_segment *seg, size_t size, bool used)
{
    int use = seg->large_use;

    if (used && size > seg->large_used)
        __atomic_store_n(&seg->large_used, size, __ATOMIC_RELAXED);
    use = used ? use + (use < LARGE_USE_MAX) : max_int(use - 2, -LARGE_USE_MAX);
    __atomic_store_n(&seg->large_use, use, __ATOMIC_RELAXED);
}

/* Leaves the absent pages from `page` to `last` to be brought in later. False: they are no part of one run with those left before, or
 * no call has brought pages in yet and perhaps none can.
 * cold: not near what a program's start needs. */
__attribute__((cold, noinline))
static bool postpone(struct cell_segment *seg, size_t page, size_t last, struct cell_postponed *postponed)
{
    char *start = cell_segment_page_start(seg, page);
    size_t run = absent_run(seg, page, cell_min(last + 1, pages_of(seg->huge_from)));

    if (seg->populate_calls == 0 || cell_option.populate_share == 0 || cell_os_page_size() != CELL_PAGE ||
        (postponed->size != 0 && postponed->start + postponed->size != start))
        return false;
    if (postponed->size == 0)
        postponed->start = start;
    postponed->size += run << CELL_PAGE_SHIFT;
    seg->populate_calls += postponed->start == start;
    seg->populated_pages += run;
    memset(seg->kind + page, CELL_PAGE_POPULATED, run);
    add_resident(seg, run);
    return true;
}

void cell_segment_bring_in(const struct cell_postponed *postponed)
{
    cell_os_populate(postponed->start, postponed->size);
}

/* Whether huge pages are asked for at a page. Once they do not pay they are no more; what has come in as such remains so. */
static bool is_for_huge(struct cell_segment *seg, size_t page)
{
    if ((page << CELL_PAGE_SHIFT) < seg->huge_from)
        return false;
    if (cell_huge_pays(&seg->whole->huge))
        return true;
    cell_os_no_huge(seg->base + seg->huge_from, seg->committed - seg->huge_from);
    seg->huge_from = SIZE_MAX;
    return false;
}

/* Brings in the absent page `page` where huge pages are asked for. With `now` a huge page of which nothing is there comes in by a call, to
 * see what it takes; any other does by its first touch, which may never come. */
__attribute__((cold, noinline))
static void bring_in_huge(struct cell_segment *seg, size_t page, bool now)
{
    size_t unit = page & ~(HUGE_PAGES - 1), end = cell_min(unit + HUGE_PAGES, pages_of(seg->committed));

    if (now && absent_run(seg, unit, end) == HUGE_PAGES && cell_huge_bring_in(&seg->whole->huge, cell_segment_page_start(seg, unit))) {
        seg->populate_calls++;
        seg->populated_pages += HUGE_PAGES;
    }
    for (size_t i = unit; i < end; i++)
        if (seg->kind[i] == CELL_PAGE_ABSENT) {
            seg->kind[i] = CELL_PAGE_POPULATED;
            add_resident(seg, 1);
        }
}

/* Brings in the absent page `page` and a batch of its successors. `last` is the last page that is sure to be needed. */
static void bring_in(struct cell_segment *seg, size_t page, size_t last, struct cell_postponed *postponed)
{
    size_t end_of_range = pages_of(seg->committed);

    if (postponed != NULL && postpone(seg, page, last, postponed))
        return;
    size_t want = cell_max(cell_min(last + 1 - page, CALL_MAX), batch_pages(seg));
    size_t run = absent_run(seg, page, cell_min(cell_min(page + want, end_of_range), pages_of(seg->huge_from)));
    char *start = cell_segment_page_start(seg, page);
    char *end = start + (run << CELL_PAGE_SHIFT);
    uintptr_t os_mask = cell_os_page_size() - 1;

    start = (char *)((uintptr_t)start & ~os_mask);
    end = (char *)(((uintptr_t)end + os_mask) & ~os_mask);
    if (cell_option.populate_share != 0 && cell_os_populate(start, (size_t)(end - start))) {
        seg->populate_calls++;
        seg->populated_pages += run;
    } else {
        run = 1;
    }
    memset(seg->kind + page, CELL_PAGE_POPULATED, run);
    add_resident(seg, run);
}

struct cell_zero_run cell_segment_touch_slow(struct cell_segment *seg, void *from, void *to, struct cell_postponed *postponed)
{
    size_t first = cell_segment_page_of(seg, from), last = cell_segment_page_of(seg, (char *)to - 1);
    size_t zero_first = last + 1, zero_last = last + 1;
    size_t ahead = last;

    if (last - first >= pages_of(cell_option.populate_max))
        ahead = first + pages_of(cell_segment_populate_ahead(seg, (size_t)((char *)to - (char *)from)));
    for (size_t page = first; page <= last; page++) {
        uint8_t kind = seg->kind[page];
        if (kind == CELL_PAGE_CHUNK || kind >= CELL_PAGE_POOL) {
            if (zero_first <= last && zero_last > last)
                zero_last = page;
            continue;
        }
        if (kind == CELL_PAGE_ABSENT) {
            if (is_for_huge(seg, page))
                bring_in_huge(seg, page, page <= ahead && postponed == NULL);
            else if (page <= ahead)
                bring_in(seg, page, ahead, postponed);
            else
                add_resident(seg, 1);           /* left to faults */
        }
        if (zero_first > last)
            zero_first = page;
        seg->kind[page] = CELL_PAGE_CHUNK;
    }
    if (zero_first > last)
        return (struct cell_zero_run){ to, to };

    char *begin = cell_segment_page_start(seg, zero_first), *end = cell_segment_page_start(seg, zero_last);
    return (struct cell_zero_run){ begin < (char *)from ? from : begin, end > (char *)to ? to : end };
}

size_t cell_segment_absent(const struct cell_segment *seg, const void *from, size_t size)
{
    size_t first = cell_segment_page_of(seg, from), committed = pages_of(seg->committed);
    size_t end = first + pages_of(cell_round_up(size, CELL_PAGE)) + 1;
    size_t within = end < committed ? end : committed, absent = end - within;

    for (size_t page = first; page < within; page++)
        absent += seg->kind[page] == CELL_PAGE_ABSENT;
    return absent << CELL_PAGE_SHIFT;
}

/* Purges one run of pages that have memory. */
static size_t purge_run(struct cell_segment *seg, size_t page, size_t end)
{
    if (!cell_os_purge(cell_segment_page_start(seg, page), (end - page) << CELL_PAGE_SHIFT))
        return 0;
    memset(seg->kind + page, CELL_PAGE_ABSENT, end - page);
    remove_resident(seg, end - page);
    seg->purge_calls++;
    seg->purged_pages += end - page;
    return end - page;
}

size_t cell_segment_purge(struct cell_segment *seg, void *from, void *to)
{
    size_t os_page = cell_max(cell_os_page_size(), CELL_PAGE);
    size_t page = pages_of(cell_round_up((size_t)((char *)from - seg->base), os_page));
    size_t end = pages_of(((size_t)((char *)to - seg->base)) & ~(os_page - 1));
    size_t purged = 0;

    while (page < end) {
        size_t run = page;
        while (run < end && seg->kind[run] != CELL_PAGE_ABSENT)
            run++;
        if (run > page)
            purged += purge_run(seg, page, run);
        page = run;
        page += absent_run(seg, page, end);
    }
    return purged << CELL_PAGE_SHIFT;
}
