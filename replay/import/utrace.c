/* utrace.c - FreeBSD's utrace(2) records of malloc as kdump prints them: "PID COMMAND USER  0xR = malloc(SIZE)".
 * Lines of other records are skipped without a word: kdump prints all that ktrace was told to follow. */
#include "import/import.h"

#include <string.h>

/* Place of the call in the line: after "USER" with its spaces, or the line itself. */
static const char *after_user(const char *line)
{
    const char *user = strstr(line, " USER ");

    return user ? user + 6 : line;
}

static bool is_call(const char *at)
{
    at += strspn(at, " \t");
    return !strncmp(at, "malloc_init(", 12) || !strncmp(at, "free(", 5)
        || (at[0] == '0' && at[1] == 'x' && (strstr(at, " = malloc(") || strstr(at, " = realloc(")));
}

static int detect(const unsigned char *bytes, size_t size)
{
    char text[4096 + 1] = "";

    memcpy(text, bytes, size < 4096 ? size : 4096);
    for (char *line = text, *end; *line; line = end + 1) {
        end = line + strcspn(line, "\n");
        if (!*end)
            return is_call(after_user(line)) ? 1 : 0;
        *end = 0;
        if (is_call(after_user(line)) && (strstr(line, " USER ") || !strstr(line, ") = ")))
            return strstr(line, " USER ") || strstr(line, " = ") || strstr(line, "malloc_init") ? 2 : 1;
    }
    return 0;
}

static uint32_t flags(const unsigned char *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    return HP_HAS_THREADS;
}

static const char *parse_call(const char *at, struct hp_call *call)
{
    if (hp_take_word(&at, "free(")) {
        call->kind = HP_FREE;
        return hp_take_number(&at, 16, &call->old) && hp_take_word(&at, ")") ? NULL : "a free without a pointer";
    }
    if (!hp_take_number(&at, 16, &call->made) || !hp_take_word(&at, "="))
        return "no result";
    if (hp_take_word(&at, "malloc(")) {
        call->kind = HP_MALLOC;
    } else if (hp_take_word(&at, "realloc(")) {
        call->kind = HP_REALLOC;
        if (!hp_take_number(&at, 16, &call->old) || !hp_take_word(&at, ","))
            return "a realloc without a pointer";
    } else {
        return "unknown call";
    }
    return hp_take_any(&at, &call->size) && hp_take_word(&at, ")") ? NULL : "no size, or too large";
}

static void parse(hp_import *import, hp_source *source)
{
    const char *line;

    hp_import_assume(import, "threads are kdump's first number; calloc and aligned calls appear as malloc");
    while (!hp_import_failed(import) && (line = hp_source_line(source))) {
        struct hp_call call = { 0 };
        const char *at = after_user(line), *prefix = line, *fault;
        hp_import_at(import, source);
        if (!is_call(at))
            continue;
        at += strspn(at, " \t");
        if (at != line && !hp_take_number(&prefix, 10, &call.thread))
            call.thread = 0;
        if (!strncmp(at, "malloc_init(", 12))
            continue;
        fault = parse_call(at, &call);
        if (fault)
            hp_import_offence(import, fault);
        else
            hp_import_call(import, &call);
    }
}

const struct hp_importer hp_import_utrace = { "utrace", "FreeBSD's utrace records of malloc as kdump prints them", detect,
                                              flags, parse, NULL };
