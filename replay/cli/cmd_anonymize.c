/* cmd_anonymize.c - heaplay anonymize [--noise SEED] IN -o OUT: drops command line, host, date and process numbers.
 *
 * With noise a size becomes another of the same 16-byte class and the same rounding (odd, even, multiple of 4, 8, 16): equal
 * sizes stay equal, so that sized frees fit, and calls with a count or an alignment above 16 keep theirs. */
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/derive.h"
#include "trace/validate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t blur(uint64_t size, uint64_t seed)
{
    uint64_t step = size & (0 - size), above = (size - 1) & ~UINT64_C(15), hash, choices;

    if (size == 0 || step >= 16)
        return size;
    hash = (size ^ seed) * UINT64_C(0x9e3779b97f4a7c15);
    hash = (hash ^ hash >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
    choices = 16 / (2 * step);          /* odd multiples of the step, within the class */
    return above + step * (2 * ((hash >> 32) % choices) + 1);
}

/* Calls with a count or a wide alignment keep their sizes, and so does what is said of their blocks later. */
static bool keeps_size(struct hp_derive *d, struct hp_derive_map *kept, const struct hp_event *e)
{
    bool own = e->count || e->alignment > 16, keeps = own || (!e->id && hp_derive_get(kept, e->old_id));

    if (hp_event_consumes(e))
        hp_derive_take(kept, e->old_id);
    if (own && e->id)
        d->failed |= !hp_derive_put(kept, e->id, 1);
    return keeps;
}

static const char usage[] = "usage: heaplay anonymize [--noise SEED] IN.hpt -o OUT.hpt\n"
    "Drops command line, host, date and process numbers. --noise also changes sizes within their 16-byte class, but for\n"
    "those of calloc, reallocarray and alignments above 16. Times between calls stay as they are.\n";

static int anonymize(const char *in, const char *out, bool noise, uint64_t seed)
{
    hp_reader *reader = hp_derive_read("anonymize", in);
    struct hp_meta meta;
    struct hp_derive d;
    struct hp_derive_map kept = { 0 };
    struct hp_event e;
    char nothing[] = "";
    int got = 0;

    if (!reader)
        return HP_EXIT_BAD_INPUT;
    meta = *hp_reader_meta(reader);
    meta.command = meta.host = nothing;
    meta.start_unix_ns = meta.pid = meta.parent_pid = 0;
    if (!hp_derive_begin(&d, "anonymize", out, &meta)) {
        hp_reader_close(reader);
        return HP_EXIT_BAD_INPUT;
    }
    while (!d.failed && (got = hp_reader_next(reader, &e)) == 1) {
        if (noise && !keeps_size(&d, &kept, &e))
            e.size = blur(e.size, seed);
        hp_derive_put_event(&d, &e);
    }
    free(kept.slots);
    return hp_derive_end(&d, reader, got);
}

int hp_cmd_anonymize(int argc, char **argv)
{
    struct hp_derive_files files = { NULL, NULL };
    bool noise = false;
    uint64_t seed = 0;

    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc, good = true;
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(usage, stdout);
            return HP_EXIT_OK;
        }
        if (!strcmp(argv[i], "--noise") && more)
            good = noise = hp_arg_whole(argv[++i], 0, UINT64_MAX, &seed);
        else
            good = hp_derive_take_file(&files, argc, argv, &i);
        if (!good)
            return hp_derive_refuse("anonymize", argv[i], usage);
    }
    if (!hp_derive_has_files(&files, "anonymize", usage))
        return HP_EXIT_USAGE;
    return anonymize(files.in, files.out, noise, seed);
}
