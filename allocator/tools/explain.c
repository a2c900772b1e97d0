/* explain.c - shows what one malloc(n) and its free do, layer by layer: `explain SIZE [DUMP]`; `make explain SIZE=n` runs it.
 *
 * A small scene comes first, so that the block has neighbours: blocks of several sizes, some of them freed. Then every step
 * is watched from outside, by the statistics and the heap walk before and after. With DUMP the heap is written there as
 * JSON while the block lives. Numbers of bytes unless said; offsets count from the start of the heap.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cellmalloc.h"
#include "heap.h"
#include "mapped.h"
#include "sizeclass.h"

#define AROUND     3            /* neighbours drawn on each side */
#define BOX_WIDTH  17
#define SEEN_MAX   4096

/* ---- watching ------------------------------------------------------------------------------------------------------ */

struct seen {
    struct cell_block block[SEEN_MAX];
    size_t count;
};

static bool is_cell(enum cell_kind kind)
{
    return kind == CELL_KIND_CELL || kind == CELL_KIND_CELL_CACHED || kind == CELL_KIND_CELL_FREE;
}

static int remember(void *context, const struct cell_block *block)
{
    struct seen *seen = context;

    seen->block[seen->count++] = *block;
    return seen->count == SEEN_MAX;
}

/* What covers `address`: a cell, else a chunk; NULL: nothing any more. */
static const struct cell_block *covering(const struct seen *seen, const char *address)
{
    const struct cell_block *found = NULL;

    for (size_t i = 0; i < seen->count; i++) {
        const char *start = seen->block[i].start;
        if (address >= start && address < start + seen->block[i].size && (found == NULL || is_cell(seen->block[i].kind)))
            found = &seen->block[i];
    }
    return found;
}

static void print_events(const struct cell_stats *before, const struct cell_stats *after)
{
    const struct { const char *name; uint64_t count; } events[] = {
        { "refills of the cache", after->refills - before->refills }, { "flushes", after->flushes - before->flushes },
        { "splits", after->splits - before->splits }, { "merges", after->merges - before->merges },
        { "pools made", after->pool_adds - before->pool_adds },
        { "pools dissolved", after->pool_removes - before->pool_removes },
        { "growths of the heap", after->grows - before->grows },
        { "pages brought in", after->populated_pages - before->populated_pages },
        { "mappings made", after->maps - before->maps }, { "mappings given back", after->unmaps - before->unmaps },
        { "bytes purged", after->purged_bytes - before->purged_bytes },
    };
    const char *separator = "";

    printf("  events        ");
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (events[i].count == 0)
            continue;
        printf("%s%" PRIu64 " %s", separator, events[i].count, events[i].name);
        separator = ", ";
    }
    printf("%s\n", *separator == '\0' ? "none: no lock, no search, no system call" : "");
}

/* ---- drawing ------------------------------------------------------------------------------------------------------- */

static void rule(size_t boxes)
{
    printf("    +");
    for (size_t i = 0; i < boxes; i++)
        printf("%.*s+", BOX_WIDTH, "------------------------------");
    printf("\n");
}

static long offset_of(const void *address)
{
    return (long)((const char *)address - cell_heap_main.segment.base);
}

/* The block that covers `address` and its neighbours of the same level (cells among cells, chunks among chunks). */
static void draw_around(const char *address)
{
    static struct seen seen;
    const struct cell_block *shown[2 * AROUND + 1], *centre;
    size_t count = 0, at = 0, marked = 0;

    seen.count = 0;
    cell_heap_walk(NULL, remember, &seen);
    centre = covering(&seen, address);
    if (centre == NULL) {
        printf("    nothing is left at its address: the pages went back to the system\n");
        return;
    }
    for (size_t i = 0; i < seen.count; i++) {
        if (is_cell(seen.block[i].kind) != is_cell(centre->kind))
            continue;
        if (count == 2 * AROUND + 1) {
            if (at > AROUND)
                break;
            memmove(shown, shown + 1, (count - 1) * sizeof shown[0]);
            count--;
        }
        shown[count++] = &seen.block[i];
        if (&seen.block[i] == centre)
            at = 1;
        else
            at += at != 0;
    }
    rule(count);
    printf("    |");
    for (size_t i = 0; i < count; i++) {
        printf(" %-*s|", BOX_WIDTH - 1, cell_kind_name(shown[i]->kind));
        marked = shown[i] == centre ? i : marked;
    }
    printf("\n    |");
    for (size_t i = 0; i < count; i++)
        printf(" %-*zu|", BOX_WIDTH - 1, shown[i]->size);
    printf("\n");
    rule(count);
    printf("     %*s^ offset %ld\n", (int)(marked * (BOX_WIDTH + 1)), "", offset_of(centre->start));
}

/* ---- explaining ---------------------------------------------------------------------------------------------------- */

