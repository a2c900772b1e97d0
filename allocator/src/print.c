/* print.c - writes the figures and blocks; every figure of struct cell_stats is one row of `fields`. */
#include "print.h"

#include "walk.h"

/* In the order of the layers, from the program down to the system. */
enum layer { WHOLE, CACHE, DEPOT, QUARANTINE, POOLS, CHUNKS, MAPPINGS, SEGMENT, LAYER_COUNT };

static const char *const layer_names[LAYER_COUNT] = {
    "whole", "cache", "depot", "quarantine", "pools", "chunks", "mappings", "segment"
};

static const struct {
    const char *name;
    size_t offset;
    enum layer layer;
} fields[] = {
#define FIELD(layer, name) { #name, offsetof(struct cell_stats, name), layer }
    FIELD(WHOLE, live_blocks), FIELD(WHOLE, live_bytes), FIELD(WHOLE, requested_bytes), FIELD(WHOLE, overhead_bytes),
    FIELD(WHOLE, free_bytes), FIELD(WHOLE, metadata_bytes), FIELD(WHOLE, footprint_bytes),
    FIELD(WHOLE, footprint_peak_bytes),
    FIELD(CACHE, cached_blocks), FIELD(CACHE, cached_bytes), FIELD(CACHE, cache_metadata_bytes), FIELD(CACHE, refills),
    FIELD(CACHE, flushes),
    FIELD(DEPOT, depot_bytes),
    FIELD(QUARANTINE, quarantine_blocks), FIELD(QUARANTINE, quarantine_bytes), FIELD(QUARANTINE, guard_blocks),
    FIELD(POOLS, pool_bytes), FIELD(POOLS, pool_live_bytes), FIELD(POOLS, free_cells), FIELD(POOLS, free_cell_bytes),
    FIELD(POOLS, pool_adds), FIELD(POOLS, pool_removes),
    FIELD(CHUNKS, chunk_live_bytes), FIELD(CHUNKS, free_chunks), FIELD(CHUNKS, free_chunk_bytes),
    FIELD(CHUNKS, largest_free_bytes), FIELD(CHUNKS, splits), FIELD(CHUNKS, merges),
    FIELD(MAPPINGS, mapped_blocks), FIELD(MAPPINGS, mapped_bytes), FIELD(MAPPINGS, mapped_live_bytes),
    FIELD(MAPPINGS, map_cached_bytes), FIELD(MAPPINGS, maps), FIELD(MAPPINGS, unmaps), FIELD(MAPPINGS, remaps),
    FIELD(MAPPINGS, map_reuses),
    FIELD(SEGMENT, arenas), FIELD(SEGMENT, heap_bytes), FIELD(SEGMENT, resident_bytes), FIELD(SEGMENT, dirty_bytes),
    FIELD(SEGMENT, top_bytes), FIELD(SEGMENT, grows), FIELD(SEGMENT, purges), FIELD(SEGMENT, purged_bytes), FIELD(SEGMENT, populates),
    FIELD(SEGMENT, populated_pages), FIELD(SEGMENT, faults_avoided),
#undef FIELD
};

#define FIELD_COUNT (sizeof fields / sizeof fields[0])

_Static_assert(sizeof(struct cell_stats) == FIELD_COUNT * sizeof(uint64_t), "every figure is printed");

static uint64_t value_of(const struct cell_stats *stats, size_t field)
{
    return *(const uint64_t *)((const char *)stats + fields[field].offset);
}

/* ---- text --------------------------------------------------------------------------------------------------------- */

void cell_print_text(struct cell_text *text, const struct cell_census *census)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        uint64_t value = value_of(&census->stats, i);
        if (i == 0 || fields[i].layer != fields[i - 1].layer) {
            cell_text_string(text, layer_names[fields[i].layer]);
            cell_text_string(text, ":\n");
        }
        if (value == CELL_NOT_COUNTED)
            cell_text_string(text, "     not counted");
        else
            cell_text_number_wide(text, value, 16);
        cell_text_string(text, "  ");
        cell_text_string(text, fields[i].name);
        cell_text_string(text, "\n");
    }
    cell_text_string(text, "\n    cell    pools     live     free\n");
    for (size_t i = 1; i <= CELL_POOL_CLASSES; i++) {
        if (census->cells[i].pools == 0)
            continue;
        cell_text_number_wide(text, cell_pool_cell_size((unsigned)i), 8);
        cell_text_number_wide(text, census->cells[i].pools, 9);
        cell_text_number_wide(text, census->cells[i].live, 9);
        cell_text_number_wide(text, census->cells[i].free, 9);
        cell_text_string(text, "\n");
    }
}

