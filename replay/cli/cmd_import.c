/* cmd_import.c - heaplay import [--from FORMAT] [--strict] IN -o OUT.hpt: a trace of another tool becomes ours. */
#include "cli/commands.h"
#include "cli/derive.h"
#include "cli/output.h"
#include "import/import.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct options {
    const char *from, *in, *out;
    bool strict;
};

static void print_format(const struct hp_importer *importer)
{
    printf("  %-12s %s\n", importer->name, importer->help);
}

static void print_usage(void)
{
    puts("usage: heaplay import [--from FORMAT] [--strict] IN -o OUT.hpt      (- is standard input or output)\n"
         "IN may be compressed (gz, bz2, xz, zst, lz4, zip's first entry). What cannot be used is skipped and counted;\n"
         "--strict makes that exit 3. FORMAT is auto (the default) or one of");
    hp_importer_list(print_format);
}

static int report(const struct options *o, const struct hp_importer *importer, const struct hp_import_report *r)
{
    fprintf(stderr, "%s: %s: %" PRIu64 " operations read, %" PRIu64 " blocks live at the end\n", o->in, importer->name,
            r->operations, r->live_at_end);
    if (r->assumed[0])
        fprintf(stderr, "  assumed: %s\n", r->assumed);
    if (r->inversions)
        fprintf(stderr, "  mended order: %" PRIu64 " allocations were reported before the free that made room for them\n",
                r->inversions);
    if (r->offences)
        fprintf(stderr, "  skipped or mended: %" PRIu64 " (%" PRIu64 " of unknown blocks, %" PRIu64
                " onto live blocks); the first at %s\n", r->offences, r->unknown_frees, r->replaced, r->first);
    for (size_t i = 0; r->reasons[1].what && i < HP_IMPORT_REASONS && r->reasons[i].what; i++)
        fprintf(stderr, "  %12" PRIu64 "  %s\n", r->reasons[i].count, r->reasons[i].what);
    if (r->operations == 0) {
        fprintf(stderr, "heaplay import: %s holds no operation of format %s; is it the right --from?\n", o->in,
                importer->name);
        return HP_EXIT_BAD_INPUT;
    }
    if (r->offences && o->strict) {
        fprintf(stderr, "heaplay import: %" PRIu64 " offences and --strict; mend the input, or leave --strict out\n",
                r->offences);
        return HP_EXIT_BAD_INPUT;
    }
    return HP_EXIT_OK;
}

static int convert(const struct options *o, const struct hp_importer *importer, hp_source *source)
{
    const unsigned char *bytes;
    size_t size = hp_source_peek(source, &bytes, 4096);
    char origin[64], error[512] = "out of memory";
    struct hp_meta meta = { .origin = origin, .flags = importer->flags(bytes, size) };
    struct hp_trailer trailer = { .exit_status = -1 };
    struct hp_import_report r;
    hp_writer *writer;
    hp_import *import;
    struct hp_output out;
    bool broken, written;

    snprintf(origin, sizeof origin, "imported:%s", importer->name);
    if (importer->time_step && meta.flags & HP_HAS_TIME)
        meta.time_step_ns = importer->time_step(bytes, size);
    if (!hp_output_begin(&out, "import", o->out))
        return HP_EXIT_BAD_INPUT;
    writer = hp_writer_open(out.path, &meta, error, sizeof error);
    import = writer ? hp_import_begin(writer, meta.flags) : NULL;
    if (!import) {
        fprintf(stderr, "heaplay import: %s\n", error);
        if (writer)
            hp_writer_close(writer, NULL);
        hp_output_end(&out, "import", false);
        return HP_EXIT_BAD_INPUT;
    }
    importer->parse(import, source);
    broken = hp_import_end(import, &r) || *hp_source_error(source);
    if (broken)
        fprintf(stderr, "heaplay import: %s\n", *hp_source_error(source) ? hp_source_error(source)
                : *hp_writer_error(writer) ? hp_writer_error(writer) : "out of memory");
    hp_writer_count(writer, &trailer);
    trailer.inversions = r.inversions;
    snprintf(error, sizeof error, "%s", hp_writer_error(writer));
    written = hp_writer_close(writer, &trailer) == 0;
    if (!written)
        fprintf(stderr, "heaplay import: %s: cannot be written %s\n", o->out, error);
    /* What an input yielded before it broke is kept: there is no other way to it. */
    written &= hp_output_end(&out, "import", written && r.operations);
    return broken || !written ? HP_EXIT_BAD_INPUT : report(o, importer, &r);
}

static int import_file(const struct options *o)
{
    char error[512];
    const struct hp_importer *importer = NULL;
    const unsigned char *bytes;
    hp_source *source;
    int code = HP_EXIT_BAD_INPUT;

    if (strcmp(o->from, "auto") && !(importer = hp_importer_find(o->from))) {
        fprintf(stderr, "heaplay import: no format '%s'; 'heaplay import --help' lists them\n", o->from);
        return HP_EXIT_USAGE;
    }
    source = hp_source_open(o->in, error, sizeof error);
    if (!source) {
        fprintf(stderr, "heaplay import: %s\n", error);
        return code;
    }
    if (!importer)
        importer = hp_importer_detect(source);
    if (importer)
        code = convert(o, importer, source);
    else if (!hp_source_peek(source, &bytes, 1))
        fprintf(stderr, "heaplay import: %s is empty\n", o->in);
    else if (hp_source_peek(source, &bytes, 2) == 2 && (!memcmp(bytes, "\xff\xfe", 2) || !memcmp(bytes, "\xfe\xff", 2)))
        fprintf(stderr, "heaplay import: %s is text in UTF-16; convert it: iconv -f UTF-16 -t UTF-8 FILE | heaplay import -\n",
                o->in);
    else
        fprintf(stderr, "heaplay import: %s: the format was not recognised by its first bytes; name it with --from\n",
                o->in);
    hp_source_close(source);
    return code;
}

int hp_cmd_import(int argc, char **argv)
{
    struct options o = { .from = "auto" };

    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            print_usage();
            return HP_EXIT_OK;
        }
        if (!strcmp(argv[i], "--from") && more) {
            o.from = argv[++i];
        } else if (!strcmp(argv[i], "-o") && more) {
            o.out = argv[++i];
        } else if (!strcmp(argv[i], "--strict")) {
            o.strict = true;
        } else if (o.in || (argv[i][0] == '-' && argv[i][1])) {
            fprintf(stderr, "heaplay import: unexpected '%s'; 'heaplay import --help' shows the usage\n", argv[i]);
            return HP_EXIT_USAGE;
        } else {
            o.in = argv[i];
        }
    }
    if (!o.in || !o.out) {
        fprintf(stderr, "heaplay import: no %s given; 'heaplay import --help' shows the usage\n",
                o.in ? "-o OUT.hpt" : "input");
        return HP_EXIT_USAGE;
    }
    return hp_derive_is_apart("import", o.in, o.out) ? import_file(&o) : HP_EXIT_USAGE;
}
