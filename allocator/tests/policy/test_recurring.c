/* test_recurring.c - what caches keep beyond blocks of exactly one size up to cache_limit: sizes above it that a program frees and
 * asks for over and over have bins, and a bin that has more than it needs serves for a little less. */
#include "recur.h"
#include "second_thread.h"

#define SIZE  2000
#define SHORT 600           /* up to CELL_BINNED_MAX a size that recurs has the row of its own that it has between threads */

static const struct cell_recurring *slot_of(size_t request)
{
    REQUIRE(cell_tcache_mine->watch != NULL);
    return cell_recurring_find(cell_tcache_mine->watch->slot, chunk_size(request));
}

/* Frees two blocks, neither of which borders on the other; true when the one freed last is handed out first. */
static bool last_comes_first(size_t request)
{
    void *a = cell_malloc(request), *guard = cell_malloc(request), *b = cell_malloc(request), *end = cell_malloc(request);

    cell_free(a);
    cell_free(b);
    void *first = cell_malloc(request);
    REQUIRE(first == a || first == b);
    cell_free(guard);
    cell_free(end);
    return first == b;
}

TEST(oldest_first_until_a_size_has_proved_to_recur)
{
    REQUIRE(!last_comes_first(SIZE));
    recur(SIZE, CELL_RECURS / 2);
    REQUIRE(!slot_of(SIZE)->demand.proven);
    REQUIRE(!last_comes_first(SIZE));
    REQUIRE_SOUND_HEAP();
}

TEST(last_first_once_it_has)
{
    recur(SIZE, CELL_RECURS + 1);
    REQUIRE(slot_of(SIZE)->demand.proven);
    REQUIRE(last_comes_first(SIZE));
    REQUIRE_SOUND_HEAP();
}

/* Requests alone, and frees alone, prove nothing: only one that follows the other does. */
TEST(the_same_of_sizes_with_a_row)
{
    REQUIRE(!last_comes_first(SHORT));
    recur(SHORT, CELL_RECURS / 2);
    REQUIRE(!last_comes_first(SHORT));
    recur(SHORT, CELL_RECURS);
    REQUIRE(last_comes_first(SHORT));
    REQUIRE(!last_comes_first(SHORT + CELL_ALIGN));
    REQUIRE_SOUND_HEAP();
}

TEST(many_requests_and_then_many_frees_do_not)
{
    static void *block[4 * CELL_RECURS];

    for (size_t i = 0; i < COUNT_OF(block); i++)
        block[i] = cell_malloc(SIZE);
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < COUNT_OF(block); i++)
            cell_free(block[i]);
        for (size_t i = 0; i < COUNT_OF(block); i++)
            block[i] = must_malloc(SIZE);
    }
    REQUIRE(!slot_of(SIZE)->demand.proven);
    REQUIRE(!last_comes_first(SIZE));
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < COUNT_OF(block); i++)
            block[i] = must_malloc(SHORT);
        for (size_t i = 0; i < COUNT_OF(block); i++)
            cell_free(block[i]);
    }
    REQUIRE(!cell_tcache_mine->watch->row[cell_tcache_row_for_chunk(chunk_size(SHORT))].proven);
}

/* The last requests of a chunk's size are beyond the limit themselves; what the bin holds serves them all the same. */
TEST(all_requests_of_a_chunk_share_its_bin)
{
    size_t limit = 48000;

    REQUIRE(chunk_size(limit) == chunk_size(limit + 1));
    cell_option_set("recurring_limit", limit);
    for (int i = 0; i < 256; i++)                           /* a heap in which the cache may hold some */
        must_malloc(4 * SIZE);
    recur(limit, CELL_RECURS + 1);
    void *kept = slot_of(limit)->bin.head;
    REQUIRE(kept != NULL);
    REQUIRE(cell_malloc(limit + 1) == kept);
    cell_free(kept);
    REQUIRE(cell_calloc(1, limit + 1) == kept);
    REQUIRE_SOUND_HEAP();
}

