/* cmd_cat.c - heaplay cat [--limit N] FILE: the trace as text, one event a line, for people and for grep. */
#include "cli/commands.h"
#include "trace/format.h"
#include "trace/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] = "usage: heaplay cat [--limit N] FILE.hpt\n"
    "One event a line: number, seconds, thread, then the call. Blocks are #1, #2, ... in order of allocation.\n";

static void print_block(uint64_t id)
{
    if (id)
        printf("#%" PRIu64, id);
    else
        fputs("NULL", stdout);
}

static void print_event(uint64_t number, const struct hp_event *e)
{
    unsigned fields = hp_kind_fields(e->kind);
    const char *comma = "";

    printf("%8" PRIu64 " %4" PRIu64 ".%09" PRIu64 " t%-3" PRIu32 " %s(", number, e->time_ns / 1000000000,
           e->time_ns % 1000000000, e->thread, hp_kind_name(e->kind));
    if (fields & HP_F_OLD) {
        print_block(e->old_id);
        comma = ", ";
    }
    if (fields & HP_F_ALIGN)
        printf("%salign %" PRIu64, comma, e->alignment), comma = ", ";
    if (fields & HP_F_COUNT)
        printf("%s%" PRIu64, comma, e->count), comma = ", ";
    if (fields & HP_F_SIZE && e->kind != HP_USABLE_SIZE)
        printf("%s%" PRIu64, comma, e->size);
    putchar(')');
    if (fields & HP_F_ID) {
        fputs(" = ", stdout);
        print_block(e->id);
    } else if (e->kind == HP_USABLE_SIZE) {
        printf(" = %" PRIu64, e->size);
    }
    if (e->resident_bytes)
        printf(" resident %" PRIu64, e->resident_bytes);
    putchar('\n');
}

static int cat(const char *path, uint64_t limit)
{
    char error[512];
    int code;
    hp_reader *reader = hp_reader_open(path, &code, error, sizeof error);
    struct hp_event event;
    int got = 1;

    if (!reader) {
        fprintf(stderr, "heaplay cat: %s\n", error);
        return HP_EXIT_BAD_INPUT;
    }
    for (uint64_t n = 0; n < limit && !ferror(stdout) && (got = hp_reader_next(reader, &event)) == 1; n++)
        print_event(n, &event);
    if (got < 0) {
        fflush(stdout);
        fprintf(stderr, "heaplay cat: %s\n", hp_reader_error(reader));
    }
    hp_reader_close(reader);
    return got < 0 ? HP_EXIT_BAD_INPUT : HP_EXIT_OK;
}

int hp_cmd_cat(int argc, char **argv)
{
    uint64_t limit = UINT64_MAX;
    const char *path = NULL;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(usage, stdout);
            return HP_EXIT_OK;
        }
        if (!strcmp(argv[i], "--limit") && i + 1 < argc) {
            char *end;
            limit = strtoull(argv[++i], &end, 10);
            if (*end || end == argv[i] || argv[i][0] == '-') {
                fprintf(stderr, "heaplay cat: --limit %s is not a number\n", argv[i]);
                return HP_EXIT_USAGE;
            }
        } else if (path || (argv[i][0] == '-' && argv[i][1])) {
            fprintf(stderr, "heaplay cat: unexpected '%s'\n%s", argv[i], usage);
            return HP_EXIT_USAGE;
        } else {
            path = argv[i];
        }
    }
    if (!path) {
        fprintf(stderr, "heaplay cat: no file given\n%s", usage);
        return HP_EXIT_USAGE;
    }
    return cat(path, limit);
}
