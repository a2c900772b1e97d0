/* rep.c - the .rep text of the CMU malloc lab: four numbers, then "a ID BYTES", "r ID BYTES", "f ID". */
#include "import/import.h"

#include <string.h>

static int detect(const unsigned char *bytes, size_t size)
{
    char text[512] = "";
    const char *at = text;
    uint64_t v;
    int lines = 0;

    memcpy(text, bytes, size < sizeof text - 1 ? size : sizeof text - 1);
    for (; hp_take_number(&at, 10, &v); lines++)
        at += strspn(at, "\r\n\t ");
    return lines == 4 && strchr("arf", *at) ? 2 : 0;
}

static uint32_t flags(const unsigned char *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    return 0;
}

static const char *parse_line(const char *at, struct hp_call *call)
{
    bool allocates = hp_take_word(&at, "a "), moves = !allocates && hp_take_word(&at, "r ");
    uint64_t id;

    if (!allocates && !moves && !hp_take_word(&at, "f "))
        return "the line begins with neither a, r nor f";
    if (!hp_take_number(&at, 10, &id) || id == UINT64_MAX)
        return "no id";
    call->kind = allocates ? HP_MALLOC : moves ? HP_REALLOC : HP_FREE;
    call->old = allocates ? 0 : id + 1;
    call->made = allocates || moves ? id + 1 : 0;
    if (call->made && !hp_take_number(&at, 10, &call->size))
        return "no size, or too large";
    return hp_at_end(at) ? NULL : "unexpected text at the end of the line";
}

static void parse(hp_import *import, hp_source *source)
{
    const char *line;

    while (!hp_import_failed(import) && (line = hp_source_line(source))) {
        struct hp_call call = { 0 };
        const char *at = line, *fault = NULL;
        uint64_t header;
        hp_import_at(import, source);
        if (hp_at_end(at) || (hp_source_lines(source) <= 4 && hp_take_number(&at, 10, &header)))
            continue;
        fault = parse_line(line, &call);
        if (fault)
            hp_import_offence(import, fault);
        else
            hp_import_call(import, &call);
    }
}

const struct hp_importer hp_import_rep = { "rep", "text of the CMU malloc lab", detect, flags, parse, NULL };