/* While the limit was lower the bin was not looked for; it has what it had. */
TEST(a_limit_that_rises_again_finds_what_the_bin_holds)
{
    size_t sizes[] = { SIZE, 20000 }, limit = cell_option.recurring_limit;

    for (int i = 0; i < 256; i++)                           /* a heap in which the cache may hold some */
        must_malloc(4 * SIZE);
    for (int round = 0; round < 20; round++)
        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
            recur(sizes[i], 2 * CELL_RECURS);
            void *kept = slot_of(sizes[i])->bin.head;
            REQUIRE(kept != NULL);
            cell_option_set("recurring_limit", 1024);
            cell_option_set("recurring_limit", limit);
            REQUIRE(cell_malloc(sizes[i]) == kept);
            cell_free(kept);
            REQUIRE_SOUND_HEAP();
        }
}

TEST(what_is_kept_is_bounded)
{
    static void *block[2000];
    size_t most = 0;

    for (size_t i = 0; i < COUNT_OF(block); i++)
        block[i] = cell_malloc(SIZE);
    recur(SIZE, CELL_RECURS + 1);
    REQUIRE(slot_of(SIZE)->demand.proven);
    for (size_t i = 0; i < COUNT_OF(block); i++) {
        cell_free(block[i]);
        size_t held = (slot_of(SIZE)->bin.limit - slot_of(SIZE)->bin.room) * chunk_size(SIZE);
        most = held > most ? held : most;
    }
    REQUIRE(most >= 4 * chunk_size(SIZE));
    REQUIRE(most <= cell_tcache_mine->budget && most <= 65536);
    REQUIRE_SOUND_HEAP();
}

TEST(others_take_the_slot_over_when_they_outweigh_it)
{
    size_t other[3], found = 0;

    for (size_t request = SIZE + 16; found < COUNT_OF(other); request += 16) {
        REQUIRE(request < 131072);
        if (cell_recurring_pair(chunk_size(request)) == cell_recurring_pair(chunk_size(SIZE)))
            other[found++] = request;
    }
    recur(SIZE, CELL_RECURS + 1);                           /* both slots of the pair have proved themselves */
    recur(other[0], 8 * CELL_RECURS);
    REQUIRE(slot_of(SIZE)->demand.proven && slot_of(other[0])->demand.proven && slot_of(SIZE) != slot_of(other[0]));
    for (unsigned i = 0; i < 8 * CELL_RECURS; i++)      /* in turns: none of them recurs */
        for (size_t j = 1; j < COUNT_OF(other); j++)
            REQUIRE(cell_malloc(other[j]) != NULL);
    REQUIRE(slot_of(SIZE)->size != chunk_size(SIZE) && slot_of(other[0])->size != chunk_size(other[0]));
    REQUIRE_SOUND_HEAP();
    recur(other[0], 8 * CELL_RECURS);
    REQUIRE(slot_of(other[0])->size == chunk_size(other[0]) && slot_of(other[0])->demand.proven);
    REQUIRE_SOUND_HEAP();
}

/* A slot that has proved itself is found at once; frees that go there count, too, so that requests for others do not outweigh them. */
TEST(a_size_that_comes_back_keeps_its_slot)
{
    size_t other[2], found = 0;

    for (size_t request = SIZE + 16; found < COUNT_OF(other); request += 16)
        if (cell_recurring_pair(chunk_size(request)) == cell_recurring_pair(chunk_size(SIZE)))
            other[found++] = request;
    recur(SIZE, CELL_RECURS + 1);
    recur(other[0], CELL_RECURS + 1);
    REQUIRE(cell_tcache_named_slot(cell_tcache_mine, chunk_size(SIZE)) == slot_of(SIZE));
    REQUIRE(cell_tcache_named_slot(cell_tcache_mine, chunk_size(other[1])) == NULL);
    for (unsigned i = 0; i < 8 * CELL_RECURS; i++) {
        cell_free(must_malloc(SIZE));
        must_malloc(other[1]);
        REQUIRE(slot_of(SIZE)->size == chunk_size(SIZE) && slot_of(SIZE)->demand.recurred >= CELL_RECURS);
    }
    REQUIRE(slot_of(other[0])->size != chunk_size(other[0]));
    REQUIRE(cell_tcache_named_slot(cell_tcache_mine, chunk_size(SIZE)) == slot_of(SIZE));
    REQUIRE_SOUND_HEAP();
}

