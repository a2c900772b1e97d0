/* cmd_diff.c - heaplay diff A.hpt B.hpt: the first call in which two traces differ (times aside), and their figures side by
 * side. Exit 1 when a call differs. */
#include "cli/commands.h"
#include "cli/derive.h"
#include "trace/analyze.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static bool same(const struct hp_event *a, const struct hp_event *b)
{
    return a->kind == b->kind && a->thread == b->thread && a->id == b->id && a->old_id == b->old_id && a->size == b->size
        && a->count == b->count && a->alignment == b->alignment;
}

static void print_event(const char *path, int got, const struct hp_event *e)
{
    if (got == 1)
        printf("  %s: %s by thread %" PRIu32 ", id %" PRIu64 ", old id %" PRIu64 ", size %" PRIu64 ", count %" PRIu64
               ", alignment %" PRIu64 "\n", path, hp_kind_name(e->kind), e->thread, e->id, e->old_id, e->size, e->count,
               e->alignment);
    else
        printf("  %s: ends\n", path);
}

/* 0: the same calls, 1: not, negative: an input ended early (printed). */
static int compare(char *const path[2])
{
    hp_reader *reader[2] = { hp_derive_read("diff", path[0]), NULL };
    struct hp_event e[2];
    int got[2] = { 1, 1 }, result = -1;

    if (reader[0] && (reader[1] = hp_derive_read("diff", path[1]))) {
        uint64_t n = 0;
        for (result = 0; got[0] == 1 && got[1] == 1 && !result; n++) {
            got[0] = hp_reader_next(reader[0], &e[0]);
            got[1] = hp_reader_next(reader[1], &e[1]);
            result = got[0] < 0 || got[1] < 0 ? -1 : got[0] != got[1] || (got[0] == 1 && !same(&e[0], &e[1]));
        }
        for (int i = 0; i < 2; i++)
            if (got[i] < 0)
                fprintf(stderr, "heaplay diff: %s\n", hp_reader_error(reader[i]));
        if (result == 1) {
            printf("the first difference is event %" PRIu64 "\n", n - 1);
            print_event(path[0], got[0], &e[0]);
            print_event(path[1], got[1], &e[1]);
        }
    }
    for (int i = 0; i < 2; i++)
        if (reader[i])
            hp_reader_close(reader[i]);
    return result;
}

static bool analyze(const char *path, struct hp_analysis *a)
{
    hp_reader *reader = hp_derive_read("diff", path);
    int code = reader ? hp_analyze(reader, a) : -1;

    if (reader)
        hp_reader_close(reader);
    return code == 0;
}

static void print_row(const char *name, uint64_t a, uint64_t b)
{
    printf("%-20s %16" PRIu64 " %16" PRIu64 "  %s\n", name, a, b, a == b ? "" : a < b ? "more" : "less");
}

static void print_figures(const struct hp_analysis *a, const struct hp_analysis *b)
{
    printf("\n%-20s %16s %16s\n", "", "A", "B");
    print_row("operations", a->operations, b->operations);
    print_row("threads", a->threads, b->threads);
    print_row("allocations", a->allocations - a->reallocs_moved, b->allocations - b->reallocs_moved);
    print_row("reallocs", a->reallocs_moved, b->reallocs_moved);
    print_row("frees", a->frees, b->frees);
    print_row("never freed", a->never_freed, b->never_freed);
    print_row("requested bytes", a->requested_bytes, b->requested_bytes);
    print_row("peak live bytes", a->peak_live_bytes, b->peak_live_bytes);
    print_row("peak live blocks", a->peak_live_blocks, b->peak_live_blocks);
    print_row("cross-thread frees", a->cross_thread_frees, b->cross_thread_frees);
    for (unsigned kind = 0; kind < HP_KIND_COUNT; kind++)
        if (a->by_kind[kind] || b->by_kind[kind])
            print_row(hp_kind_name(kind), a->by_kind[kind], b->by_kind[kind]);
}

int hp_cmd_diff(int argc, char **argv)
{
    static struct hp_analysis a, b;
    int differs;

    if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        puts("usage: heaplay diff A.hpt B.hpt      exit 1 when a call differs; times are not compared");
        return HP_EXIT_OK;
    }
    if (argc != 3 || !strcmp(argv[1], "-") || !strcmp(argv[2], "-")) {
        fputs("heaplay diff: two files are needed, for they are read twice; usage: heaplay diff A.hpt B.hpt\n", stderr);
        return HP_EXIT_USAGE;
    }
    differs = compare(argv + 1);
    if (differs < 0)
        return HP_EXIT_BAD_INPUT;
    if (!differs) {
        puts("the same calls");
        return HP_EXIT_OK;
    }
    if (!analyze(argv[1], &a) || !analyze(argv[2], &b))
        return HP_EXIT_BAD_INPUT;
    print_figures(&a, &b);
    return HP_EXIT_FAILED;
}
