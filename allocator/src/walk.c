/* walk.c - the heap walk: chunks, pools and their cells, the top, mapped blocks; inspect_all is a view of it. */
#include "walk.h"

#include "arena.h"
#include "harden.h"
#include "sizeclass.h"

const char *cell_kind_name(enum cell_kind kind)
{
    static const char *const names[CELL_KIND_COUNT] = {
        [CELL_KIND_CHUNK]         = "chunk",
        [CELL_KIND_CHUNK_CACHED]  = "chunk_cached",
        [CELL_KIND_CHUNK_FREE]    = "chunk_free",
        [CELL_KIND_POOL]          = "pool",
        [CELL_KIND_CELL]          = "cell",
        [CELL_KIND_CELL_CACHED]   = "cell_cached",
        [CELL_KIND_CELL_FREE]     = "cell_free",
        [CELL_KIND_TOP]           = "top",
        [CELL_KIND_MAPPED]        = "mapped",
        [CELL_KIND_MAPPED_CACHED] = "mapped_cached",
    };

    return (unsigned)kind < CELL_KIND_COUNT ? names[kind] : "unknown";
}

/* ---- the walk ---------------------------------------------------------------------------------------------------- */

struct cell_set {
    uint64_t word[4];       /* a page holds at most 255 cells */
};

static void set_add(struct cell_set *set, size_t index)
{
    set->word[index / 64] |= UINT64_C(1) << index % 64;
}

static bool set_has(const struct cell_set *set, size_t index)
{
    return (set->word[index / 64] >> index % 64 & 1) != 0;
}

static struct cell_set free_cells(const struct cell_page_info *pool, char *page)
{
    size_t size = cell_pool_cell_size(pool->pool_class);
    struct cell_set set = { { 0 } };

    for (size_t i = pool->carved; i < cell_pool_capacity(pool->pool_class); i++)
        set_add(&set, i);
    for (struct cell_freed *cell = cell_pool_stack(pool, page); cell != NULL; cell = cell_freed_next(cell))
        set_add(&set, (size_t)((char *)cell - page) / size);
    return set;
}

static int visit_cells(const struct cell_page_info *pool, char *page, cell_walk_visit visit, void *context)
{
    size_t size = cell_pool_cell_size(pool->pool_class);
    struct cell_set set = free_cells(pool, page);
    int stop = 0;

    for (size_t i = 0; i < cell_pool_capacity(pool->pool_class) && stop == 0; i++) {
        struct cell_block cell = { page + i * size, size, page + i * size, size,
                                   set_has(&set, i) ? CELL_KIND_CELL_FREE : CELL_KIND_CELL };
        stop = visit(context, &cell);
    }
    return stop;
}

static int visit_chunk(struct cell_heap *heap, struct cell_chunk *c, cell_walk_visit visit, void *context)
{
    char *user = cell_chunk_user(c);
    size_t page = cell_segment_page_of(&heap->segment, user);
    bool in_heap = cell_segment_holds(&heap->segment, user);
    bool pool = in_heap && cell_chunk_is_inuse(c) && heap->segment.kind[page] >= CELL_PAGE_POOL;
    struct cell_block block = { &c->head, cell_chunk_size(c), user, cell_chunk_usable(c),
                                pool ? CELL_KIND_POOL : cell_chunk_is_inuse(c) ? CELL_KIND_CHUNK
                                                                                : CELL_KIND_CHUNK_FREE };
    int stop = visit(context, &block);

    if (stop == 0 && pool)
        stop = visit_cells(cell_segment_info(&heap->segment, page), user, visit, context);
    return stop;
}

/* Pages above the top that have memory, in one run: what the next chunk is made of. */
static int visit_top(const struct cell_heap *heap, cell_walk_visit visit, void *context)
{
    const char *start = (const char *)&heap->top->head;
    size_t page = cell_segment_page_of(&heap->segment, start);
    size_t end = heap->segment.committed >> CELL_PAGE_SHIFT;

    while (page < end && heap->segment.kind[page] != CELL_PAGE_ABSENT)
        page++;
    const char *stop = heap->segment.base + (page << CELL_PAGE_SHIFT);
    size_t size = stop > start ? (size_t)(stop - start) : 0;
    struct cell_block top = { start, size, start + CELL_WORD, size < CELL_WORD ? 0 : size - CELL_WORD, CELL_KIND_TOP };
    return visit(context, &top);
}