/* Bursts of more blocks than the bin takes: what it lacks comes in batches, not block by block. */
TEST(an_empty_bin_is_refilled_in_batches)
{
    static void *block[200];
    struct cell_stats before;

    recur(SIZE, CELL_RECURS + 1);
    for (int burst = 0; burst < 4; burst++) {
        before = stats_now();
        for (size_t i = 0; i < COUNT_OF(block); i++)
            block[i] = must_malloc(SIZE);
        uint64_t refills = stats_now().refills - before.refills;
        REQUIRE(burst == 0 || (refills > 0 && refills < COUNT_OF(block) / 4));
        for (size_t i = 0; i < COUNT_OF(block); i++)
            cell_free(block[i]);
    }
    REQUIRE_SOUND_HEAP();
}

TEST(calloc_takes_from_the_bin_what_it_clears)
{
    recur(SIZE, CELL_RECURS + 1);
    unsigned char *block = must_malloc(SIZE);
    memset(block, 0xa5, SIZE);
    cell_free(block);
    unsigned char *again = cell_calloc(4, SIZE / 4);
    REQUIRE(again == block);
    for (size_t i = 0; i < SIZE; i++)
        REQUIRE_EQUAL(again[i], 0);
}

/* What the bins hold coalesces before the heap grows for a large request. */
TEST(a_large_request_gets_what_they_hold)
{
    void *block[8], *guard;

    recur(SIZE, CELL_RECURS + 1);
    for (size_t i = 0; i < COUNT_OF(block); i++)
        block[i] = cell_malloc(SIZE);
    guard = cell_malloc(SIZE);
    for (size_t i = 0; i < COUNT_OF(block); i++)
        cell_free(block[i]);
    REQUIRE(slot_of(SIZE)->bin.head != NULL);
    size_t resident = stats_now().footprint_bytes;
    char *large = cell_malloc(7 * chunk_size(SIZE));
    REQUIRE(large != NULL);
    REQUIRE(stats_now().footprint_bytes == resident);
    cell_free(guard);
    REQUIRE_SOUND_HEAP();
}

TEST(so_do_single_sizes_when_recurring_limit_falls)
{
    recur(9000, CELL_RECURS + 1);
    REQUIRE(is_kept_when_freed());
    REQUIRE(cell_option_set("recurring_limit", 8200) == 0);
    REQUIRE(!is_kept_when_freed());
    REQUIRE_SOUND_HEAP();
}

/* Sizes that had rows of their own have none when cache_limit falls, and no slots either. */
TEST(sizes_above_a_low_cache_limit_find_no_slot)
{
    for (size_t i = 0; i < 4 * CELL_RECURRING_SLOTS; i++)           /* whichever slots these are for */
        recur(33000 + i * 256, CELL_RECURS + 1);
    REQUIRE(cell_option_set("cache_limit", 300) == 0);
    for (size_t request = 320; request < CELL_BINNED_MAX; request += CELL_ALIGN)
        cell_free(must_malloc(request));
    REQUIRE_SOUND_HEAP();
}

/* Blocks of sizes that a small cache cannot even out. */
static void miss(unsigned rounds)
{
    static void *block[2048];

    for (unsigned i = 0; i < rounds; i++) {
        void **at = &block[some(COUNT_OF(block))];
        cell_free(*at);
        *at = must_malloc(130 + some(370));
    }
    REQUIRE_SOUND_HEAP();
}

/* In a heap that does not grow, the cache may hold more for those who keep missing; as before once it grows. */
TEST(misses_in_a_steady_heap_widen_the_cache)
{
    miss(16000);
    REQUIRE(cell_tcache_mine->budget <= stats_now().resident_bytes / 8);
    miss(2000000);
    REQUIRE(cell_tcache_mine->budget > stats_now().resident_bytes / 5);
    REQUIRE(cell_tcache_mine->budget <= stats_now().resident_bytes / 2);
    for (int i = 0; i < 6; i++)
        must_malloc(20000);
    miss(16000);
    REQUIRE(cell_tcache_mine->budget <= stats_now().resident_bytes / 8);
}

