/* cmd_info.c - heaplay info FILE [--json] [--png OUT.png | --svg OUT.svg]: the card of a trace, as text, JSON or a picture
 * that scripts/trace_card.py draws.
 *
 * Keys of --json (all counts are integers; absent figures are null):
 *   path, sha256, file_bytes, bytes_per_operation, format_version
 *   command, origin, host, start_unix_ns, pid, parent_pid, flags (array: time, threads, resident, sampled, sites), sample,
 *   time_step_ns         what times are right to; null: as fine as the recorder's
 *   whole                true when the trace ends with its trailer
 *   operations, threads, duration_ns, by_kind (object: kind -> calls; kinds that occur)
 *   allocations          blocks made, by a realloc of a block (reallocs.moved) too
 *   frees, failed, null_frees, never_freed, requested_bytes
 *   peak_live_bytes, peak_live_blocks, peak_operation
 *   sizes                array of {from, to, count, bytes, most_live}: requested bytes, powers of two; most_live is the most
 *                        blocks of the class that live at one time, count / most_live its churn
 *   common_sizes         at most 10 of {size, count}: the most frequent sizes below 64 KiB, most frequent first
 *   lifetimes            array of {from, to, count}: operations from allocation to free
 *   cross_thread_frees, cross_thread_share
 *   reallocs             {moved, chains, longest}: successful reallocs of a block, blocks that saw one, most for one block
 *   footprint_at_peak    {requested, rounded_16, header, cells, pages}: lower bounds in bytes; pages: blocks below 4 KiB packed
 *                        in steps of 16 bytes, larger ones on pages of their own, all of them touched
 *   resident_at_free     {bytes, resident}: of the blocks that were freed; null unless recorded with --touch
 *   curve                at most 200 of {operation, time_ns, live_bytes, live_blocks}
 *   lost_events, inversions, exit_status   from the trailer, null without one
 */
#include "allocs/allocs.h"
#include "cli/commands.h"
#include "cli/info_sites.h"
#include "trace/analyze.h"
#include "trace/format.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct card {
    const char *path;
    char sha256[65];
    uint64_t file_bytes;
    const struct hp_meta *meta;
    const struct hp_trailer *trailer;
    struct hp_analysis a;
};

static json_t *integer(uint64_t v)
{
    return json_integer(v > INT64_MAX ? INT64_MAX : (json_int_t)v);
}

static void set_uint(json_t *object, const char *key, uint64_t v)
{
    json_object_set_new(object, key, integer(v));
}

static void set_text(json_t *object, const char *key, const char *text)
{
    json_object_set_new(object, key, json_string(text));
}

static double share(uint64_t part, uint64_t whole)
{
    return whole ? (double)part / (double)whole : 0.0;
}

static json_t *classes(const uint64_t *count, const uint64_t *bytes, const uint64_t *most_live)
{
    json_t *array = json_array();

    for (unsigned c = 0; c < HP_CLASSES; c++) {
        json_t *entry;
        if (!count[c])
            continue;
        entry = json_object();
        set_uint(entry, "from", c ? UINT64_C(1) << (c - 1) : 0);
        set_uint(entry, "to", c == 0 ? 0 : c == 64 ? UINT64_MAX : (UINT64_C(1) << c) - 1);
        set_uint(entry, "count", count[c]);
        if (bytes)
            set_uint(entry, "bytes", bytes[c]);
        if (most_live)
            set_uint(entry, "most_live", most_live[c]);
        json_array_append_new(array, entry);
    }
    return array;
}

static json_t *common_sizes(const struct hp_analysis *a)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < HP_COMMON_SIZES && a->common[i].count; i++) {
        json_t *entry = json_object();
        set_uint(entry, "size", a->common[i].size);
        set_uint(entry, "count", a->common[i].count);
        json_array_append_new(array, entry);
    }
    return array;
}

static json_t *resident_at_free(const struct card *card)
{
    json_t *object;

    if (!(card->meta->flags & HP_HAS_RESIDENT))
        return json_null();
    object = json_object();
    set_uint(object, "bytes", card->a.resident_of);
    set_uint(object, "resident", card->a.resident);
    return object;
}

