/* csv.c - what `heaplay export --to csv` writes: a header line, then one event a line. */
#include "import/import.h"

#include <string.h>

static const char header[] = "kind,thread,time_ns,id,old_id,size,count,alignment";

static int detect(const unsigned char *bytes, size_t size)
{
    return size >= sizeof header - 1 && !memcmp(bytes, header, sizeof header - 1) ? 2 : 0;
}

/* Times are there when the first events have some: a zero everywhere means that nobody looked at a clock. */
static uint32_t flags(const unsigned char *bytes, size_t size)
{
    const char *at = (const char *)bytes, *end = at + size;
    uint32_t found = HP_HAS_THREADS;

    for (unsigned comma = 0; at < end; at++) {
        comma = *at == '\n' ? 0 : comma + (*at == ',');
        if (comma == 2 && *at >= '1' && *at <= '9')
            found |= HP_HAS_TIME;
    }
    return found;
}

static const char *parse_line(const char *at, struct hp_call *call)
{
    uint64_t *fields[] = { &call->thread, &call->time_ns, &call->made, &call->old, &call->size, &call->count,
                           &call->alignment };
    size_t length = strcspn(at, ",");

    call->kind = HP_KIND_COUNT;
    for (unsigned kind = 0; kind < HP_KIND_COUNT; kind++)
        if (strlen(hp_kind_name(kind)) == length && !strncmp(at, hp_kind_name(kind), length))
            call->kind = (uint8_t)kind;
    if (call->kind == HP_KIND_COUNT)
        return "unknown kind of call";
    at += length;
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!hp_take_word(&at, ",") || !hp_take_number(&at, 10, fields[i]))
            return "a number is missing, or too large";
    return hp_at_end(at) ? NULL : "unexpected text at the end of the line";
}

static void parse(hp_import *import, hp_source *source)
{
    const char *line;

    while (!hp_import_failed(import) && (line = hp_source_line(source))) {
        struct hp_call call = { 0 };
        const char *fault;
        hp_import_at(import, source);
        if (hp_source_lines(source) == 1 && !strcmp(line, header))
            continue;
        fault = parse_line(line, &call);
        if (fault)
            hp_import_offence(import, fault);
        else if (call.kind == HP_THREAD_END)
            hp_import_thread_end(import, call.thread, call.time_ns);
        else
            hp_import_call(import, &call);
    }
}

const struct hp_importer hp_import_csv = { "csv", "one event a line, as 'heaplay export --to csv' writes it", detect,
                                           flags, parse, NULL };
