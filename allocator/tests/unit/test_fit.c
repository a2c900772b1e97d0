/* test_fit.c - bins and the fit index on chunks laid out by hand, against a table that is searched from end to end. */
#include "fit.h"
#include "support.h"

#define CHUNKS 400

/* Chunks far enough apart that none overlaps another whatever its size. */
static struct cell_chunk *place[CHUNKS];
static size_t size_of[CHUNKS];          /* 0: not in the index */
static unsigned long age_of[CHUNKS];

static void lay_out(void)
{
    char *space = calloc(CHUNKS + 1, 256);

    REQUIRE(space != NULL);
    space += -(uintptr_t)space & 15;
    for (size_t i = 0; i < CHUNKS; i++)
        place[i] = (struct cell_chunk *)(space + i * 256);
}

static size_t best_by_hand(size_t size)
{
    size_t best = CHUNKS;

    for (size_t i = 0; i < CHUNKS; i++)
        if (size_of[i] >= size && size_of[i] != 0 &&
            (best == CHUNKS || size_of[i] < size_of[best] || (size_of[i] == size_of[best] && age_of[i] < age_of[best])))
            best = i;
    return best;
}

static size_t random_size(uint64_t *state, bool small)
{
    uint64_t kind = random_from(state) % 4;

    if (small)
        return 32 + random_from(state) % 62 * 16;
    if (kind < 2)
        return CELL_FIT_MIN + random_from(state) % 20 * 16;              /* many equal */
    return (CELL_FIT_MIN + (random_from(state) % ((size_t)1 << (kind == 2 ? 16 : 36)))) & ~(size_t)15;
}

static struct cell_bins bins;
static struct cell_fit fit;

static void insert_remove_find(bool small, int steps)
{
    uint64_t state = 31337;

    lay_out();
    memset(&bins, 0, sizeof bins);
    cell_fit_init(&fit);
    for (int i = 0; i < steps; i++) {
        size_t at = random_from(&state) % CHUNKS;
        if (size_of[at] == 0) {
            size_of[at] = random_size(&state, small);
            age_of[at] = (unsigned long)i;
            cell_chunk_set(place[at], size_of[at], CELL_PREV_INUSE);
            if (small)
                cell_bins_insert(&bins, place[at], size_of[at]);
            else
                cell_fit_insert(&fit, place[at], cell_chunk_size(place[at]));
        } else {
            if (small)
                cell_bins_remove(&bins, place[at], size_of[at]);
            else
                cell_fit_remove(&fit, place[at]);
            size_of[at] = 0;
        }
        size_t wanted = random_size(&state, small);
        size_t best = best_by_hand(wanted);
        struct cell_chunk *found = small ? cell_bins_find(&bins, wanted) : cell_fit_find(&fit, wanted);
        REQUIRE_EQUAL((uintptr_t)found, (uintptr_t)(best == CHUNKS ? NULL : place[best]));
        if (i % 100 == 0)
            REQUIRE(cell_bins_is_valid(&bins) && cell_fit_is_valid(&fit));
    }
}

TEST(bins_against_a_table)  { insert_remove_find(true, 20000); }
TEST(fit_against_a_table)   { insert_remove_find(false, 40000); }

TEST(bins_empty)
{
    memset(&bins, 0, sizeof bins);
    for (size_t size = 32; size <= 5000; size += 16)
        REQUIRE(cell_bins_find(&bins, size) == NULL);
    REQUIRE(cell_bins_is_valid(&bins));
}

/* The validity checks find what is wrong. */
TEST(damage_is_found)
{
    lay_out();
    memset(&bins, 0, sizeof bins);
    cell_fit_init(&fit);
    for (size_t i = 0; i < 6; i++) {
        cell_chunk_set(place[i], i < 3 ? 208 : 2048, CELL_PREV_INUSE);
        if (i < 3)
            cell_bins_insert(&bins, place[i], cell_chunk_size(place[i]));
        else
            cell_fit_insert(&fit, place[i], cell_chunk_size(place[i]));
    }
    REQUIRE(cell_bins_is_valid(&bins) && cell_fit_is_valid(&fit));
    cell_chunk_set(place[1], 224, CELL_PREV_INUSE);
    REQUIRE(!cell_bins_is_valid(&bins));
    cell_chunk_set(place[1], 208, CELL_PREV_INUSE | CELL_INUSE);
    REQUIRE(!cell_bins_is_valid(&bins));
    cell_chunk_set(place[1], 208, CELL_PREV_INUSE);
    bins.nonempty[0] ^= 1;
    REQUIRE(!cell_bins_is_valid(&bins));
    bins.nonempty[0] ^= 1;
    REQUIRE(cell_bins_is_valid(&bins));

    cell_chunk_set(place[4], 2064, CELL_PREV_INUSE);
    REQUIRE(!cell_fit_is_valid(&fit));
    cell_chunk_set(place[4], 2048, CELL_PREV_INUSE);
    fit.nonempty ^= 2;
    REQUIRE(!cell_fit_is_valid(&fit));
    fit.nonempty ^= 2;
    REQUIRE(cell_fit_is_valid(&fit));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bins_empty), cmocka_unit_test(bins_against_a_table), cmocka_unit_test(fit_against_a_table),
        cmocka_unit_test(damage_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
