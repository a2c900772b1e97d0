/* ctsrd.c - the tab-separated call traces that CTSRD's DTrace script writes. The header line names the columns;
 * rows begin "call-trace". Pointers are hexadecimal without 0x, sizes decimal, arguments separated by spaces. */
#include "import/import.h"

#include <string.h>

enum column { TIME, TID, NAME, ARGS, RESULT, COLUMNS };
#define MOST_COLUMNS 32u

static const char *const titles[COLUMNS] = { "timestamp-unix-ns", "tid", "name", "args", "result" };
static const unsigned usual[COLUMNS] = { 1, 3, 4, 5, 6 };

static int detect(const unsigned char *bytes, size_t size)
{
    return (size > 23 && !memcmp(bytes, "@record-type:call-trace", 23)) || (size > 11 && !memcmp(bytes, "call-trace\t", 11))
        ? 2 : 0;
}

static uint32_t flags(const unsigned char *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    return HP_HAS_THREADS | HP_HAS_TIME;
}

/* Cuts the line at its tabs (or, in the header, spaces); returns how many parts there are. */
static unsigned split(char *line, const char *at_what, char *part[MOST_COLUMNS])
{
    unsigned n = 0;
    char *rest = line;

    while (n < MOST_COLUMNS && (part[n] = strsep(&rest, at_what)))
        n++;
    return n;
}

static void take_header(char *line, unsigned place[COLUMNS])
{
    char *part[MOST_COLUMNS];
    unsigned n = split(line, "\t ", part);

    for (unsigned c = 0; c < COLUMNS; c++)
        for (unsigned i = 0; i < n; i++)
            if (!strcmp(part[i], titles[c]))
                place[c] = i;
}

static const char *take_row(char *part[], const unsigned place[COLUMNS], const struct hp_function *function, struct hp_call *call)
{
    const char *time = part[place[TIME]], *tid = part[place[TID]], *args = part[place[ARGS]], *result = part[place[RESULT]];
    uint64_t ignored;

    if (!hp_take_number(&time, 10, &call->time_ns) || !hp_take_number(&tid, 10, &call->thread))
        return "no time or no thread";
    for (const char *f = function->fields; *f; f++) {
        if (!hp_take_number(&args, *f == 'o' || *f == 'x' ? 16 : 10, hp_import_argument(call, *f, &ignored)))
            return "an argument is missing, or too large";
    }
    if (hp_kind_allocates(function->kind) && !hp_take_number(&result, 16, &call->made))
        return "no result";
    return NULL;
}

static void parse(hp_import *import, hp_source *source)
{
    unsigned place[COLUMNS], most = 0;
    uint64_t first_ns = 0;
    char *line;

    memcpy(place, usual, sizeof place);
    hp_import_assume(import, "times count from the first row; the result of posix_memalign is the block");
    while (!hp_import_failed(import) && (line = hp_source_line(source))) {
        struct hp_function function;
        struct hp_call call = { 0 };
        char *part[MOST_COLUMNS];
        const char *fault;
        unsigned n;
        hp_import_at(import, source);
        if (!strncmp(line, "@record-type:call-trace", 23))
            take_header(line, place);
        if (strncmp(line, "call-trace\t", 11))
            continue;
        n = split(line, "\t", part);
        for (unsigned c = most = 0; c < COLUMNS; c++)
            most = place[c] > most ? place[c] : most;
        if (n <= most) {
            hp_import_offence(import, "a row with too few columns");
            continue;
        }
        if (!hp_import_function(part[place[NAME]], strlen(part[place[NAME]]), &function))
            continue;                           /* mmap and the like */
        call.kind = function.kind;
        fault = take_row(part, place, &function, &call);
        first_ns = first_ns ? first_ns : call.time_ns;
        call.time_ns = call.time_ns > first_ns ? call.time_ns - first_ns : 0;
        if (fault)
            hp_import_offence(import, fault);
        else
            hp_import_call(import, &call);
    }
}

const struct hp_importer hp_import_ctsrd = { "ctsrd", "tab-separated call traces of CTSRD's DTrace script", detect, flags,
                                             parse, NULL };
