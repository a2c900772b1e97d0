/* mtrace.c - the text of glibc's mtrace(3): "[@ PLACE] + PTR SIZE", "- PTR", "< OLD" with "> NEW SIZE". */
#include "import/import.h"

#include <string.h>

static int detect(const unsigned char *bytes, size_t size)
{
    return size >= 7 && !memcmp(bytes, "= Start", 7) ? 2 : 0;
}

static uint32_t flags(const unsigned char *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    return 0;
}

static bool take_pointer(const char **at, uint64_t *v)
{
    *v = 0;
    return hp_take_word(at, "(nil)") || hp_take_number(at, 16, v);
}

/* "@ [0xPC] " or "@ FILE:(SYM+0xOFF)[0xADDR] ": up to the bracket that closes the address. */
static const char *skip_place(const char *at)
{
    const char *end = *at == '@' ? strstr(at, "] ") : NULL;

    return end ? end + 2 : at;
}

static void parse(hp_import *import, hp_source *source)
{
    const char *line;
    uint64_t moving = 0;                /* the old block of a "<" that waits for its ">" */

    hp_import_assume(import, "calloc and memalign appear as malloc: the format does not tell them apart");
    while (!hp_import_failed(import) && (line = hp_source_line(source))) {
        const char *at = skip_place(line);
        struct hp_call call = { 0 };
        uint64_t pointer, size = 0;
        char mark = *at;
        hp_import_at(import, source);
        if (hp_at_end(line) || mark == '=' || mark == '!')
            continue;
        if (!strchr("+-<>", mark) || (at++, !take_pointer(&at, &pointer))) {
            hp_import_offence(import, "the line is none of + - < > ! =");
            continue;
        }
        if ((mark == '+' || mark == '>') && !hp_take_number(&at, 16, &size)) {
            hp_import_offence(import, "no size, or too large");
            continue;
        }
        if (mark == '<') {
            moving = pointer;
            continue;
        }
        call.kind = mark == '+' ? HP_MALLOC : mark == '-' ? HP_FREE : HP_REALLOC;
        call.made = mark == '-' ? 0 : pointer;
        call.old = mark == '-' ? pointer : mark == '>' ? moving : 0;
        call.size = size;
        moving = 0;
        hp_import_call(import, &call);
    }
}

const struct hp_importer hp_import_mtrace = { "mtrace", "text of glibc's mtrace(3)", detect, flags, parse, NULL };
