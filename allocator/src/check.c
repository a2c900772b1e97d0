/* check.c - walks a whole heap and says what is not sound; shared by tests and programs (cell_check). */
#include "cellmalloc.h"
#include "arena.h"
#include "check.h"
#include "harden.h"
#include "quarantine.h"
#include "tcache.h"
#include "walk.h"

struct walk {
    size_t free_small, free_large;      /* chunks seen free, below and from CELL_FIT_MIN */
    size_t in_use;                      /* bytes of the others */
};

/* Whether no page of [from, to) is thought to be zero. */
static bool is_marked(const struct cell_segment *seg, const void *from, const void *to)
{
    size_t page = cell_segment_page_of(seg, from), last = cell_segment_page_of(seg, (const char *)to - 1);

    for (; page <= last; page++)
        if (seg->kind[page] != CELL_PAGE_CHUNK && seg->kind[page] < CELL_PAGE_POOL)
            return false;
    return true;
}

static const char *chunk_defect(const struct cell_heap *heap, struct cell_chunk *c, bool previous_free)
{
    if (!cell_chunk_is_sealed(c))
        return "a chunk's header does not match its seal";                      /* C4 */
    if (cell_chunk_size(c) % CELL_ALIGN != 0 || (char *)c + cell_chunk_size(c) > (char *)heap->top)
        return "a chunk reaches beyond the top";                                /* H1 */
    if (cell_chunk_is_prev_inuse(c) == previous_free)
        return "a chunk is wrong about its predecessor";                        /* C3 */
    if (cell_chunk_is_inuse(c))
        return is_marked(&heap->segment, &c->head, &cell_chunk_next(c)->head)
               ? NULL : "a chunk in use lies in a page thought to be zero";     /* S2 */
    if (previous_free)
        return "two free chunks lie side by side";                              /* C2 */
    if (cell_chunk_next(c) == heap->top)
        return "a free chunk borders on the top";                               /* C2 */
    if (cell_chunk_next(c)->prev_size != cell_chunk_size(c))
        return "a free chunk's footer differs from its header";                 /* C3 */
    if (!is_marked(&heap->segment, &c->head, &c->link + 1) ||
        !is_marked(&heap->segment, &cell_chunk_next(c)->prev_size, &cell_chunk_next(c)->head))
        return "a free chunk's links or footer lie in a page thought to be zero"; /* S2 */
    return NULL;
}

static const char *chunks_defect(const struct cell_heap *heap, struct walk *walk)
{
    bool previous_free = false;

    for (struct cell_chunk *c = cell_heap_first_chunk(heap); c != heap->top; c = cell_chunk_next(c)) {
        const char *defect = chunk_defect(heap, c, previous_free);
        if (defect != NULL)
            return defect;
        previous_free = !cell_chunk_is_inuse(c);
        walk->in_use += previous_free ? 0 : cell_chunk_size(c);
        walk->free_small += previous_free && cell_chunk_size(c) < CELL_FIT_MIN;
        walk->free_large += previous_free && cell_chunk_size(c) >= CELL_FIT_MIN;
    }
    return NULL;
}

static const char *pages_defect(const struct cell_heap *heap)
{
    size_t resident = 0, free_cells = 0;

    for (size_t page = heap->segment.start >> CELL_PAGE_SHIFT; page < heap->segment.committed >> CELL_PAGE_SHIFT; page++) {
        unsigned kind = heap->segment.kind[page];
        resident += kind != CELL_PAGE_ABSENT;
        if (kind < CELL_PAGE_POOL)
            continue;
        if (cell_segment_info(&heap->segment, page)->pool_class * CELL_ALIGN != kind || !cell_pool_is_valid(&heap->pools, page))
            return "a pool is not sound";                                       /* P1, P3 */
        free_cells += cell_segment_info(&heap->segment, page)->free_count * (size_t)kind;
        if (!cell_chunk_is_inuse(cell_chunk_of_user(cell_segment_page_start(&heap->segment, page))))
            return "a pool's page is not a chunk in use";                       /* H1 */
    }
    if (free_cells != heap->pools.free_bytes)
        return "the free cells are miscounted";                                 /* P4 */
    return resident == heap->segment.resident ? NULL : "the pages with memory are miscounted"; /* S3 */
}

