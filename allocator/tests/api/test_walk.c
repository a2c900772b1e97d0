/* test_walk.c - the heap walk leaves no byte out, knows each block's state, and agrees with the statistics and the dump. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "cellmalloc.h"

#define BLOCKS 400

struct walk {
    const char *end;                /* where the next extent must start; NULL: anywhere */
    const char *page_end;           /* cells lie before it */
    uint64_t count[CELL_KIND_COUNT], bytes[CELL_KIND_COUNT];
    const void *wanted;
    enum cell_kind wanted_kind;
};

static int is_cell(enum cell_kind kind)
{
    return kind == CELL_KIND_CELL || kind == CELL_KIND_CELL_CACHED || kind == CELL_KIND_CELL_FREE;
}

static int visit(void *context, const struct cell_block *block)
{
    struct walk *walk = context;

    walk->count[block->kind]++;
    walk->bytes[block->kind] += block->size;
    if (block->block == walk->wanted)
        walk->wanted_kind = block->kind;
    if (is_cell(block->kind)) {
        assert_true((const char *)block->start + block->size <= walk->page_end);
    } else if (block->kind != CELL_KIND_MAPPED && block->kind != CELL_KIND_MAPPED_CACHED) {
        if (walk->end != NULL)
            assert_ptr_equal(block->start, walk->end);
        walk->end = (const char *)block->start + block->size;
        walk->page_end = walk->end;
    }
    return 0;
}

static struct walk walk_for(const void *wanted)
{
    struct walk walk = { .wanted = wanted, .wanted_kind = CELL_KIND_COUNT };

    assert_int_equal(cell_heap_walk(NULL, visit, &walk), 0);
    return walk;
}

static void *blocks[BLOCKS];

static int fill(void **state)
{
    (void)state;
    for (size_t i = 0; i < BLOCKS; i++)
        blocks[i] = cell_malloc(i % 5 == 0 ? 700 + i : i * 3 % 200);
    for (size_t i = 0; i < BLOCKS; i += 3) {
        cell_free(blocks[i]);
        blocks[i] = NULL;
    }
    return 0;
}

static void extents_tile_the_heap(void **state)
{
    struct cell_stats stats;
    struct walk walk = walk_for(NULL);

    (void)state;
    cell_stats_get(&stats);
    assert_int_equal(walk.bytes[CELL_KIND_CHUNK] + walk.bytes[CELL_KIND_CHUNK_CACHED] +
                     walk.bytes[CELL_KIND_CHUNK_FREE] + walk.bytes[CELL_KIND_POOL], stats.heap_bytes);
    assert_int_equal(walk.bytes[CELL_KIND_TOP], stats.top_bytes);
    assert_int_equal(walk.bytes[CELL_KIND_POOL], stats.pool_bytes);
    assert_int_equal(walk.bytes[CELL_KIND_CHUNK_FREE], stats.free_chunk_bytes);
    assert_int_equal(walk.bytes[CELL_KIND_CELL_FREE], stats.free_cell_bytes);
    assert_int_equal(walk.count[CELL_KIND_CELL_CACHED] + walk.count[CELL_KIND_CHUNK_CACHED], stats.cached_blocks);
    assert_int_equal(walk.bytes[CELL_KIND_CELL_CACHED] + walk.bytes[CELL_KIND_CHUNK_CACHED], stats.cached_bytes);
    assert_int_equal(walk.count[CELL_KIND_CELL] + walk.count[CELL_KIND_CHUNK] + walk.count[CELL_KIND_MAPPED],
                     stats.live_blocks);
    assert_int_equal(stats.heap_bytes, stats.live_bytes - (stats.mapped_blocks != 0 ? stats.mapped_bytes : 0) +
                     stats.overhead_bytes + stats.free_bytes + stats.cached_bytes);
}

static void live_bytes_are_those_of_the_program(void **state)
{
    struct cell_stats stats;
    uint64_t bytes = 0, count = 0;

    (void)state;
    for (size_t i = 0; i < BLOCKS; i++) {
        bytes += cell_usable_size(blocks[i]);
        count += blocks[i] != NULL;
    }
    cell_stats_get(&stats);
    assert_int_equal(stats.live_blocks, count);
    assert_int_equal(stats.live_bytes, bytes);
}