static int visit_mapped(const struct cell_heap *heap, cell_walk_visit visit, void *context)
{
    int stop = 0;

    for (struct cell_link *link = heap->mapped.next; link != &heap->mapped && stop == 0; link = link->next) {
        struct cell_mapped *m = (struct cell_mapped *)link;
        struct cell_block block = { m->start, m->size, cell_chunk_user(&m->chunk),
                                    cell_chunk_size(&m->chunk) - CELL_CHUNK_USER, CELL_KIND_MAPPED };
        stop = visit(context, &block);
    }
    for (unsigned i = 0; i < heap->map_cache.held && stop == 0; i++) {
        struct cell_extent kept = heap->map_cache.entry[i];
        struct cell_block block = { kept.start, kept.size, kept.start, kept.size, CELL_KIND_MAPPED_CACHED };
        stop = visit(context, &block);
    }
    return stop;
}

int cell_walk_locked(struct cell_heap *heap, cell_walk_visit visit, void *context)
{
    int stop = 0;

    for (struct cell_chunk *c = cell_heap_first_chunk(heap); c != heap->top && stop == 0;
         c = cell_chunk_next(c))
        stop = visit_chunk(heap, c, visit, context);
    if (stop == 0)
        stop = visit_top(heap, visit, context);
    return stop != 0 ? stop : visit_mapped(heap, visit, context);
}

/* ---- the public walk: tells cached blocks, and those in quarantine, from live ones ---------------------------------- */

struct refined {
    cell_walk_visit visit;
    void *context;
};

static int visit_refined(void *context, const struct cell_block *seen)
{
    const struct refined *refined = context;
    struct cell_block block = *seen;
    bool in_heap = block.kind == CELL_KIND_CHUNK || block.kind == CELL_KIND_CELL;
    bool live = in_heap || block.kind == CELL_KIND_MAPPED;

    if ((in_heap && cell_freed_is_tagged(block.block)) ||
        (live && cell_harden_is_on() && cell_harden_is_freed(block.block, block.usable)))
        block.kind = block.kind == CELL_KIND_CHUNK ? CELL_KIND_CHUNK_CACHED
                   : block.kind == CELL_KIND_CELL ? CELL_KIND_CELL_CACHED : CELL_KIND_MAPPED_CACHED;
    return refined->visit(refined->context, &block);
}

static int walk(struct cell_heap *heap, struct refined *refined)
{
    if (!heap->ready)
        return 0;
    cell_heap_coalesce(heap);
    cell_heap_lock(heap);
    int stop = cell_walk_locked(heap, visit_refined, refined);
    cell_heap_unlock(heap);
    return stop;
}

int cell_heap_walk(struct cell_heap *heap, cell_walk_visit visit, void *context)
{
    struct refined refined = { visit, context };
    int stop = 0;

    if (heap != NULL)
        return walk(heap, &refined);
    for (unsigned arena = 0; arena < cell_arena_count() && stop == 0; arena++)
        stop = walk(cell_arena_at(arena), &refined);
    return stop;
}

struct inspection {
    void (*handler)(void *start, void *end, size_t used, void *argument);
    void *argument;
};

static int inspect(void *context, const struct cell_block *block)
{
    const struct inspection *inspection = context;
    bool used = block->kind == CELL_KIND_CHUNK || block->kind == CELL_KIND_CELL;
    char *start = (char *)(uintptr_t)block->block;

    if (block->kind != CELL_KIND_POOL && block->kind != CELL_KIND_MAPPED && block->kind != CELL_KIND_MAPPED_CACHED &&
        block->usable != 0)
        inspection->handler(start, start + block->usable, used ? block->usable : 0, inspection->argument);
    return 0;
}

void cell_inspect_all(void (*handler)(void *start, void *end, size_t used, void *argument), void *argument)
{
    struct inspection inspection = { handler, argument };

    cell_heap_walk(NULL, inspect, &inspection);
}
