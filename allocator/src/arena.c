#include "arena.h"

#include "minmax.h"
#include "os.h"
#include "place.h"

#define WAITS_ENOUGH  64u                       /* for the lock of one arena, times the number of arenas: another is opened */
#define UNITS         16u                       /* of the first heap's range, of which */
#define UNITS_FIRST   (UNITS / 2)               /* stay with the first heap; one for each arena */
#define UNIT_MIN      ((size_t)1 << 30)

_Static_assert(CELL_ARENAS_MAX - 1 <= UNITS - UNITS_FIRST, "A1");

struct cell_heap *cell_arena_heap[CELL_ARENAS_MAX];
unsigned cell_arena_last CELL_FIRST;

static struct {
    struct cell_lock lock;
    unsigned unit_shift;            /* bytes of a unit, as a power of two; 0: not divided yet */
    unsigned processors;            /* the highest number of one that threads have run on, + 1 */
    bool refused;                   /* there can be no more */
} arenas;

static size_t unit_bytes(unsigned units)
{
    return (size_t)units << arenas.unit_shift;
}

/* Leaves the first heap its first half, if there is enough for all. */
static bool divide(struct cell_segment *seg)
{
    size_t unit = seg->range_end / UNITS;

    if (unit < UNIT_MIN || (unit & (unit - 1)) != 0 || seg->committed > UNITS_FIRST * unit - cell_segment_gap())
        return false;
    arenas.unit_shift = (unsigned)__builtin_ctzll(unit);
    seg->range_end = unit_bytes(UNITS_FIRST) - cell_segment_gap();
    return true;
}

static struct cell_heap *make(unsigned arena)
{
    size_t mask = cell_os_page_size() - 1, bytes = (sizeof(struct cell_heap) + mask) & ~mask;
    struct cell_heap *heap = cell_os_map(bytes);
    unsigned unit = UNITS_FIRST + arena - 1;

    if (heap == NULL || cell_heap_init_part(heap, &cell_heap_main, unit_bytes(unit), unit_bytes(unit + 1) - cell_segment_gap()))
        return heap;
    cell_os_unmap(heap, bytes);
    return NULL;
}

/* The arenas' lock is held, that of none of them. Under a limit of the footprint there is one: it alone could keep it. */
__attribute__((cold, noinline))
static void open_another(void)
{
    unsigned arena = cell_arena_count();

    cell_lock_acquire(&cell_heap_main.lock);
    bool divided = arenas.unit_shift != 0 || divide(&cell_heap_main.segment);
    cell_lock_release(&cell_heap_main.lock);
    struct cell_heap *heap = divided && cell_option.footprint_limit == 0 ? make(arena) : NULL;
    if (heap == NULL) {
        __atomic_store_n(&arenas.refused, true, __ATOMIC_RELAXED);
        return;
    }
    cell_arena_heap[arena] = heap;
    __atomic_store_n(&cell_arena_last, arena, __ATOMIC_RELEASE);
}

/* The first heap's range is by far the largest: it serves what an arena of its processor has no more room for. */
static unsigned arena_with_room(unsigned arena)
{
    return arena != 0 && cell_segment_is_full(&cell_arena_at(arena)->segment) ? 0 : arena;
}

unsigned cell_arena_choose(void)
{
    unsigned count = cell_arena_count(), processor = cell_os_processor(), arena = arena_with_room(processor % count);
    unsigned most = cell_min(cell_option.arenas, cell_max(processor + 1, __atomic_load_n(&arenas.processors, __ATOMIC_RELAXED)));

    if (CELL_LIKELY(count >= most))
        return arena;
    __atomic_store_n(&arenas.processors, most, __ATOMIC_RELAXED);
    if (cell_lock_waits(&cell_arena_at(arena)->lock) < WAITS_ENOUGH * count || __atomic_load_n(&arenas.refused, __ATOMIC_RELAXED))
        return arena;
    cell_lock_acquire(&arenas.lock);
    if (count == cell_arena_count())
        open_another();
    cell_lock_release(&arenas.lock);
    return arena;
}

unsigned cell_arena_of(const void *block)
{
    if (CELL_LIKELY(cell_arena_count() == 1))
        return 0;
    size_t unit = (size_t)((const char *)block - cell_heap_main.segment.base) >> arenas.unit_shift;
    size_t arena = unit - UNITS_FIRST + 1;

    return unit >= UNITS_FIRST && arena < cell_arena_count() ? (unsigned)arena : 0;
}

struct cell_heap *cell_arena_heap_of(const void *block)
{
    return cell_arena_at(cell_arena_of(block));
}

/* The first block and the others of its arena; what `others` gets is of other ones. */
static void free_of_one(struct cell_freed **stack, size_t count, struct cell_freed **others)
{
    struct cell_heap *heap = cell_arena_heap_of(*stack);

    CELL_ASSERT(cell_segment_owns(&heap->segment, *stack));
    cell_heap_free_upper(heap, stack, count, others);
}

/* Of one arena after the other: where blocks of several lie in turns, each would take a lock. */
void cell_arena_free_upper(struct cell_freed **stack, size_t count)
{
    struct cell_freed *others = NULL;

    if (*stack == NULL || cell_arena_count() == 1) {
        cell_heap_free_upper(&cell_heap_main, stack, count, NULL);
        return;
    }
    free_of_one(stack, count, &others);
    while (others != NULL) {
        struct cell_freed *rest = others;
        others = NULL;
        free_of_one(&rest, SIZE_MAX, &others);
    }
}

void cell_arena_free_stack(struct cell_freed *stack)
{
    cell_arena_free_upper(&stack, SIZE_MAX);
}

void cell_arena_coalesce(void)
{
    for (unsigned arena = 0; arena < cell_arena_count(); arena++)
        cell_heap_coalesce(cell_arena_at(arena));
}

bool cell_arena_trim(size_t keep)
{
    bool any = false;

    for (unsigned arena = 0; arena < cell_arena_count(); arena++)
        any |= cell_heap_trim(cell_arena_at(arena), arena == 0 ? keep : 0);
    return any;
}

/* ---- around fork() ------------------------------------------------------------------------------------------------- */

void cell_arena_lock(void)
{
    cell_lock_acquire(&arenas.lock);
    for (unsigned arena = 0; arena < cell_arena_count(); arena++)
        cell_heap_lock(cell_arena_at(arena));
}

void cell_arena_unlock(void)
{
    for (unsigned arena = cell_arena_count(); arena-- > 0;)
        cell_heap_unlock(cell_arena_at(arena));
    cell_lock_release(&arenas.lock);
}

void cell_arena_reset_lock(void)
{
    for (unsigned arena = 0; arena < cell_arena_count(); arena++)
        cell_heap_reset_lock(cell_arena_at(arena));
    cell_lock_reset(&arenas.lock);
}