TEST(a_second_thread_ends_it)
{
    pthread_t thread;

    REQUIRE(cell_option_set("purge_min", (size_t)1 << 20) == 0);       /* bins that an emptied heap closes prove nothing here */
    vary(8300, 16300, 32 * CELL_CLASS_RECURS);
    recur(SIZE, 8 * CELL_RECURS);
    recur(SHORT, CELL_RECURS + 1);
    REQUIRE(cell_tcache_mine->watch != NULL && slot_of(SIZE)->bin.head != NULL);
    REQUIRE(cell_tcache_bin(cell_tcache_mine, chunk_size(SHORT))->head != NULL);
    REQUIRE(pthread_create(&thread, NULL, allocate_once, NULL) == 0);
    pthread_join(thread, NULL);
    for (size_t request = 1; request <= 500; request += 8)      /* some of these find no block in their bins */
        REQUIRE(cell_malloc(request) != NULL);
    REQUIRE(cell_tcache_mine->watch == NULL);
    REQUIRE(cell_tcache_bin(cell_tcache_mine, chunk_size(SHORT))->head == NULL);     /* of no class */
    for (size_t request = 400; request <= 20000; request += 24)
        cell_free(must_malloc(request));
    REQUIRE_SOUND_HEAP();
}

TEST(none_with_the_limit_at_zero)
{
    cell_option_set("recurring_limit", 0);
    recur(SIZE, 2 * CELL_RECURS);
    recur(SHORT, 2 * CELL_RECURS);
    REQUIRE(!last_comes_first(SIZE) && !last_comes_first(SHORT));
    REQUIRE_EQUAL(stats_now().cached_bytes, 0);
}

/* An empty bin is served by one of a little larger chunks that has more than it needs; sized frees know of it. */
TEST(a_little_larger_chunk_serves_when_there_are_many)
{
    static void *block[64];
    size_t request = 24 * CELL_ALIGN - CELL_WORD, larger = 27 * CELL_ALIGN - CELL_WORD;

    for (int round = 0; round < 4; round++) {
        for (size_t i = 0; i < COUNT_OF(block); i++)
            block[i] = cell_malloc(larger);
        for (size_t i = 0; i < COUNT_OF(block); i++)
            cell_free(block[i]);
    }
    void *served = cell_malloc(request);
    REQUIRE(cell_usable_size(served) >= larger);
    cell_free_sized(served, request);
    REQUIRE_SOUND_HEAP();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(oldest_first_until_a_size_has_proved_to_recur), cmocka_unit_test(last_first_once_it_has),
        cmocka_unit_test(the_same_of_sizes_with_a_row), cmocka_unit_test(many_requests_and_then_many_frees_do_not),
        cmocka_unit_test(a_limit_that_rises_again_finds_what_the_bin_holds),
        cmocka_unit_test(all_requests_of_a_chunk_share_its_bin), cmocka_unit_test(what_is_kept_is_bounded),
        cmocka_unit_test(others_take_the_slot_over_when_they_outweigh_it),
        cmocka_unit_test(a_size_that_comes_back_keeps_its_slot), cmocka_unit_test(an_empty_bin_is_refilled_in_batches),
        cmocka_unit_test(calloc_takes_from_the_bin_what_it_clears), cmocka_unit_test(a_large_request_gets_what_they_hold),
        cmocka_unit_test(so_do_single_sizes_when_recurring_limit_falls),
        cmocka_unit_test(sizes_above_a_low_cache_limit_find_no_slot), cmocka_unit_test(misses_in_a_steady_heap_widen_the_cache),
        cmocka_unit_test(a_second_thread_ends_it), cmocka_unit_test(none_with_the_limit_at_zero),
        cmocka_unit_test(a_little_larger_chunk_serves_when_there_are_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
