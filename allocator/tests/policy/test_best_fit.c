/* test_best_fit.c - placement of random requests from 512 bytes on against brute force: before each malloc the whole heap is
 * walked, and the smallest free chunk that fits, the one free for longest among equals, must be what it takes. Chunks whose
 * coalescing is deferred count at their own size, as younger than the others; when none fits exactly, they coalesce one by
 * one before the look. */
#include "heap.h"
#include "sizeclass.h"
#include "space.h"
#include "support.h"

#define SLOTS      220
#define CHUNKS_MAX 1000

struct seen {
    const struct cell_chunk *chunk;
    size_t size;
    bool deferred;
    unsigned long age;          /* number of the step at which it was first seen free with this size */
};

struct model {
    struct seen seen[CHUNKS_MAX];
    size_t count;
    unsigned long step;
};

static unsigned long age_in(const struct model *model, const struct cell_chunk *c, size_t size, bool deferred)
{
    for (size_t i = 0; i < model->count; i++)
        if (model->seen[i].chunk == c && model->seen[i].size == size && model->seen[i].deferred == deferred)
            return model->seen[i].age;
    return model->step;
}

/* Walks the heap; keeps the ages of what was free already. */
static void look(struct model *model)
{
    static struct model next;

    next.count = 0;
    next.step = model->step + 1;
    for (struct cell_chunk *c = (struct cell_chunk *)cell_heap_main.segment.base; c != cell_heap_main.top;
         c = cell_chunk_next(c)) {
        bool deferred = cell_chunk_is_inuse(c) && cell_freed_is_tagged(cell_chunk_user(c));
        if (cell_chunk_is_inuse(c) && !deferred)
            continue;
        REQUIRE(next.count < CHUNKS_MAX);
        size_t size = cell_chunk_size(c);
        next.seen[next.count++] = (struct seen){ c, size, deferred, age_in(model, c, size, deferred) };
    }
    *model = next;
}

/* What cell_heap_coalesce() does, seen step by step. */
static void coalesce(struct model *model)
{
    for (size_t i = 0; cell_heap_main.deferred.held != 0; i++) {
        struct cell_chunk *c = cell_deferred_take_at(&cell_heap_main.deferred, i);
        if (c != NULL) {
            cell_space_release(&cell_heap_main, c, cell_chunk_size(c));
            look(model);
        }
    }
}

static bool is_better(const struct seen *a, const struct seen *b)
{
    if (a->size != b->size)
        return a->size < b->size;
    return a->deferred != b->deferred ? b->deferred : a->age < b->age;
}

static const struct seen *best(const struct model *model, size_t size)
{
    const struct seen *found = NULL;

    for (size_t i = 0; i < model->count; i++) {
        const struct seen *s = &model->seen[i];
        if (s->size >= size && (found == NULL || is_better(s, found)))
            found = s;
    }
    return found;
}

static size_t request_of(uint64_t *state)
{
    static const size_t few[] = { 512, 600, 1000, 1008, 1024, 2000, 3000, 4096 };
    uint64_t kind = random_from(state) % 10;

    if (kind < 5)
        return few[random_from(state) % COUNT_OF(few)];         /* many equal sizes: ties */
    return 512 + random_from(state) % (kind < 9 ? 5000 : 60000);
}

static void random_placement(uint64_t seed, int steps)
{
    static struct model model;
    char *slot[SLOTS] = { NULL };
    int placed = 0, ties = 0, exact = 0;

    REQUIRE(cell_option_set("recurring_limit", 0) == 0);    /* what a cache keeps of sizes that recur is not free */
    REQUIRE(cell_malloc(600) != NULL);
    for (int i = 0; i < steps; i++) {
        size_t at = random_from(&seed) % SLOTS;
        if (slot[at] != NULL) {
            if (cell_deferred_is_full(&cell_heap_main.deferred) && cell_usable_size(slot[at]) + CELL_WORD < CELL_FIT_MIN)
                coalesce(&model);
            cell_free(slot[at]);
            slot[at] = NULL;
            look(&model);
            continue;
        }
        size_t request = request_of(&seed);
        const struct seen *wanted = best(&model, cell_size_of_chunk(request));
        if (wanted == NULL || wanted->size != cell_size_of_chunk(request) || wanted->size >= CELL_FIT_MIN) {
            coalesce(&model);
            wanted = best(&model, cell_size_of_chunk(request));
        } else {
            exact++;
        }
        slot[at] = cell_malloc(request);
        REQUIRE(slot[at] != NULL);
        if (wanted != NULL) {
            REQUIRE_EQUAL((uintptr_t)slot[at], (uintptr_t)cell_chunk_user((struct cell_chunk *)(uintptr_t)wanted->chunk));
            placed++;
            for (size_t j = 0; j < model.count; j++)
                ties += model.seen[j].size == wanted->size && &model.seen[j] != wanted;
        }
        look(&model);
    }
    REQUIRE(placed > steps / 10 && ties > 20 && exact > 20);      /* the test means something */
    REQUIRE_SOUND_HEAP();
}

TEST(best_fit_against_brute_force)
{
    random_placement(42, is_long_run() ? 100000 : 6000);
}

TEST(best_fit_against_brute_force_without_cells)
{
    REQUIRE(cell_option_set("small_limit", 0) == 0);
    random_placement(4711, is_long_run() ? 100000 : 3000);
}

/* Freed pages go back to the system meanwhile: a chunk's place must not depend on it. */
TEST(best_fit_while_purging)
{
    cell_option_set("purge_min", 0);
    cell_option_set("purge_share", 64);
    random_placement(815, is_long_run() ? 100000 : 3000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(best_fit_against_brute_force), cmocka_unit_test(best_fit_against_brute_force_without_cells),
        cmocka_unit_test(best_fit_while_purging),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
