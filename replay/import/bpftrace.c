/* bpftrace.c - what import/heaplay.bt prints: "TID NS CALL ARGUMENTS [= POINTER]". README.md describes the lines.
 * Lines that begin otherwise are bpftrace's own ("Attaching 9 probes...") and are skipped; lost events are offences. */
#include "import/import.h"

#include <string.h>

/* Tells a call's line from others: *known is false when its word is no function's. */
static bool take_start(const char **at, struct hp_call *call, struct hp_function *function, bool *known)
{
    size_t length;

    *known = false;
    if (!hp_take_number(at, 10, &call->thread) || **at != ' ' || !hp_take_number(at, 10, &call->time_ns) || **at != ' ')
        return false;
    *at += strspn(*at, " ");
    length = strcspn(*at, " \n");
    *known = hp_import_function(*at, length, function);
    *at += *known ? length : 0;
    return true;
}

static int detect(const unsigned char *bytes, size_t size)
{
    char text[4096 + 1] = "";

    memcpy(text, bytes, size < 4096 ? size : 4096);
    for (char *line = text, *end; *line; line = *end ? end + 1 : end) {
        struct hp_call call = { 0 };
        struct hp_function function;
        const char *at = line;
        bool known;
        end = line + strcspn(line, "\n");
        if (take_start(&at, &call, &function, &known) && known)
            return at <= end ? 2 : 0;
    }
    return 0;
}

static uint32_t flags(const unsigned char *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    return HP_HAS_THREADS | HP_HAS_TIME;
}

static const char *parse_call(const char *at, const struct hp_function *function, struct hp_call *call)
{
    call->kind = function->kind;
    for (const char *f = function->fields; *f; f++)
        if (*f != 'x' && !hp_take_any(&at, hp_import_argument(call, *f, NULL)))
            return "an argument is missing, or too large";
    if (hp_kind_allocates(call->kind) && (!hp_take_word(&at, "=") || !hp_take_any(&at, &call->made)))
        return "no result";
    return hp_at_end(at) ? NULL : "unexpected text at the end of the line";
}

static void parse(hp_import *import, hp_source *source)
{
    const char *line;
    uint64_t first_ns = UINT64_MAX;

    hp_import_assume(import, "times count from the first line; blocks made before the probes were attached are unknown");
    while (!hp_import_failed(import) && (line = hp_source_line(source))) {
        struct hp_call call = { 0 };
        struct hp_function function;
        const char *at = line, *fault;
        bool known;
        hp_import_at(import, source);
        if (!take_start(&at, &call, &function, &known)) {
            if (!strncmp(line, "Lost ", 5))
                hp_import_offence(import, "bpftrace lost events: record again with a larger BPFTRACE_PERF_RB_PAGES");
            continue;
        }
        fault = known ? parse_call(at, &function, &call) : "unknown call";
        first_ns = first_ns == UINT64_MAX ? call.time_ns : first_ns;
        call.time_ns = call.time_ns > first_ns ? call.time_ns - first_ns : 0;
        if (fault)
            hp_import_offence(import, fault);
        else
            hp_import_call(import, &call);
    }
}

const struct hp_importer hp_import_bpftrace = { "bpftrace", "lines of import/heaplay.bt, uprobes by bpftrace", detect, flags,
                                                parse, NULL };
