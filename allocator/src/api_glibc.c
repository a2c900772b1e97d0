/* api_glibc.c - glibc's way of asking for figures and of setting thresholds. */
#include <errno.h>

#include "api.h"
#include "cellmalloc.h"
#include "minmax.h"
#include "override.h"
#include "print.h"
#include "tcache.h"
#include "tunables.h"

/* mallopt's parameters: numbers of glibc's ABI, which other C libraries do not name. */
enum {
    MXFAST = 1, TRIM_THRESHOLD = -1, TOP_PAD = -2, MMAP_THRESHOLD = -3, MMAP_MAX = -4, PERTURB = -6
};

#define MXFAST_MAX  (80 * (int)sizeof(size_t) / 4)

static int set(const char *name, size_t value)
{
    cell_tunables_set_nearest(name, value, cell_heap_is_ready(&cell_heap_main));
    cell_api_follow_options();
    return 1;
}

/* In glibc -1 switches trimming off, and a threshold on again. */
static int set_trim_threshold(int value)
{
    static size_t share_before;

    if (value < 0) {
        share_before = cell_option.purge_share != 0 ? cell_option.purge_share : share_before;
        return set("purge_share", 0);
    }
    if (cell_option.purge_share == 0 && share_before != 0)
        set("purge_share", share_before);
    return set("purge_min", (size_t)value);
}

int cell_mallopt(int parameter, int value)
{
    size_t bytes = value < 0 ? 0 : (size_t)value;

    switch (parameter) {
    case MXFAST:
        return value < 0 || value > MXFAST_MAX ? 0 : set("cache_limit", bytes);
    case MMAP_THRESHOLD:
        return set("mmap_threshold", value < 0 ? SIZE_MAX : bytes);
    case TRIM_THRESHOLD:
        return set_trim_threshold(value);
    case TOP_PAD:
        return set("top_pad", bytes);
    case MMAP_MAX:
        return set("mmap_max", bytes);
    case PERTURB:
        return set("perturb", (size_t)(value & 255));       /* glibc uses the low byte */
    default:
        return 1;
    }
}

static int write_to_stream(void *target, const char *text, size_t length)
{
    return fwrite(text, 1, length, target) == length ? 0 : EIO;
}

int cell_malloc_info(int options, FILE *stream)
{
    struct cell_census census;
    struct cell_text text;

    if (options != 0)
        return EINVAL;
    cell_stats_count(NULL, &census);
    cell_text_start(&text, write_to_stream, stream);
    cell_print_xml(&text, &census);
    cell_text_finish(&text);
    return 0;
}

static void stats_line(struct cell_text *text, const char *name, uint64_t value)
{
    cell_text_string(text, name);
    cell_text_string(text, "= ");
    cell_text_number_wide(text, value, 10);
    cell_text_string(text, "\n");
}

/* Line for line what glibc prints, with its heading "Arena 0". */
void cell_malloc_stats(void)
{
    struct cell_census census;
    struct cell_text text;
    const struct cell_stats *stats = &census.stats;

    cell_stats_count(NULL, &census);
    cell_text_start_fd(&text, 2);
    uint64_t in_use = stats->live_bytes + stats->overhead_bytes, mapped = stats->mapped_bytes;     /* more than in use where mappings wait in quarantine */
    cell_text_string(&text, "Arena 0:\n");
    stats_line(&text, "system bytes     ", stats->resident_bytes);
    stats_line(&text, "in use bytes     ", in_use - cell_min(in_use, mapped));
    cell_text_string(&text, "Total (incl. mmap):\n");
    stats_line(&text, "system bytes     ", stats->footprint_bytes);
    stats_line(&text, "in use bytes     ", in_use);
    stats_line(&text, "max mmap regions ", stats->maps);
    stats_line(&text, "max mmap bytes   ", cell_heap_main.mapped_peak);
    cell_text_finish(&text);
}

CELL_OVERRIDE_GLIBC_NAMES
