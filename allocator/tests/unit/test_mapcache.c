/* test_mapcache.c - freed mappings: which are kept, which serve a request, which go. Addresses are never followed. */
#include "mapcache.h"
#include "support.h"

#define KIB ((size_t)1024)
#define FAR (~(size_t)0)

static struct cell_mapcache cache;
static uintptr_t next_address = 1 << 20;

static struct cell_extent mapping(size_t size)
{
    struct cell_extent fresh = { (char *)next_address, size };

    next_address += 64 * KIB * KIB;
    return fresh;
}

static struct cell_extent cut;

static struct cell_extent take(size_t size)
{
    return cell_mapcache_take(&cache, size, &cut);
}

static struct cell_extents put(struct cell_extent freed, size_t bound)
{
    struct cell_extents dropped;

    cell_mapcache_put(&cache, freed, bound, &dropped);
    return dropped;
}

/* Asks for what was given back until the cache keeps mappings. */
static void teach(void)
{
    cache = (struct cell_mapcache){ .held = 0 };
    for (int i = 0; i < 2; i++) {
        REQUIRE_EQUAL(put(mapping(256 * KIB), FAR).count, 1);
        REQUIRE(take(256 * KIB).start == NULL);
    }
}

TEST(the_first_two_of_a_kind_are_given_back)
{
    teach();
    REQUIRE_EQUAL(put(mapping(256 * KIB), FAR).count, 0);
    REQUIRE_EQUAL(cache.bytes, 256 * KIB);
}

TEST(requests_for_what_never_was_there_teach_nothing)
{
    cache = (struct cell_mapcache){ .held = 0 };
    for (int i = 0; i < 20; i++)
        REQUIRE(take(256 * KIB).start == NULL);
    REQUIRE_EQUAL(put(mapping(256 * KIB), FAR).count, 1);
}

TEST(experience_is_forgotten_when_requests_are_new)
{
    teach();
    for (int i = 0; i < 20; i++)
        take(1024 * KIB);
    REQUIRE_EQUAL(put(mapping(256 * KIB), FAR).count, 1);
}

TEST(it_is_regretted_when_it_has_been_so_eight_times_of_late)
{
    cache = (struct cell_mapcache){ .held = 0 };
    for (int i = 0; i < 8; i++) {
        REQUIRE(!cell_mapcache_is_regretted(&cache));
        cache.given_back = 256 * KIB;
        REQUIRE(take(256 * KIB).start == NULL);
    }
    REQUIRE(cell_mapcache_is_regretted(&cache));
    take(256 * KIB);
    REQUIRE(!cell_mapcache_is_regretted(&cache));
}

TEST(the_smallest_that_holds_a_request_serves_it)
{
    teach();
    struct cell_extent large = mapping(1024 * KIB), fits = mapping(264 * KIB), small = mapping(128 * KIB);
    put(large, FAR);
    put(fits, FAR);
    put(small, FAR);
    struct cell_extent taken = take(256 * KIB);
    REQUIRE(taken.start == fits.start);
    REQUIRE_EQUAL(taken.size, 264 * KIB);
    REQUIRE_EQUAL(cache.bytes, large.size + small.size);
}

TEST(what_is_too_much_is_split_off_and_kept)
{
    teach();
    struct cell_extent large = mapping(1024 * KIB);
    put(large, FAR);
    struct cell_extent taken = take(256 * KIB);
    REQUIRE(taken.start == large.start && taken.size == 256 * KIB);
    REQUIRE_EQUAL(cache.bytes, 768 * KIB);
    taken = take(768 * KIB);
    REQUIRE(taken.start == large.start + 256 * KIB);
    REQUIRE_EQUAL(cache.bytes, 0);
}

TEST(a_little_too_much_stays_with_the_block)
{
    teach();
    struct cell_extent large = mapping(1024 * KIB);
    put(large, FAR);
    REQUIRE_EQUAL(take(912 * KIB).size, 1024 * KIB);
    put(large, FAR);
    REQUIRE_EQUAL(take(908 * KIB).size, 908 * KIB);
    REQUIRE_EQUAL(cache.bytes, 116 * KIB);
}

TEST(parts_that_come_back_are_joined)
{
    teach();
    struct cell_extent whole = mapping(1024 * KIB);
    put(whole, FAR);
    struct cell_extent first = take(256 * KIB), second = take(256 * KIB), third = take(256 * KIB);
    REQUIRE(second.start == first.start + first.size);
    put(first, FAR);
    put(third, FAR);
    REQUIRE_EQUAL(cache.held, 2);       /* the third and what lay behind it are one */
    put(second, FAR);
    REQUIRE_EQUAL(cache.held, 1);
    REQUIRE_EQUAL(cache.bytes, 1024 * KIB);
    REQUIRE(take(1024 * KIB).start == whole.start);
}