static void set_file(json_t *root, const struct card *card)
{
    static const char *const names[] = { "time", "threads", "resident", "sampled", "sites" };
    json_t *flags = json_array();

    set_text(root, "path", card->path);
    json_object_set_new(root, "sha256", *card->sha256 ? json_string(card->sha256) : json_null());
    set_uint(root, "file_bytes", card->file_bytes);
    json_object_set_new(root, "bytes_per_operation", json_real(share(card->file_bytes, card->a.operations)));
    set_uint(root, "format_version", card->meta->flags & HP_HAS_SITES ? 2 : 1);
    set_text(root, "command", card->meta->command);
    set_text(root, "origin", card->meta->origin);
    set_text(root, "host", card->meta->host);
    set_uint(root, "start_unix_ns", card->meta->start_unix_ns);
    set_uint(root, "pid", card->meta->pid);
    set_uint(root, "parent_pid", card->meta->parent_pid);
    json_object_set_new(root, "sample", card->meta->sample ? json_integer(card->meta->sample) : json_null());
    json_object_set_new(root, "time_step_ns", card->meta->time_step_ns ? integer(card->meta->time_step_ns) : json_null());
    for (unsigned i = 0; i < 5; i++)
        if (card->meta->flags & 1u << i)
            json_array_append_new(flags, json_string(names[i]));
    json_object_set_new(root, "flags", flags);
    json_object_set_new(root, "whole", json_boolean(card->trailer != NULL));
}

static void set_shape(json_t *root, const struct hp_analysis *a)
{
    json_t *reallocs = json_object(), *bounds = json_object(), *curve = json_array();

    json_object_set_new(root, "sizes", classes(a->size_count, a->size_bytes, a->size_most_live));
    json_object_set_new(root, "common_sizes", common_sizes(a));
    json_object_set_new(root, "lifetimes", classes(a->lifetime_count, NULL, NULL));
    set_uint(root, "cross_thread_frees", a->cross_thread_frees);
    json_object_set_new(root, "cross_thread_share",
                        json_real(share(a->cross_thread_frees, a->frees + a->reallocs_moved)));
    set_uint(reallocs, "moved", a->reallocs_moved);
    set_uint(reallocs, "chains", a->realloc_chains);
    set_uint(reallocs, "longest", a->longest_chain);
    json_object_set_new(root, "reallocs", reallocs);
    set_uint(bounds, "requested", a->at_peak.requested);
    set_uint(bounds, "rounded_16", a->at_peak.rounded_16);
    set_uint(bounds, "header", a->at_peak.header);
    set_uint(bounds, "cells", a->at_peak.cells);
    set_uint(bounds, "pages", hp_bounds_pages(&a->at_peak));
    json_object_set_new(root, "footprint_at_peak", bounds);
    for (uint32_t i = 0; i < a->curve_points; i++) {
        json_t *point = json_object();
        set_uint(point, "operation", a->curve[i].operation);
        set_uint(point, "time_ns", a->curve[i].time_ns);
        set_uint(point, "live_bytes", a->curve[i].live_bytes);
        set_uint(point, "live_blocks", a->curve[i].live_blocks);
        json_array_append_new(curve, point);
    }
    json_object_set_new(root, "curve", curve);
}

static void print_json(const struct card *card, FILE *out)
{
    const struct hp_analysis *a = &card->a;
    const struct { const char *key; uint64_t v; } counts[] = {
        { "operations", a->operations }, { "threads", a->threads }, { "duration_ns", a->duration_ns },
        { "allocations", a->allocations }, { "frees", a->frees }, { "failed", a->failed },
        { "null_frees", a->null_frees }, { "never_freed", a->never_freed }, { "requested_bytes", a->requested_bytes },
        { "peak_live_bytes", a->peak_live_bytes }, { "peak_live_blocks", a->peak_live_blocks },
        { "peak_operation", a->peak_operation },
    };
    json_t *root = json_object(), *kinds = json_object();

    set_file(root, card);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        set_uint(root, counts[i].key, counts[i].v);
    for (unsigned kind = 0; kind < HP_KIND_COUNT; kind++)
        if (a->by_kind[kind])
            set_uint(kinds, hp_kind_name(kind), a->by_kind[kind]);
    json_object_set_new(root, "by_kind", kinds);
    set_shape(root, a);
    json_object_set_new(root, "resident_at_free", resident_at_free(card));
    json_object_set_new(root, "lost_events", card->trailer ? integer(card->trailer->lost_events) : json_null());
    json_object_set_new(root, "inversions", card->trailer ? integer(card->trailer->inversions) : json_null());
    json_object_set_new(root, "exit_status", card->trailer ? json_integer(card->trailer->exit_status) : json_null());
    json_dumpf(root, out, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    fputc('\n', out);
    json_decref(root);
}

static const char *human(char out[32], uint64_t bytes)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double v = (double)bytes;
    unsigned unit = 0;

    for (; v >= 1024 && unit < 6; unit++)
        v /= 1024;
    snprintf(out, 32, unit ? "%.1f %s" : "%.0f %s", v, units[unit]);
    return out;
}

/* What each size costs: its share of the bytes, the blocks that live of it at most, and how often each of those turns over. */
static void print_churn(const struct hp_analysis *a, unsigned c)
{
    char most[32] = "0", churn[32] = "";

    if (a->size_most_live[c]) {
        snprintf(most, sizeof most, "%" PRIu64, a->size_most_live[c]);
        snprintf(churn, sizeof churn, "%.1f", (double)a->size_count[c] / (double)a->size_most_live[c]);
    }
    printf("%7.1f %% %11s %9s", 100 * share(a->size_bytes[c], a->requested_bytes), most, churn);
}

