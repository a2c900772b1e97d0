/* cmd_export.c - heaplay export --to FORMAT FILE.hpt [-o OUT]: a trace for other tools. Two passes: headers need counts. */
#include "cli/commands.h"
#include "import/import.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void print_format(const struct hp_exporter *exporter)
{
    printf("  %-10s %s\n", exporter->name, exporter->help);
}

/* Reads the trace once: with out NULL only to count, else writing each event. 0, or exit code. */
static int pass(const char *path, const struct hp_exporter *exporter, FILE *out, struct hp_trailer *counts, uint64_t *skipped)
{
    char error[512];
    int code;
    hp_reader *reader = hp_reader_open(path, &code, error, sizeof error);
    struct hp_event e;

    if (!reader) {
        fprintf(stderr, "heaplay export: %s\n", error);
        return HP_EXIT_BAD_INPUT;
    }
    while ((code = hp_reader_next(reader, &e)) == 1) {
        bool consumes = e.old_id && hp_kind_frees(e.kind)
                     && (!hp_kind_allocates(e.kind) || e.id || e.size == 0);
        counts->events += !out;
        counts->allocations += !out && e.id;
        counts->frees += !out && consumes;
        if (out && !exporter->event(out, &e))
            ++*skipped;
    }
    if (code < 0)
        fprintf(stderr, "heaplay export: %s\n", hp_reader_error(reader));
    hp_reader_close(reader);
    return code < 0 ? HP_EXIT_BAD_INPUT : HP_EXIT_OK;
}

static int export_file(const struct hp_exporter *exporter, const char *path, const char *to)
{
    struct hp_trailer counts = { 0 };
    uint64_t skipped = 0;
    FILE *out;
    int code;

    if (!strcmp(path, "-")) {
        fputs("heaplay export: the trace is read twice, so it must be a file, not standard input\n", stderr);
        return HP_EXIT_USAGE;
    }
    code = pass(path, exporter, NULL, &counts, &skipped);
    if (code)
        return code;
    out = to && strcmp(to, "-") ? fopen(to, "w") : stdout;
    if (!out) {
        fprintf(stderr, "heaplay export: %s: cannot create: %s\n", to, strerror(errno));
        return HP_EXIT_BAD_INPUT;
    }
    exporter->begin(out, &counts, counts.allocations);
    code = pass(path, exporter, out, &counts, &skipped);
    if (ferror(out) || (out == stdout ? fflush(out) : fclose(out))) {
        fprintf(stderr, "heaplay export: %s: cannot write: %s\n", to ? to : "-", strerror(errno));
        return HP_EXIT_BAD_INPUT;
    }
    if (skipped)
        fprintf(stderr, "heaplay export: %" PRIu64 " of %" PRIu64 " events have no form in %s and were left out\n", skipped,
                counts.events, exporter->name);
    return code;
}

int hp_cmd_export(int argc, char **argv)
{
    const char *path = NULL, *to = NULL, *format = NULL;
    const struct hp_exporter *exporter;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            puts("usage: heaplay export --to FORMAT FILE.hpt [-o OUT]      FORMAT is one of");
            hp_exporter_list(print_format);
            return HP_EXIT_OK;
        }
        if (!strcmp(argv[i], "--to") && i + 1 < argc) {
            format = argv[++i];
        } else if (!strcmp(argv[i], "-o") && i + 1 < argc) {
            to = argv[++i];
        } else if (path || (argv[i][0] == '-' && argv[i][1])) {
            fprintf(stderr, "heaplay export: unexpected '%s'; 'heaplay export --help' shows the usage\n", argv[i]);
            return HP_EXIT_USAGE;
        } else {
            path = argv[i];
        }
    }
    exporter = format ? hp_exporter_find(format) : NULL;
    if (!exporter || !path) {
        fprintf(stderr, "heaplay export: %s '%s'; 'heaplay export --help' shows the usage\n",
                exporter ? "no file given after" : format ? "no format" : "no --to given:", format ? format : "");
        return HP_EXIT_USAGE;
    }
    return export_file(exporter, path, to);
}