static size_t bins_count(const struct cell_bins *bins)
{
    size_t count = 0;

    for (size_t i = 0; i < CELL_BIN_COUNT; i++)
        for (const struct cell_link *link = bins->list[i].next; link != NULL && link != &bins->list[i]; link = link->next)
            count++;
    return count;
}

static size_t trie_count(const struct cell_fit_node *node)
{
    size_t count = 0;

    if (node == NULL)
        return 0;
    const struct cell_link *link = &node->chunk.link;
    do {
        count++;
        link = link->next;
    } while (link != &node->chunk.link);
    return count + trie_count(node->child[0]) + trie_count(node->child[1]);
}

static size_t fit_count(const struct cell_fit *fit)
{
    size_t count = 0;

    for (size_t order = 0; order < CELL_FIT_ORDERS; order++)
        count += trie_count(fit->root[order]);
    return count;
}

static const char *heap_defect(struct cell_heap *heap)
{
    struct walk walk = { 0, 0, 0 };
    const char *defect = chunks_defect(heap, &walk);

    if (defect == NULL && !cell_bins_is_valid(&heap->bins))
        defect = "a bin is not sound";
    if (defect == NULL && !cell_fit_is_valid(&heap->fit))
        defect = "the fit index is not sound";
    if (defect == NULL && !cell_deferred_is_valid(&heap->deferred))
        defect = "the deferred chunks are not sound";
    if (defect == NULL && bins_count(&heap->bins) != walk.free_small)
        defect = "the bins do not hold exactly the small free chunks";          /* H2 */
    if (defect == NULL && fit_count(&heap->fit) != walk.free_large)
        defect = "the fit index does not hold exactly the large free chunks";   /* H2 */
    if (defect == NULL && heap->in_use != walk.in_use)
        defect = "the bytes in use are miscounted";                             /* H4 */
    return defect != NULL ? defect : pages_defect(heap);
}

const char *cell_heap_defect(struct cell_heap *heap)
{
    cell_heap_lock(heap);
    const char *defect = heap_defect(heap);
    cell_heap_unlock(heap);
    return defect;
}

static int verdict(const char *defect, const char **why)
{
    if (why != NULL)
        *why = defect;
    return defect == NULL ? 0 : -1;
}

int cell_heap_check(struct cell_heap *heap, const char **why)
{
    return heap == NULL ? cell_check(why) : verdict(cell_heap_defect(heap), why);
}

static int visit_canary(void *context, const struct cell_block *block)
{
    bool used = block->kind == CELL_KIND_CHUNK || block->kind == CELL_KIND_CELL || block->kind == CELL_KIND_MAPPED;

    (void)context;
    return used && !cell_harden_is_intact(block->block);
}

bool cell_check_canaries(void)
{
    if (!cell_harden_is_on() || !cell_os_single_threaded())
        return true;
    int changed = 0;
    for (unsigned arena = 0; arena < cell_arena_count() && changed == 0; arena++) {
        struct cell_heap *heap = cell_arena_at(arena);
        cell_heap_coalesce(heap);
        cell_heap_lock(heap);
        changed = cell_walk_locked(heap, visit_canary, NULL);
        cell_heap_unlock(heap);
    }
    return changed == 0;
}

int cell_check(const char **why)
{
    const char *defect = NULL;

    if (cell_heap_is_ready(&cell_heap_main)) {
        for (unsigned arena = 0; arena < cell_arena_count() && defect == NULL; arena++)
            defect = cell_heap_defect(cell_arena_at(arena));
        if (defect == NULL && !cell_tcache_is_valid(cell_tcache_mine))
            defect = "the thread's cache is not sound";                         /* T1, T2, T3, T5, T7, T8 */
        if (defect == NULL && !cell_quarantine_is_intact())
            defect = "a freed block in quarantine was written to";
        if (defect == NULL && !cell_check_canaries())
            defect = "a block was written past its end";
    }
    return verdict(defect, why);
}
