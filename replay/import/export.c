/* export.c - android, rep and csv text from events. Called by cli/cmd_export.c. Each is read again by its importer. */
#include "import/import.h"

#include <inttypes.h>
#include <string.h>

static uint64_t bytes_of(const struct hp_event *e)
{
    bool counted = e->kind == HP_CALLOC || e->kind == HP_REALLOCARRAY;
    uint64_t bytes;

    return !counted ? e->size : __builtin_mul_overflow(e->count, e->size, &bytes) ? UINT64_MAX : bytes;
}

static void csv_begin(FILE *out, const struct hp_trailer *counts, uint64_t most_ids)
{
    (void)counts;
    (void)most_ids;
    fputs("kind,thread,time_ns,id,old_id,size,count,alignment\n", out);
}

static bool csv_event(FILE *out, const struct hp_event *e)
{
    fprintf(out, "%s,%" PRIu32 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n",
            hp_kind_name(e->kind), e->thread, e->time_ns, e->id, e->old_id, e->size, e->count, e->alignment);
    return true;
}

static void nothing(FILE *out, const struct hp_trailer *counts, uint64_t most_ids)
{
    (void)out;
    (void)counts;
    (void)most_ids;
}

/* An id as an address: none twice, none 0 but that of 0. */
static uint64_t address(uint64_t id)
{
    return id * 16;
}

static bool android_event(FILE *out, const struct hp_event *e)
{
    uint64_t made = address(e->id), old = address(e->old_id);

    if (e->kind == HP_USABLE_SIZE || e->kind == HP_THREAD_START)
        return e->kind == HP_THREAD_START;
    fprintf(out, "%" PRIu32 ": ", e->thread + 1);
    if (e->kind == HP_CALLOC)
        fprintf(out, "calloc 0x%" PRIx64 " %" PRIu64 " %" PRIu64, made, e->count, e->size);
    else if (e->kind == HP_REALLOC || e->kind == HP_REALLOCARRAY)
        fprintf(out, "realloc 0x%" PRIx64 " 0x%" PRIx64 " %" PRIu64, made, old, bytes_of(e));
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

/* A realloc keeps its block's id in this format, but ids here are new each time: it is written as a and f. */
static void rep_begin(FILE *out, const struct hp_trailer *counts, uint64_t most_ids)
{
    fprintf(out, "0\n%" PRIu64 "\n%" PRIu64 "\n1\n", most_ids, counts->allocations + counts->frees);
}

static bool rep_event(FILE *out, const struct hp_event *e)
{
    bool frees = e->old_id && hp_kind_frees(e->kind) && (!hp_kind_allocates(e->kind) || e->id || bytes_of(e) == 0);

    if (e->id)
        fprintf(out, "a %" PRIu64 " %" PRIu64 "\n", e->id - 1, bytes_of(e));
    if (frees)
        fprintf(out, "f %" PRIu64 "\n", e->old_id - 1);
    return e->id || frees;
}

static const struct hp_exporter exporters[] = {
    { "android", "text of Android's memory_replay", nothing, android_event },
    { "csv", "one event a line, everything the trace has but resident bytes", csv_begin, csv_event },
    { "rep", "text of the CMU malloc lab; a realloc becomes an allocation and a free", rep_begin, rep_event },
};
#define EXPORTERS (sizeof exporters / sizeof *exporters)

const struct hp_exporter *hp_exporter_find(const char *name)
{
    for (size_t i = 0; i < EXPORTERS; i++)
        if (!strcmp(exporters[i].name, name))
            return &exporters[i];
    return NULL;
}

void hp_exporter_list(void (*each)(const struct hp_exporter *exporter))
{
    for (size_t i = 0; i < EXPORTERS; i++)
        each(&exporters[i]);
}
