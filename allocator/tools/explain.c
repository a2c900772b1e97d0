/* explain.c - shows what one malloc(n) and its free do, layer by layer: `explain SIZE [DUMP]`; `make explain SIZE=n` runs it.
 *
 * A small scene comes first, so that the block has neighbours: blocks of several sizes, some of them freed. Then each step is
 * told from the heap before and after it. With DUMP the heap is written there as JSON while the block lives. Numbers of bytes
 * unless said; offsets count from the start of the heap.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cellmalloc.h"
#include "harden.h"
#include "mapped.h"
#include "moment.h"
#include "sizeclass.h"

/* One line: which layer, what it did. */
__attribute__((format(printf, 2, 3))) static void say(const char *layer, const char *format, ...)
{
    va_list arguments;

    printf("  %-13s ", layer);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
}

/* ---- malloc ---------------------------------------------------------------------------------------------------------- */

static bool is_mapped_size(size_t size)
{
    return !cell_size_is_cell(size) && size >= cell_mapped_threshold(&cell_heap_main);
}

/* Of its cell, or of its chunk. */
static size_t size_in_heap(size_t size)
{
    return cell_size_is_cell(size) ? cell_size_of_cell(size) : cell_size_of_chunk(size);
}

static bool is_cached_size(size_t size)
{
    return cell_size_is_cell(size) || size <= cell_option.cache_limit;
}

static void print_class(size_t size)
{
    if (cell_size_is_cell(size))
        say("size", "cell of %zu, without a header word (requests up to small_limit = %zu)", cell_size_of_cell(size),
            cell_option.small_limit);
    else if (is_mapped_size(size))
        say("size", "mapping of its own, in whole pages (requests from mmap_threshold = %zu on)",
            cell_mapped_threshold(&cell_heap_main));
    else
        say("size", "chunk of %zu: %zu + %zu for the header word, rounded up to a multiple of %u", cell_size_of_chunk(size), size,
            CELL_WORD, CELL_ALIGN);
}

/* True: no other layer was asked. */
static bool explain_cache(const struct moment *before, const struct moment *after, size_t size)
{
    enum cell_kind cached = cell_size_is_cell(size) ? CELL_KIND_CELL_CACHED : CELL_KIND_CHUNK_CACHED;

    if (!is_cached_size(size)) {
        say("cache", "keeps none of this size (cache_limit = %zu)", cell_option.cache_limit);
        return false;
    }
    if (cell_tcache_mine->state != CELL_TCACHE_LIVE) {
        say("cache", "is off (cache_bytes = %zu, perturb = %zu)", cell_option.cache_bytes, cell_option.perturb);
        return false;
    }
    if (after->refills == before->refills) {
        say("cache", "hands out the block freed last: no lock, no search, no other layer is asked");
        return true;
    }
    say("cache", "has no block of %zu: fetches one to hand out, and %zu to keep", size_in_heap(size),
        moment_count(after, cached, size_in_heap(size)) - moment_count(before, cached, size_in_heap(size)));
    return false;
}

static int by_size(const void *a, const void *b)
{
    size_t left = *(const size_t *)a, right = *(const size_t *)b;

    return (left > right) - (left < right);
}

/* `taken` is what lay there before; NULL: no memory yet. */
static void explain_best_fit(const struct moment *before, const struct cell_block *taken, size_t wanted, const char *where)
{
    static size_t sizes[MOMENT_BLOCKS];
    size_t count = 0;

    for (size_t i = 0; i < before->count; i++)
        if (before->block[i].kind == CELL_KIND_CHUNK_FREE)
            sizes[count++] = before->block[i].size;
    qsort(sizes, count, sizeof sizes[0], by_size);
    printf("  %-13s free chunks:", "best fit");
    for (size_t i = 0; i < count; i++)
        printf(" %zu", sizes[i]);
    if (taken == NULL || taken->kind != CELL_KIND_CHUNK_FREE)
        printf("; none has room for %zu%s, so it comes from the top\n", wanted, where);
    else
        printf("; the smallest with room for %zu%s is the one of %zu\n", wanted, where, taken->size);
}