TEST(mappings_that_are_hardly_used_stay_as_they_are)
{
    teach();
    struct cell_extent whole = mapping(1024 * KIB), front = { whole.start, 512 * KIB }, back = { whole.start + 512 * KIB, 512 * KIB };
    cell_mapcache_note_use(&cache, true);
    put(front, FAR);
    put(back, FAR);
    REQUIRE_EQUAL(cache.held, 2);
    REQUIRE(take(412 * KIB).size == 512 * KIB && cut.start == NULL);
    put(front, FAR);
    size_t given_back = cache.given_back;
    REQUIRE(take(408 * KIB).size == 408 * KIB && cut.start == back.start + 408 * KIB && cut.size == 104 * KIB);
    REQUIRE(cache.held == 1 && cache.bytes == 512 * KIB && cache.given_back == given_back + cut.size);
    cell_mapcache_note_use(&cache, false);
    REQUIRE(take(64 * KIB).size == 64 * KIB && cut.start == NULL);
    REQUIRE_EQUAL(cache.bytes, 448 * KIB);
}

TEST(a_block_grows_into_the_one_behind_it)
{
    teach();
    struct cell_extent whole = mapping(1024 * KIB);
    put(whole, FAR);
    struct cell_extent block = take(256 * KIB);
    char *end = block.start + block.size;
    REQUIRE(!cell_mapcache_take_at(&cache, end, 772 * KIB));
    REQUIRE(!cell_mapcache_take_at(&cache, end + 4 * KIB, 4 * KIB));
    REQUIRE(cell_mapcache_take_at(&cache, end, 256 * KIB));
    REQUIRE_EQUAL(cache.bytes, 512 * KIB);
    REQUIRE(cell_mapcache_take_at(&cache, end + 256 * KIB, 512 * KIB));
    REQUIRE_EQUAL(cache.bytes, 0);
    REQUIRE_EQUAL(cache.held, 0);
}

/* Three mappings at a time, of which the bound allows one. Returns how many requests were not served. */
static unsigned missed(unsigned rounds)
{
    unsigned misses = 0;

    for (unsigned i = 0; i < rounds; i++) {
        struct cell_extent live[3];
        for (unsigned k = 0; k < 3; k++) {
            live[k] = take(256 * KIB);
            misses += live[k].start == NULL;
            if (live[k].start == NULL)
                live[k] = mapping(256 * KIB);
        }
        for (unsigned k = 0; k < 3; k++)
            put(live[k], 256 * KIB);
    }
    return misses;
}

TEST(what_is_wanted_back_again_and_again_is_kept_beyond_the_bound)
{
    cache = (struct cell_mapcache){ .held = 0 };
    REQUIRE(missed(20) >= 3);
    REQUIRE_EQUAL(missed(100), 0);
    REQUIRE_EQUAL(cache.bytes, 768 * KIB);
}

TEST(until_it_lies_unused)
{
    cache = (struct cell_mapcache){ .held = 0 };
    missed(20);
    for (int i = 0; i < 500; i++)
        put(take(256 * KIB), 256 * KIB);
    REQUIRE_EQUAL(cache.bytes, 256 * KIB);
}

TEST(what_there_is_no_place_for_is_not_wanted)
{
    static struct cell_extent live[3 * CELL_MAPCACHE_ENTRIES];

    cache = (struct cell_mapcache){ .held = 0 };
    for (int round = 0; round < 100; round++) {
        for (size_t i = 0; i < COUNT_OF(live); i++) {
            live[i] = take(256 * KIB);
            if (live[i].start == NULL)
                live[i] = mapping(256 * KIB);
        }
        REQUIRE_EQUAL(cache.wanted, 0);
        for (size_t i = 0; i < COUNT_OF(live); i++)
            put(live[i], FAR);
    }
    REQUIRE_EQUAL(cache.held, CELL_MAPCACHE_ENTRIES);
}

/* One mapping at a time, small and large in turns. Returns how often the large one had to be grown. */
static unsigned grown(unsigned rounds)
{
    unsigned growths = 0;

    for (unsigned i = 0; i < 2 * rounds; i++) {
        size_t size = i % 2 == 0 ? 256 * KIB : 1024 * KIB;
        struct cell_extent taken = take(size);
        growths += taken.start != NULL && taken.size < size;
        if (taken.start == NULL || taken.size < size)
            taken = mapping(size);
        put(taken, 64 * KIB);
    }
    return growths;
}

TEST(what_a_mapping_had_to_be_grown_by_is_wanted_too)
{
    cache = (struct cell_mapcache){ .held = 0 };
    REQUIRE(grown(20) >= 3);
    REQUIRE_EQUAL(grown(50), 0);
}