/* ---- JSON --------------------------------------------------------------------------------------------------------- */

static void json_member(struct cell_text *text, const char *before, const char *name, uint64_t value)
{
    cell_text_string(text, before);
    cell_text_string(text, "\"");
    cell_text_string(text, name);
    cell_text_string(text, "\": ");
    if (value == CELL_NOT_COUNTED)
        cell_text_string(text, "null");
    else
        cell_text_number(text, value);
}

static void json_figures(struct cell_text *text, const struct cell_stats *stats)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        json_member(text, i == 0 ? "" : ", ", fields[i].name, value_of(stats, i));
}

/* The names of each layer's figures. */
static void json_layers(struct cell_text *text)
{
    cell_text_string(text, ", \"layers\": {");
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        bool first = i == 0 || fields[i].layer != fields[i - 1].layer;
        if (first) {
            cell_text_string(text, i == 0 ? "\"" : "], \"");
            cell_text_string(text, layer_names[fields[i].layer]);
            cell_text_string(text, "\": [");
        }
        cell_text_string(text, first ? "\"" : ", \"");
        cell_text_string(text, fields[i].name);
        cell_text_string(text, "\"");
    }
    cell_text_string(text, "]}");
}

void cell_print_json(struct cell_text *text, const struct cell_census *census)
{
    const char *separator = "";

    cell_text_string(text, "{");
    json_figures(text, &census->stats);
    json_layers(text);
    cell_text_string(text, ", \"pools\": [");
    for (size_t i = 1; i <= CELL_POOL_CLASSES; i++) {
        if (census->cells[i].pools == 0)
            continue;
        cell_text_string(text, separator);
        separator = ", ";
        json_member(text, "{", "cell_bytes", cell_pool_cell_size((unsigned)i));
        json_member(text, ", ", "pools", census->cells[i].pools);
        json_member(text, ", ", "live", census->cells[i].live);
        json_member(text, ", ", "free", census->cells[i].free);
        cell_text_string(text, "}");
    }
    cell_text_string(text, "]}\n");
}

struct dump {
    struct cell_text *text;
    const char *base, *separator;
};

static int dump_block(void *context, const struct cell_block *block)
{
    struct dump *dump = context;
    bool mapped = block->kind == CELL_KIND_MAPPED || block->kind == CELL_KIND_MAPPED_CACHED;

    cell_text_string(dump->text, dump->separator);
    dump->separator = ",\n ";
    cell_text_string(dump->text, "[\"");
    cell_text_string(dump->text, cell_kind_name(block->kind));
    cell_text_string(dump->text, "\", ");
    cell_text_number(dump->text, mapped ? (uintptr_t)block->start : (uint64_t)((const char *)block->start - dump->base));
    cell_text_string(dump->text, ", ");
    cell_text_number(dump->text, block->size);
    cell_text_string(dump->text, "]");
    return dump->text->error;
}

void cell_print_dump(struct cell_text *text)
{
    struct cell_census census;
    struct dump dump = { text, cell_heap_main.segment.base, "" };

    cell_stats_count(NULL, &census);
    json_member(text, "{", "version", 1);
    json_member(text, ", ", "base", (uintptr_t)dump.base);
    json_member(text, ", ", "page", CELL_PAGE);
    cell_text_string(text, ", \"stats\": {");
    json_figures(text, &census.stats);
    cell_text_string(text, "},\n \"blocks\": [\n ");
    cell_heap_walk(NULL, dump_block, &dump);
    cell_text_string(text, "]}\n");
}

/* ---- XML in the shape of glibc's malloc_info ------------------------------------------------------------------------- */

