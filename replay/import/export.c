/* export.c - android, rep and csv text from events, and the table of exporters. Called by cli/cmd_export.c. Each is read
 * again by its importer; `loses` says what does not come back. */
#include "import/import.h"
#include "trace/live.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

uint64_t hp_export_bytes(const struct hp_event *e)
{
    bool counted = e->kind == HP_CALLOC || e->kind == HP_REALLOCARRAY;
    uint64_t bytes;

    return !counted ? e->size : __builtin_mul_overflow(e->count, e->size, &bytes) ? UINT64_MAX : bytes;
}

bool hp_export_consumes(const struct hp_event *e)
{
    return e->old_id && hp_kind_frees(e->kind) && (!hp_kind_allocates(e->kind) || e->id || hp_export_bytes(e) == 0);
}

/* For exporters that keep nothing between events. */
static char stateless;

static void *csv_begin(FILE *out, char *error, size_t error_size)
{
    (void)error;
    (void)error_size;
    fputs("kind,thread,time_ns,id,old_id,size,count,alignment\n", out);
    return &stateless;
}

static bool nothing_left(void *state, FILE *out, char *error, size_t error_size)
{
    (void)state;
    (void)out;
    (void)error;
    (void)error_size;
    return true;
}

static bool csv_event(void *state, FILE *out, const struct hp_event *e)
{
    (void)state;
    fprintf(out, "%s,%" PRIu32 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n",
            hp_kind_name(e->kind), e->thread, e->time_ns, e->id, e->old_id, e->size, e->count, e->alignment);
    return true;
}

static void *android_begin(FILE *out, char *error, size_t error_size)
{
    (void)out;
    (void)error;
    (void)error_size;
    return &stateless;
}

/* An id as an address: none twice, none 0 but that of 0. */
static uint64_t address(uint64_t id)
{
    return id * 16;
}

static bool android_event(void *state, FILE *out, const struct hp_event *e)
{
    uint64_t made = address(e->id), old = address(e->old_id);

    (void)state;
    if (e->kind == HP_USABLE_SIZE || e->kind == HP_THREAD_START)
        return e->kind == HP_THREAD_START;
    fprintf(out, "%" PRIu32 ": ", e->thread + 1);
    if (e->kind == HP_CALLOC)
        fprintf(out, "calloc 0x%" PRIx64 " %" PRIu64 " %" PRIu64, made, e->count, e->size);
    else if (e->kind == HP_REALLOC || e->kind == HP_REALLOCARRAY)
        fprintf(out, "realloc 0x%" PRIx64 " 0x%" PRIx64 " %" PRIu64, made, old, hp_export_bytes(e));
    else if (e->kind == HP_THREAD_END)
        fputs("thread_done 0x0", out);
    else if (hp_kind_frees(e->kind))
        fprintf(out, "free 0x%" PRIx64, old);
    else if (e->alignment || e->kind == HP_VALLOC || e->kind == HP_PVALLOC)
        fprintf(out, "memalign 0x%" PRIx64 " %" PRIu64 " %" PRIu64, made, e->alignment ? e->alignment : 4096, e->size);
    else
        fprintf(out, "malloc 0x%" PRIx64 " %" PRIu64, made, e->size);
    if (e->time_ns)
        fprintf(out, e->kind == HP_THREAD_END ? " %" PRIu64 : " %" PRIu64 " %" PRIu64, e->time_ns, e->time_ns);
    fputc('\n', out);
    return true;
}

/* A realloc keeps its block's number in this format: the table says which number each live block has, in the place of its
 * size. The header counts what follows, so the operations wait in a temporary file. */
struct rep {
    FILE *body;
    struct hp_live live;
    uint64_t numbers, operations;
    bool failed;
};

static void *rep_begin(FILE *out, char *error, size_t error_size)
{
    struct rep *rep = calloc(1, sizeof *rep);

    (void)out;
    if (rep && hp_live_init(&rep->live) == 0 && (rep->body = tmpfile()))
        return rep;
    snprintf(error, error_size, "no temporary file or no memory: %s", strerror(errno));
    if (rep)
        hp_live_free(&rep->live);
    free(rep);
    return NULL;
}

static bool rep_event(void *state, FILE *out, const struct hp_event *e)
{
    struct rep *rep = state;
    struct hp_live_block *old = hp_export_consumes(e) ? hp_live_find(&rep->live, e->old_id) : NULL;
    uint64_t number = old ? old->size : rep->numbers;

    (void)out;
    if (!e->id && !old)
        return false;
    if (e->id)
        fprintf(rep->body, "%c %" PRIu64 " %" PRIu64 "\n", old ? 'r' : 'a', number, hp_export_bytes(e));
    else
        fprintf(rep->body, "f %" PRIu64 "\n", number);
    rep->numbers += !old;
    rep->operations++;
    if (old)
        hp_live_remove(&rep->live, old);
    if (e->id)
        rep->failed |= hp_live_add(&rep->live, &(struct hp_live_block){ .id = e->id, .size = number }) != 0;
    return true;
}

bool hp_export_copy(FILE *from, FILE *out)
{
    char bytes[65536];
    size_t n;

    if (fflush(from) || fseek(from, 0, SEEK_SET))
        return false;
    while ((n = fread(bytes, 1, sizeof bytes, from)) > 0)
        fwrite(bytes, 1, n, out);
    return !ferror(from);
}

static bool rep_end(void *state, FILE *out, char *error, size_t error_size)
{
    struct rep *rep = state;
    bool done;

    fprintf(out, "0\n%" PRIu64 "\n%" PRIu64 "\n1\n", rep->numbers, rep->operations);
    done = hp_export_copy(rep->body, out);
    if (!done)
        snprintf(error, error_size, "the temporary file: %s", strerror(errno));
    else if (rep->failed)
        snprintf(error, error_size, "out of memory for the live blocks");
    done = done && !rep->failed;
    hp_live_free(&rep->live);
    fclose(rep->body);
    free(rep);
    return done;
}

const struct hp_exporter hp_export_android = {
    "android", "text of Android's memory_replay",
    "C++, sized and other aligned calls become malloc, free and memalign; malloc_usable_size is left out",
    android_begin, android_event, nothing_left
};
const struct hp_exporter hp_export_csv = {
    "csv", "one event a line", "resident bytes", csv_begin, csv_event, nothing_left
};
const struct hp_exporter hp_export_rep = {
    "rep", "text of the CMU malloc lab",
    "threads, times, alignments and kinds other than malloc, realloc and free; failed calls and frees of NULL are left out",
    rep_begin, rep_event, rep_end
};

static const struct hp_exporter *const exporters[] = { &hp_export_android, &hp_export_csv, &hp_export_rep, &hp_export_wl };
#define EXPORTERS (sizeof exporters / sizeof *exporters)

const struct hp_exporter *hp_exporter_find(const char *name)
{
    for (size_t i = 0; i < EXPORTERS; i++)
        if (!strcmp(exporters[i]->name, name))
            return exporters[i];
    return NULL;
}

void hp_exporter_list(void (*each)(const struct hp_exporter *exporter))
{
    for (size_t i = 0; i < EXPORTERS; i++)
        each(exporters[i]);
}