static void print_common(const struct hp_analysis *a)
{
    if (!a->common[0].count)
        return;
    printf("\n  most frequent sizes below 64 KiB\n   ");
    for (unsigned i = 0; i < HP_COMMON_SIZES && a->common[i].count; i++)
        printf(" %" PRIu64 " (%.1f %%)", a->common[i].size, 100 * share(a->common[i].count, a->allocations));
    putchar('\n');
}

/* With `sizes` also what print_churn says of each class. */
static void print_classes(const char *title, const uint64_t *count, const char *unit, const struct hp_analysis *sizes)
{
    int width = sizes ? 24 : 40;
    uint64_t most = 0, sum = 0;

    for (unsigned c = 0; c < HP_CLASSES; c++) {
        sum += count[c];
        most = count[c] > most ? count[c] : most;
    }
    printf("\n  %-30s      blocks    share%s\n", title, sizes ? "  of bytes   most live     churn" : "");
    for (unsigned c = 0; c < HP_CLASSES; c++) {
        int bar = most ? (int)(width * (double)count[c] / (double)most + 0.5) : 0;
        if (!count[c])
            continue;
        printf("    %s %15" PRIu64 " %s %11" PRIu64 "  %5.1f %%", c < 2 ? "      " : "up to ",
               c == 0 ? UINT64_C(0) : c == 64 ? UINT64_MAX : (UINT64_C(1) << c) - 1, unit, count[c], 100 * share(count[c], sum));
        if (sizes)
            print_churn(sizes, c);
        printf("%s%.*s\n", bar ? "  " : "", bar, "########################################");
    }
}