static void xml_attribute(struct cell_text *text, const char *name, uint64_t value)
{
    cell_text_string(text, " ");
    cell_text_string(text, name);
    cell_text_string(text, "=\"");
    cell_text_number(text, value);
    cell_text_string(text, "\"");
}

static void xml_element(struct cell_text *text, const char *element, const char *type)
{
    cell_text_string(text, "<");
    cell_text_string(text, element);
    cell_text_string(text, " type=\"");
    cell_text_string(text, type);
    cell_text_string(text, "\"");
}

static void xml_total(struct cell_text *text, const char *type, uint64_t count, uint64_t size)
{
    xml_element(text, "total", type);
    xml_attribute(text, "count", count);
    xml_attribute(text, "size", size);
    cell_text_string(text, "/>\n");
}

static void xml_sized(struct cell_text *text, const char *element, const char *type, uint64_t size)
{
    xml_element(text, element, type);
    xml_attribute(text, "size", size);
    cell_text_string(text, "/>\n");
}

static void xml_sizes(struct cell_text *text, const struct cell_census *census)
{
    cell_text_string(text, "<sizes>\n");
    for (size_t row = 0; row < sizeof census->free_chunks / sizeof census->free_chunks[0]; row++) {
        uint64_t from, to;
        if (census->free_chunks[row].count == 0)
            continue;
        cell_stats_range(row, &from, &to);
        cell_text_string(text, "  <size");
        xml_attribute(text, "from", from);
        xml_attribute(text, "to", to);
        xml_attribute(text, "total", census->free_chunks[row].bytes);
        xml_attribute(text, "count", census->free_chunks[row].count);
        cell_text_string(text, "/>\n");
    }
    cell_text_string(text, "</sizes>\n");
}

/* What one heap and all heaps have in common; glibc prints it twice. "fast": cached blocks and free cells. */
static void xml_totals(struct cell_text *text, const struct cell_stats *stats, bool with_mapped)
{
    xml_total(text, "fast", stats->cached_blocks + stats->free_cells, stats->cached_bytes + stats->free_cell_bytes);
    xml_total(text, "rest", stats->free_chunks + (stats->top_bytes != 0), stats->free_chunk_bytes + stats->top_bytes);
    if (with_mapped)
        xml_total(text, "mmap", stats->mapped_blocks, stats->mapped_bytes);
    xml_sized(text, "system", "current", stats->resident_bytes);
    xml_sized(text, "system", "max", stats->footprint_peak_bytes);
    xml_sized(text, "aspace", "total", stats->heap_bytes);
    xml_sized(text, "aspace", "mprotect", stats->heap_bytes);
}

/* What glibc has no elements for: one for each layer. */
static void xml_layers(struct cell_text *text, const struct cell_stats *stats)
{
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        uint64_t value = value_of(stats, i);
        if (i == 0 || fields[i].layer != fields[i - 1].layer) {
            cell_text_string(text, i == 0 ? "<layer name=\"" : "/>\n<layer name=\"");
            cell_text_string(text, layer_names[fields[i].layer]);
            cell_text_string(text, "\"");
        }
        if (value != CELL_NOT_COUNTED)
            xml_attribute(text, fields[i].name, value);
    }
    cell_text_string(text, "/>\n");
}

static void xml_pools(struct cell_text *text, const struct cell_census *census)
{
    for (size_t i = 1; i <= CELL_POOL_CLASSES; i++) {
        if (census->cells[i].pools == 0)
            continue;
        cell_text_string(text, "<pool");
        xml_attribute(text, "cell_bytes", cell_pool_cell_size((unsigned)i));
        xml_attribute(text, "pools", census->cells[i].pools);
        xml_attribute(text, "live", census->cells[i].live);
        xml_attribute(text, "free", census->cells[i].free);
        cell_text_string(text, "/>\n");
    }
}

void cell_print_xml(struct cell_text *text, const struct cell_census *census)
{
    cell_text_string(text, "<malloc version=\"1\">\n<heap nr=\"0\">\n");
    xml_sizes(text, census);
    xml_totals(text, &census->stats, false);
    cell_text_string(text, "</heap>\n");
    xml_totals(text, &census->stats, true);
    xml_layers(text, &census->stats);
    xml_pools(text, census);
    cell_text_string(text, "</malloc>\n");
}
