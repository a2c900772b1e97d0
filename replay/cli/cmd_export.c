/* cmd_export.c - heaplay export --to FORMAT FILE.hpt [-o OUT]: a trace for other tools, in one pass from a file or a pipe. */
#include "cli/commands.h"
#include "cli/derive.h"
#include "cli/output.h"
#include "import/import.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void print_format(const struct hp_exporter *exporter)
{
    printf("  %-10s %s; it cannot hold: %s\n", exporter->name, exporter->help, exporter->loses);
}

static int convert(const struct hp_exporter *exporter, hp_reader *reader, FILE *out)
{
    char error[300] = "";
    uint64_t events = 0, skipped = 0;
    void *state = exporter->begin(out, error, sizeof error);
    struct hp_event e;
    int code;

    if (!state) {
        fprintf(stderr, "heaplay export: %s: %s\n", exporter->name, error);
        return HP_EXIT_BAD_INPUT;
    }
    for (; (code = hp_reader_next(reader, &e)) == 1; events++)
        skipped += !exporter->event(state, out, &e);
    if (!exporter->end(state, out, error, sizeof error)) {
        fprintf(stderr, "heaplay export: %s: %s\n", exporter->name, error);
        return HP_EXIT_BAD_INPUT;
    }
    if (code < 0)
        fprintf(stderr, "heaplay export: %s\n", hp_reader_error(reader));
    if (skipped)
        fprintf(stderr, "heaplay export: %" PRIu64 " of %" PRIu64 " events have no form in %s and were left out\n", skipped,
                events, exporter->name);
    return code < 0 ? HP_EXIT_BAD_INPUT : HP_EXIT_OK;
}

static int export_file(const struct hp_exporter *exporter, const char *path, const char *to)
{
    char error[512];
    int code;
    hp_reader *reader = hp_reader_open(path, &code, error, sizeof error);
    struct hp_output output;
    FILE *out = NULL;
    bool written;

    if (!reader) {
        fprintf(stderr, "heaplay export: %s\n", error);
        return HP_EXIT_BAD_INPUT;
    }
    to = to ? to : "-";
    if (hp_output_begin(&output, "export", to)) {
        out = strcmp(to, "-") ? fopen(output.path, "w") : stdout;
        if (!out) {
            fprintf(stderr, "heaplay export: %s: cannot create: %s\n", output.path, strerror(errno));
            hp_output_end(&output, "export", false);
        }
    }
    if (!out) {
        hp_reader_close(reader);
        return HP_EXIT_BAD_INPUT;
    }
    code = convert(exporter, reader, out);
    hp_reader_close(reader);
    written = !(ferror(out) | (out == stdout ? fflush(out) : fclose(out)));
    if (!written)
        fprintf(stderr, "heaplay export: %s: cannot write: %s\n", to, strerror(errno));
    written &= hp_output_end(&output, "export", written && code == HP_EXIT_OK);
    return written ? code : HP_EXIT_BAD_INPUT;
}

int hp_cmd_export(int argc, char **argv)
{
    const char *path = NULL, *to = NULL, *format = NULL;
    const struct hp_exporter *exporter;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            puts("usage: heaplay export --to FORMAT FILE.hpt [-o OUT]      (- is standard input or output)  FORMAT is one of");
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
    if (to && !hp_derive_is_apart("export", path, to))
        return HP_EXIT_USAGE;
    return export_file(exporter, path, to);
}