/* Live bytes over operations as one line of eight heights. */
static void print_curve(const struct hp_analysis *a)
{
    static const char *const heights[] = { " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
    unsigned columns = a->curve_points < 72 ? a->curve_points : 72;

    if (columns < 2 || !a->peak_live_bytes)
        return;
    printf("\n  live bytes over operations\n    ");
    for (unsigned c = 0; c < columns; c++) {
        const struct hp_point *p = &a->curve[(uint64_t)c * a->curve_points / columns];
        fputs(heights[(unsigned)(8.0 * (double)p->live_bytes / (double)a->peak_live_bytes + 0.5)], stdout);
    }
    putchar('\n');
}

static void print_counts(const struct card *card)
{
    const struct hp_analysis *a = &card->a;
    char text[5][32];

    printf("  operations    %" PRIu64 " by %" PRIu32 " thread%s in %.3f s\n", a->operations, a->threads, a->threads == 1 ? "" : "s",
           (double)a->duration_ns / 1e9);
    printf("  calls        ");
    for (unsigned kind = 0; kind < HP_KIND_COUNT; kind++)
        if (a->by_kind[kind])
            printf(" %s %" PRIu64, hp_kind_name(kind), a->by_kind[kind]);
    printf("\n  blocks        %" PRIu64 " made, %" PRIu64 " freed, %" PRIu64 " never freed, %" PRIu64
           " calls failed, %" PRIu64 " frees of NULL\n", a->allocations - a->reallocs_moved, a->frees, a->never_freed, a->failed,
           a->null_frees);
    printf("  peak          %s live (%" PRIu64 " bytes) at operation %" PRIu64 "; at most %" PRIu64 " blocks\n",
           human(text[0], a->peak_live_bytes), a->peak_live_bytes, a->peak_operation, a->peak_live_blocks);
    printf("  at least      %s requested, %s in 16-byte steps, %s with headers, %s with cells up to 64 B,\n"
           "                %s when blocks from 4 KiB on have pages of their own\n",
           human(text[0], a->at_peak.requested), human(text[1], a->at_peak.rounded_16), human(text[2], a->at_peak.header),
           human(text[3], a->at_peak.cells), human(text[4], hp_bounds_pages(&a->at_peak)));
    if (card->meta->flags & HP_HAS_RESIDENT)
        printf("  resident      %s of %s in blocks when they were freed (%.1f %%)\n", human(text[0], a->resident),
               human(text[1], a->resident_of), 100 * share(a->resident, a->resident_of));
    printf("  across        %" PRIu64 " frees by another thread (%.1f %%)\n", a->cross_thread_frees,
           100 * share(a->cross_thread_frees, a->frees + a->reallocs_moved));
    printf("  reallocs      %" PRIu64 " of %" PRIu64 " blocks, at most %" PRIu64 " for one\n", a->reallocs_moved,
           a->realloc_chains, a->longest_chain);
    printf("  on disk       %s, %.2f bytes per operation\n", human(text[0], card->file_bytes),
           share(card->file_bytes, a->operations));
}

static void print_card(const struct card *card)
{
    printf("%s\n", card->path);
    printf("  origin        %s\n", card->meta->origin);
    if (*card->meta->command)
        printf("  command       %.200s\n", card->meta->command);
    if (*card->meta->host)
        printf("  made under    %s\n", card->meta->host);
    if (card->meta->sample)
        printf("  sampled       one object of %" PRIu32 "\n", card->meta->sample);
    if (card->meta->time_step_ns)
        printf("  times         right to %g us\n", (double)card->meta->time_step_ns / 1e3);
    if (!card->trailer)
        printf("  NOT WHOLE     %s\n", card->a.text);
    else if (card->trailer->lost_events)
        printf("  LOST          %" PRIu64 " events\n", card->trailer->lost_events);
    print_counts(card);
    print_classes("requested", card->a.size_count, "bytes", &card->a);
    print_common(&card->a);
    print_classes("lifetime", card->a.lifetime_count, "ops", NULL);
    print_curve(&card->a);
    if (*card->sha256)
        printf("\n  sha256        %s\n", card->sha256);
}

/* Hands the card to scripts/trace_card.py on its standard input; returns only when that fails. */
static int draw(const struct card *card, char *picture)
{
    char script[] = "trace_card", *arguments[] = { script, picture, NULL };
    FILE *json = tmpfile();

    if (!json) {
        fprintf(stderr, "heaplay info: no temporary file: %s\n", strerror(errno));
        return HP_EXIT_BAD_INPUT;
    }
    print_json(card, json);
    if (fflush(json) || lseek(fileno(json), 0, SEEK_SET) || dup2(fileno(json), STDIN_FILENO) < 0) {
        fprintf(stderr, "heaplay info: the temporary file: %s\n", strerror(errno));
        return HP_EXIT_BAD_INPUT;
    }
    return hp_cmd_script(2, arguments);
}

static int info(const char *path, int as_json, char *picture)
{
    static struct card card;
    struct stat st;
    char error[512];
    int code;
    hp_reader *reader = hp_reader_open(path, &code, error, sizeof error);

    if (!reader) {
        fprintf(stderr, "heaplay info: %s\n", error);
        return HP_EXIT_BAD_INPUT;
    }
    card.path = path;
    card.meta = hp_reader_meta(reader);
    code = hp_analyze(reader, &card.a);
    card.trailer = hp_reader_trailer(reader);
    if (strcmp(path, "-") && stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
        card.file_bytes = (uint64_t)st.st_size;
        if (!hp_sha256_file(path, card.sha256))
            card.sha256[0] = 0;
    }
    if (as_json)
        print_json(&card, stdout);
    else if (!picture)
        print_card(&card);
    if (code)
        fprintf(stderr, "heaplay info: %s\n", card.a.text);
    else if (picture)
        code = draw(&card, picture);
    hp_reader_close(reader);
    if (picture && code > 0)
        return code;
    return code ? HP_EXIT_BAD_INPUT : HP_EXIT_OK;
}

int hp_cmd_info(int argc, char **argv)
{
    const char *path = NULL;
    char *picture = NULL;
    int as_json = 0, sites = 0;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            puts("usage: heaplay info FILE.hpt [--json | --sites | --png OUT.png | --svg OUT.svg]      (- is standard input)");
            return HP_EXIT_OK;
        }
        if (!strcmp(argv[i], "--json")) {
            as_json = 1;
        } else if (!strcmp(argv[i], "--sites")) {
            sites = 1;
        } else if ((!strcmp(argv[i], "--png") || !strcmp(argv[i], "--svg")) && i + 1 < argc) {
            size_t n = strlen(argv[i + 1]);
            if (n < 4 || argv[i + 1][n - 4] != '.' || strcmp(argv[i + 1] + n - 3, argv[i] + 2)) {
                fprintf(stderr, "heaplay info: %s %s: the name must end in .%s\n", argv[i], argv[i + 1], argv[i] + 2);
                return HP_EXIT_USAGE;
            }
            picture = argv[++i];
        } else if (path || (argv[i][0] == '-' && argv[i][1])) {
            fprintf(stderr, "heaplay info: unexpected '%s'; usage: heaplay info FILE.hpt [--json]\n", argv[i]);
            return HP_EXIT_USAGE;
        } else {
            path = argv[i];
        }
    }
    if (!path) {
        fputs("heaplay info: no file given; usage: heaplay info FILE.hpt [--json]\n", stderr);
        return HP_EXIT_USAGE;
    }
    if (sites && (as_json || picture)) {
        fputs("heaplay info: --sites is a list of its own; leave --json, --png and --svg out\n", stderr);
        return HP_EXIT_USAGE;
    }
    return sites ? hp_info_sites(path) : info(path, as_json, picture);
}