static void each_state_is_told(void **state)
{
    void *cell = cell_malloc(40), *chunk = cell_malloc(150), *large = cell_malloc(3000), *mapped = cell_malloc(1 << 20);
    void *wall = cell_malloc(3000);

    (void)state;
    assert_int_equal(walk_for(cell).wanted_kind, CELL_KIND_CELL);
    assert_int_equal(walk_for(chunk).wanted_kind, CELL_KIND_CHUNK);
    assert_int_equal(walk_for(large).wanted_kind, CELL_KIND_CHUNK);
    assert_int_equal(walk_for(mapped).wanted_kind, CELL_KIND_MAPPED);
    cell_free(cell);
    cell_free(chunk);
    cell_free(large);
    cell_free(mapped);
    assert_int_equal(walk_for(cell).wanted_kind, CELL_KIND_CELL_CACHED);
    assert_int_equal(walk_for(chunk).wanted_kind, CELL_KIND_CHUNK_CACHED);
    assert_int_not_equal(walk_for(large).wanted_kind, CELL_KIND_CHUNK);
    cell_trim(0);
    assert_int_equal(walk_for(cell).wanted_kind, CELL_KIND_CELL_FREE);
    assert_int_not_equal(walk_for(chunk).wanted_kind, CELL_KIND_CHUNK_CACHED);
    cell_free(wall);
}

static int stop_at_third(void *context, const struct cell_block *block)
{
    (void)block;
    return ++*(int *)context == 3 ? 42 : 0;
}

static void a_visitor_ends_the_walk(void **state)
{
    int visits = 0;

    (void)state;
    assert_int_equal(cell_heap_walk(NULL, stop_at_third, &visits), 42);
    assert_int_equal(visits, 3);
}

static json_t *json_from(int (*write_json)(int fd))
{
    FILE *file = tmpfile();
    json_error_t error;

    assert_int_equal(write_json(fileno(file)), 0);
    rewind(file);
    json_t *json = json_loadf(file, 0, &error);
    if (json == NULL)
        fail_msg("line %d: %s", error.line, error.text);
    fclose(file);
    return json;
}

static void the_dump_is_the_walk(void **state)
{
    json_t *dump = json_from(cell_dump_json), *figures = json_from(cell_stats_json);
    struct walk walk = walk_for(NULL);
    uint64_t all = 0;

    (void)state;
    for (size_t kind = 0; kind < CELL_KIND_COUNT; kind++)
        all += walk.count[kind];
    assert_int_equal(json_array_size(json_object_get(dump, "blocks")), all);
    assert_int_equal(json_integer_value(json_object_get(figures, "heap_bytes")),
                     json_integer_value(json_object_get(json_object_get(dump, "stats"), "heap_bytes")));
    assert_true(json_array_size(json_object_get(figures, "pools")) > 0);
    json_decref(dump);
    json_decref(figures);
    assert_int_equal(cell_dump_json(-1), -1);
    assert_int_equal(cell_stats_text(-1), -1);
}

/* Every figure is one of a layer's; what was not counted is null. */
static void figures_are_grouped_by_layer(void **state)
{
    static const char *const wanted[] = { "whole", "cache", "depot", "quarantine", "pools", "chunks", "mappings", "segment" };
    json_t *figures = json_from(cell_stats_json), *layers = json_object_get(figures, "layers");
    size_t named = 0;

    (void)state;
    assert_int_equal(json_object_size(layers), sizeof wanted / sizeof wanted[0]);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        json_t *names = json_object_get(layers, wanted[i]), *name;
        size_t at;
        json_array_foreach(names, at, name) {
            named++;
            assert_non_null(json_object_get(figures, json_string_value(name)));
        }
    }
    assert_int_equal(named, sizeof(struct cell_stats) / sizeof(uint64_t));
    assert_int_equal(json_object_size(figures), named + 2);     /* and layers, and pools */
    assert_true(json_is_null(json_object_get(figures, "requested_bytes")));
    json_decref(figures);
}

/* Parts add up to the whole. */
static void parts_add_up(void **state)
{
    struct cell_stats stats;

    (void)state;
    cell_stats_get(&stats);
    assert_int_equal(stats.live_bytes, stats.pool_live_bytes + stats.chunk_live_bytes + stats.mapped_live_bytes);
    assert_int_equal(stats.free_bytes, stats.free_chunk_bytes + stats.free_cell_bytes);
    assert_true(stats.cache_metadata_bytes > 0 && stats.cache_metadata_bytes < stats.metadata_bytes);
    assert_true(stats.mapped_live_bytes <= stats.mapped_bytes);
    assert_true(stats.populated_pages >= stats.populates);
    assert_int_equal(stats.faults_avoided, stats.populated_pages - stats.populates);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extents_tile_the_heap),
        cmocka_unit_test(live_bytes_are_those_of_the_program),
        cmocka_unit_test(each_state_is_told),
        cmocka_unit_test(a_visitor_ends_the_walk),
        cmocka_unit_test(the_dump_is_the_walk),
        cmocka_unit_test(figures_are_grouped_by_layer),
        cmocka_unit_test(parts_add_up),
    };

    return cmocka_run_group_tests(tests, fill, NULL);
}
