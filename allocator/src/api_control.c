/* api_control.c - options, trimming, the footprint and its limit, and looking inside. */
#include "cellmalloc.h"

#include <errno.h>

#include "api.h"
#include "arena.h"
#include "footprint.h"
#include "override.h"
#include "print.h"
#include "tcache.h"

/* ---- tuning ---------------------------------------------------------------------------------------------------- */

void cell_api_follow_options(void)
{
    cell_tcache_map_sizes();
    if (cell_option.perturb != 0)       /* only the slow paths fill */
        cell_tcache_retire();
}

int cell_option_set(const char *name, size_t value)
{
    switch (cell_tunables_set(name, value, cell_heap_is_ready(&cell_heap_main))) {
    case CELL_TUNABLE_OK:       cell_api_follow_options(); return 0;
    case CELL_TUNABLE_UNKNOWN:  return cell_api_fail(ENOENT);
    case CELL_TUNABLE_TOO_LATE: return cell_api_fail(EBUSY);
    default:                    return cell_api_fail(ERANGE);
    }
}

int cell_option_get(const char *name, size_t *value)
{
    return cell_tunables_get(name, value) ? 0 : cell_api_fail(ENOENT);
}

int cell_trim(size_t pad)
{
    int saved = errno;

    if (!cell_heap_is_ready(&cell_heap_main))
        return 0;
    cell_tcache_flush();
    bool any = cell_arena_trim(pad);
    errno = saved;
    return any;
}

size_t cell_footprint(void)
{
    return cell_heap_is_ready(&cell_heap_main) ? cell_footprint_total(&cell_heap_main) : 0;
}

size_t cell_max_footprint(void)
{
    size_t peak = 0;

    if (!cell_heap_is_ready(&cell_heap_main))
        return 0;
    for (unsigned arena = 0; arena < cell_arena_count(); arena++)
        peak += cell_arena_at(arena)->footprint_peak;
    return peak;
}

size_t cell_footprint_limit(void)
{
    return cell_option.footprint_limit;
}

size_t cell_set_footprint_limit(size_t bytes)
{
    cell_tunables_set_nearest("footprint_limit", bytes, cell_heap_is_ready(&cell_heap_main));
    return cell_option.footprint_limit;
}

/* ---- looking inside --------------------------------------------------------------------------------------------- */

static int finish(struct cell_text *text)
{
    int error = cell_text_finish(text);

    return error == 0 ? 0 : cell_api_fail(error);
}

int cell_stats_text(int fd)
{
    struct cell_census census;
    struct cell_text text;

    cell_stats_count(NULL, &census);
    cell_text_start_fd(&text, fd);
    cell_print_text(&text, &census);
    return finish(&text);
}

int cell_stats_json(int fd)
{
    struct cell_census census;
    struct cell_text text;

    cell_stats_count(NULL, &census);
    cell_text_start_fd(&text, fd);
    cell_print_json(&text, &census);
    return finish(&text);
}

int cell_dump_json(int fd)
{
    struct cell_text text;

    cell_text_start_fd(&text, fd);
    cell_print_dump(&text);
    return finish(&text);
}

CELL_OVERRIDE_CONTROL_NAMES