static void explain_heap(const struct moment *before, const struct moment *after, const char *block, size_t size)
{
    const struct cell_block *taken = moment_covering(before, block, false);
    size_t wanted = size_in_heap(size);
    const char *where = "";

    if (cell_size_is_cell(size)) {
        if (after->counts.pool_adds == before->counts.pool_adds) {
            say("pools", "the fullest page of %zu-byte cells with free ones gives them", wanted);
            return;
        }
        say("pools", "no page of %zu-byte cells has free ones: a chunk of one page becomes a pool", wanted);
        wanted = CELL_PAGE;
        where = " at the start of a page";
    } else if (!is_cached_size(size) && size <= CELL_DEFERRED_MAX) {
        if (taken != NULL && taken->kind == CELL_KIND_CHUNK_CACHED) {
            say("waiting", "a freed chunk of exactly %zu has not coalesced yet: no search, no split", wanted);
            return;
        }
        say("waiting", "no freed chunk of %zu waits for its coalescing", wanted);
    }
    explain_best_fit(before, taken, wanted, where);
    if (after->counts.splits != before->counts.splits)
        say("split", "what is left over stays free (%" PRIu64 "x)", after->counts.splits - before->counts.splits);
}

static void explain_pages(const struct moment *before, const struct moment *after)
{
    if (after->committed != before->committed)
        say("segment", "%zu more of the range may be used from here on: system call", after->committed - before->committed);
    size_t pages = after->resident - before->resident, at_once = (size_t)(after->populated - before->populated);
    if (pages == 0)
        say("segment", "its pages have memory: no system call");
    else
        say("segment", "pages without memory: %zu brought in by a system call, %zu left to faults", at_once, pages - at_once);
}

static void explain_malloc(const struct moment *before, const struct moment *after, const char *block, size_t size)
{
    if (is_mapped_size(size)) {
        if (after->counts.maps != before->counts.maps)
            say("mappings", "none is kept from an earlier free: the system maps %zu, whose pages come in by faults",
                moment_covering(after, block, false)->size);
        else
            say("mappings", "one is kept from an earlier free: no system call");
    } else if (!explain_cache(before, after, size)) {
        explain_heap(before, after, block, size);
        explain_pages(before, after);
    }
}

/* ---- the block ------------------------------------------------------------------------------------------------------- */

static void print_header_word(const void *block)
{
    const struct cell_chunk *c = cell_chunk_of_user(block);
    size_t head = cell_chunk_head(c);

    say("header word", "%#zx = size %zu%s%s%s | seal %s", head, cell_chunk_size(c), cell_chunk_is_inuse(c) ? " | in use" : "",
        cell_chunk_is_prev_inuse(c) ? " | previous in use" : "", cell_chunk_is_mapped(c) ? " | mapped" : "",
        cell_chunk_is_sealed(c) ? "that fits address and size" : "BROKEN");
}

static void print_place(const char *block, size_t size)
{
    const struct cell_segment *seg = &cell_heap_main.segment;
    size_t page = cell_segment_page_of(seg, block);

    say("usable", "%zu, %zu more than asked for (internal fragmentation)", cell_usable_size(block), cell_usable_size(block) - size);
    if (!cell_segment_holds(seg, block) || seg->kind[page] < CELL_PAGE_POOL) {
        print_header_word(block);
        return;
    }
    const struct cell_page_info *pool = cell_segment_info(seg, page);
    say("header word", "none: the size is found in kind[%zu], the byte of its page", page);
    say("pool", "of %u-byte cells: %zu of %zu handed to cache and program, %u carved", seg->kind[page],
        cell_pool_capacity(pool->pool_class) - pool->free_count, cell_pool_capacity(pool->pool_class), pool->carved);
}

/* A cell is drawn among the cells of its pool, and the pool among the chunks. */
static void draw(const struct moment *now, const char *block)
{
    const struct cell_block *chunk = moment_covering(now, block, false), *cell = moment_covering(now, block, true);

    if (chunk != NULL)
        moment_draw(now, chunk);
    if (cell != NULL)
        moment_draw(now, cell);
}

/* ---- free ------------------------------------------------------------------------------------------------------------ */

/* The chunk `was` is now part of `now`: what it has merged with. */
static void explain_merge(const struct cell_block *was, const struct cell_block *now)
{
    size_t in_front = (size_t)((const char *)was->start - (const char *)now->start);
    size_t behind = now->size - in_front - was->size;

    if (now->kind == CELL_KIND_TOP)
        say("coalescing", "nothing is in use behind it: it joins the top");
    else if (in_front == 0 && behind == 0)
        say("coalescing", "both neighbours are in use: free chunk of %zu by itself", now->size);
    else if (behind == 0)
        say("coalescing", "merged with the %zu free in front of it: free chunk of %zu", in_front, now->size);
    else if (in_front == 0)
        say("coalescing", "merged with the %zu free behind it: free chunk of %zu", behind, now->size);
    else
        say("coalescing", "merged with the %zu free in front of it and the %zu behind it: free chunk of %zu", in_front, behind, now->size);
}