TEST(a_smaller_one_is_there_to_be_grown_but_not_from_next_to_nothing)
{
    teach();
    struct cell_extent small = mapping(128 * KIB);
    put(small, FAR);
    REQUIRE(take(516 * KIB).start == NULL);
    struct cell_extent taken = take(512 * KIB);
    REQUIRE(taken.start == small.start && taken.size == 128 * KIB);
}

TEST(beyond_the_bound_the_oldest_goes)
{
    teach();
    struct cell_extent oldest = mapping(256 * KIB);
    put(oldest, 768 * KIB);
    REQUIRE_EQUAL(put(mapping(256 * KIB), 768 * KIB).count, 0);
    REQUIRE_EQUAL(put(mapping(256 * KIB), 768 * KIB).count, 0);
    struct cell_extents dropped = put(mapping(256 * KIB), 768 * KIB);
    REQUIRE_EQUAL(dropped.count, 1);
    REQUIRE(dropped.extent[0].start == oldest.start);
    REQUIRE_EQUAL(cache.bytes, 768 * KIB);
}

TEST(one_is_kept_whatever_its_size_and_none_without_a_bound)
{
    teach();
    REQUIRE_EQUAL(put(mapping(4096 * KIB), 64 * KIB).count, 0);
    REQUIRE_EQUAL(put(mapping(256 * KIB), 0).count, 2);
    REQUIRE_EQUAL(cache.bytes, 0);
}

TEST(all_places_may_be_taken_and_emptied)
{
    teach();
    for (int i = 0; i < 3 * CELL_MAPCACHE_ENTRIES; i++)
        put(mapping(256 * KIB), FAR);
    REQUIRE_EQUAL(cache.held, CELL_MAPCACHE_ENTRIES);
    REQUIRE_EQUAL(cell_mapcache_shrink(&cache, 0).count, CELL_MAPCACHE_ENTRIES);
    REQUIRE_EQUAL(cache.held, 0);
    REQUIRE_EQUAL(cache.bytes, 0);
}

TEST(the_oldest_go_until_little_is_left)
{
    teach();
    struct cell_extent oldest = mapping(256 * KIB);
    put(oldest, FAR);
    put(mapping(128 * KIB), FAR);
    REQUIRE_EQUAL(cell_mapcache_shrink(&cache, 384 * KIB).count, 0);
    struct cell_extents dropped = cell_mapcache_shrink(&cache, 383 * KIB);
    REQUIRE_EQUAL(dropped.count, 1);
    REQUIRE(dropped.extent[0].start == oldest.start);
    REQUIRE_EQUAL(cache.bytes, 128 * KIB);
}

/* As the heap grows, again and again, each time between a free and the next request. */
TEST(what_has_made_room_and_is_wanted_back_is_kept_again)
{
    teach();
    for (int i = 0; i < 20; i++) {
        REQUIRE_EQUAL(put(mapping(256 * KIB), FAR).count, 0);
        REQUIRE_EQUAL(cell_mapcache_shrink(&cache, 0).count, 1);
        REQUIRE(take(256 * KIB).start == NULL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_two_of_a_kind_are_given_back),
        cmocka_unit_test(requests_for_what_never_was_there_teach_nothing),
        cmocka_unit_test(experience_is_forgotten_when_requests_are_new),
        cmocka_unit_test(it_is_regretted_when_it_has_been_so_eight_times_of_late),
        cmocka_unit_test(the_smallest_that_holds_a_request_serves_it),
        cmocka_unit_test(what_is_too_much_is_split_off_and_kept), cmocka_unit_test(a_little_too_much_stays_with_the_block),
        cmocka_unit_test(parts_that_come_back_are_joined), cmocka_unit_test(mappings_that_are_hardly_used_stay_as_they_are),
        cmocka_unit_test(a_block_grows_into_the_one_behind_it),
        cmocka_unit_test(what_is_wanted_back_again_and_again_is_kept_beyond_the_bound),
        cmocka_unit_test(what_there_is_no_place_for_is_not_wanted), cmocka_unit_test(until_it_lies_unused), cmocka_unit_test(what_a_mapping_had_to_be_grown_by_is_wanted_too),
        cmocka_unit_test(the_oldest_go_until_little_is_left),
        cmocka_unit_test(a_smaller_one_is_there_to_be_grown_but_not_from_next_to_nothing),
        cmocka_unit_test(beyond_the_bound_the_oldest_goes),
        cmocka_unit_test(one_is_kept_whatever_its_size_and_none_without_a_bound),
        cmocka_unit_test(all_places_may_be_taken_and_emptied),
        cmocka_unit_test(what_has_made_room_and_is_wanted_back_is_kept_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