static void print_class(size_t size)
{
    size_t threshold = cell_mapped_threshold(&cell_heap_main);

    printf("malloc(%zu)\n  size class    ", size);
    if (cell_size_is_cell(size))
        printf("cell of %zu, without a header word (requests up to small_limit = %zu)\n", cell_size_of_cell(size),
               cell_option.small_limit);
    else if (size >= threshold)
        printf("mapping of its own (requests from %zu on)\n", threshold);
    else
        printf("chunk of %zu: %zu + %zu for the header word, rounded up to a multiple of %u%s\n",
               cell_size_of_chunk(size), size, CELL_WORD, CELL_ALIGN,
               size <= cell_option.cache_limit ? "; kept by thread caches" : "; best fit, merged at once when freed");
}

static void print_served(const struct cell_stats *before, const struct cell_stats *after, size_t size)
{
    const char *by = after->maps != before->maps ? "the system: a mapping (mapped.c)"
                   : after->map_reuses != before->map_reuses ? "a mapping kept from an earlier free (mapped.c)"
                   : after->refills != before->refills && cell_size_is_cell(size)
                       ? "a pool: the cache's bin was empty and took a batch of cells (tcache.c, pool.c)"
                   : after->refills != before->refills
                       ? "the heap: the cache's bin was empty and took chunks (tcache.c, heap.c)"
                   : after->cached_blocks != before->cached_blocks ? "the thread's cache: top of the bin's stack (tcache.h)"
                   : "the heap: the smallest free chunk that fits, or the top (heap.c, bins.c, fit.c)";

    printf("  served by     %s\n", by);
}

static void print_header_word(const void *block)
{
    const struct cell_chunk *c = cell_chunk_of_user(block);
    size_t head = cell_chunk_head(c);

    printf("  header word   %#zx = size %zu%s%s%s", head, cell_chunk_size(c), cell_chunk_is_inuse(c) ? " | in use" : "",
           cell_chunk_is_prev_inuse(c) ? " | previous in use" : "", cell_chunk_is_mapped(c) ? " | mapped" : "");
    printf(" | seal %s\n", cell_chunk_is_sealed(c) ? "that fits address and size" : "BROKEN");
}

static void print_place(const char *block, size_t size)
{
    const struct cell_segment *seg = &cell_heap_main.segment;

    printf("  usable        %zu, %zu more than asked for (internal fragmentation)\n", cell_usable_size(block),
           cell_usable_size(block) - size);
    if (!cell_segment_holds(seg, block)) {
        print_header_word(block);
        printf("  page          outside of the heap, in its own mapping\n");
        return;
    }
    size_t page = cell_segment_page_of(seg, block);
    unsigned kind = seg->kind[page];
    if (kind < CELL_PAGE_POOL) {
        print_header_word(block);
        printf("  page          %zu of the heap: chunks\n", page);
        return;
    }
    const struct cell_page_info *pool = &seg->info[page];
    printf("  header word   none: page and size are known from the page's byte in kind[]\n");
    printf("  page          %zu of the heap: pool of %u-byte cells, %zu of %zu handed to caches and program, %u carved\n", page,
           kind, cell_pool_capacity(pool->pool_class) - pool->free_count, cell_pool_capacity(pool->pool_class), pool->carved);
}

static void print_state(const char *title, const char *block, const struct cell_stats *before)
{
    static struct seen seen;
    struct cell_stats after;

    cell_stats_get(&after);
    seen.count = 0;
    cell_heap_walk(NULL, remember, &seen);
    const struct cell_block *now = covering(&seen, block);
    printf("%s\n  now           %s\n", title, now == NULL ? "unmapped"
           : now->kind == CELL_KIND_CELL_CACHED || now->kind == CELL_KIND_CHUNK_CACHED
               ? "in the thread's cache, still marked in use: the next malloc of its size gets it"
           : now->kind == CELL_KIND_CELL_FREE ? "free in its pool"
           : now->kind == CELL_KIND_TOP ? "part of the top, where the heap grows from"
           : now->kind == CELL_KIND_MAPPED_CACHED ? "a mapping kept for reuse"
           : "part of a free chunk, merged with what was free beside it");
    print_events(before, &after);
    draw_around(block);
}

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
    struct cell_stats before, after;

    set_the_scene();
    cell_stats_get(&before);
    char *block = cell_malloc(size);
    cell_stats_get(&after);
    if (block == NULL) {
        fprintf(stderr, "explain: malloc(%zu): %s\n", size, strerror(errno));
        return 1;
    }
    print_class(size);
    print_served(&before, &after, size);
    print_place(block, size);
    print_events(&before, &after);
    draw_around(block);
    if (dump != NULL && write_dump(dump))
        return 1;

    cell_free(block);
    print_state("free(block)", block, &after);
    cell_stats_get(&after);
    cell_trim(0);
    print_state("later: the cache is emptied, what is free is merged and its pages are given back (malloc_trim)", block, &after);
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