static void explain_place(const struct moment *before, const struct moment *after, const char *block)
{
    const struct cell_block *cell = moment_covering(after, block, true);
    const struct cell_block *was = moment_covering(before, block, false), *now = moment_covering(after, block, false);

    if (cell != NULL && cell->kind == CELL_KIND_CELL_CACHED)
        say("cache", "keeps it, still marked in use: the next malloc of its size gets it");
    else if (cell != NULL)
        say("pools", "free in its pool");
    else if (now == NULL && cell_segment_holds(&cell_heap_main.segment, block))
        say("segment", "beyond the top: its pages have gone back to the system");
    else if (now == NULL)
        say("mappings", "unmapped: the system has all of it back");
    else if (is_mapping(now))
        say("mappings", "kept for reuse");
    else if (now->kind == CELL_KIND_CHUNK_CACHED && is_deferred(block))
        say("waiting", "still marked in use, for a request of exactly its size; any other lets it coalesce first");
    else if (now->kind == CELL_KIND_CHUNK_CACHED)
        say("cache", "keeps it, still marked in use: the next malloc of its size gets it");
    else if (was->kind == now->kind)
        say("coalescing", "as before: part of a free chunk of %zu", now->size);
    else
        explain_merge(was, now);
}

static void explain_free(const struct moment *before, const struct moment *after, const char *block)
{
    explain_place(before, after, block);
    if (after->counts.pool_removes != before->counts.pool_removes)
        say("pools", "the last cell of a pool came back: %" PRIu64 " dissolved, chunks again",
            after->counts.pool_removes - before->counts.pool_removes);
    if (after->counts.purged_bytes != before->counts.purged_bytes)
        say("segment", "%" PRIu64 " given back to the system", after->counts.purged_bytes - before->counts.purged_bytes);
    draw(after, block);
}

/* ---- the scene --------------------------------------------------------------------------------------------------------- */

/* Some life before: live blocks with a free one between them, so that best fit has a choice. */
static void set_the_scene(void)
{
    static const size_t sizes[] = { 24, 40, 100, 300, 1000, 2500, 700, 5000, 1500, 60, 200, 9000, 48, 3000 };
    void *blocks[sizeof sizes / sizeof sizes[0]];

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        blocks[i] = cell_malloc(sizes[i]);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i += 2)
        cell_free(blocks[i + 1]);
    cell_trim(0);
}

static int write_dump(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    int failed = fd < 0 || cell_dump_json(fd) != 0 || close(fd) != 0;

    if (failed)
        fprintf(stderr, "explain: cannot write %s: %s\n", path, strerror(errno));
    return failed;
}

static int explain(size_t size, const char *dump)
{
    static struct moment moment[5];

    set_the_scene();
    if (cell_harden_is_on()) {
        fprintf(stderr, "explain: harden:2 and count_requests:1 add to every block, and are not explained\n");
        return 2;
    }
    moment_take(&moment[0]);
    char *block = cell_malloc(size);
    if (block == NULL) {
        fprintf(stderr, "explain: malloc(%zu): %s\n", size, strerror(errno));
        return 1;
    }
    moment_take(&moment[1]);
    printf("malloc(%zu)\n", size);
    print_class(size);
    explain_malloc(&moment[0], &moment[1], block, size);
    print_place(block, size);
    draw(&moment[1], block);
    if (dump != NULL && write_dump(dump))
        return 1;

    cell_free(block);
    moment_take(&moment[2]);
    printf("free(block)\n");
    explain_free(&moment[1], &moment[2], block);

    block = cell_malloc(size);
    moment_take(&moment[3]);
    printf("malloc(%zu) again\n", size);
    explain_malloc(&moment[2], &moment[3], block, size);

    cell_free(block);
    cell_trim(0);
    moment_take(&moment[4]);
    printf("free(block), and later malloc_trim: the cache is emptied, what is free is merged, its pages are given back\n");
    explain_free(&moment[3], &moment[4], block);
    return 0;
}

int main(int argc, char **argv)
{
    char *end = NULL;
    unsigned long long size = argc >= 2 ? strtoull(argv[1], &end, 0) : 0;

    if (argc < 2 || argc > 3 || end == argv[1] || *end != '\0' || argv[1][0] == '-') {
        fprintf(stderr, "usage: explain SIZE [DUMP.json], SIZE in bytes\n");
        return 2;
    }
    return explain((size_t)size, argc == 3 ? argv[2] : NULL);
}
