/* valgrind.c - the text of valgrind --trace-malloc=yes: "--PID-- malloc(SIZE) = 0xPTR" among other lines. */
#include "import/import.h"

#include <string.h>

static bool take_prefix(const char **at)
{
    uint64_t pid;

    return hp_take_word(at, "--") && hp_take_number(at, 10, &pid) && hp_take_word(at, "--");
}

static int detect(const unsigned char *bytes, size_t size)
{
    char text[4096 + 1] = "";

    memcpy(text, bytes, size < 4096 ? size : 4096);
    return (strstr(text, "-- malloc(") || strstr(text, "-- _Zn") || strstr(text, "-- calloc(")) ? 2
        : strstr(text, "==") && strstr(text, "Memcheck") ? 1 : 0;
}

static uint32_t flags(const unsigned char *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    return 0;
}

static const struct call {
    const char *word;
    uint8_t kind;
    const char *fields;                 /* s: size, n: count, a: alignment, o: old pointer */
} calls[] = {
    { "malloc(", HP_MALLOC, "s" }, { "calloc(", HP_CALLOC, "ns" }, { "realloc(", HP_REALLOC, "os" },
    { "memalign(", HP_MEMALIGN, "as" }, { "posix_memalign(", HP_MEMALIGN, "as" },
    { "aligned_alloc(", HP_ALIGNED_ALLOC, "as" },
    { "_ZnwmSt11align_val_t(", HP_NEW_ALIGNED, "sa" }, { "_ZnamSt11align_val_t(", HP_NEW_ALIGNED, "sa" },
    { "_ZnwmRKSt9nothrow_t(", HP_NEW, "s" }, { "_ZnamRKSt9nothrow_t(", HP_NEW, "s" },
    { "_Znwm(", HP_NEW, "s" }, { "_Znam(", HP_NEW, "s" },
    { "free(", HP_FREE, "o" }, { "cfree(", HP_FREE, "o" },
    { "_ZdlPv", HP_DELETE, "o" }, { "_ZdaPv", HP_DELETE, "o" },
};

/* False: not a call. *fault is set when it is one that cannot be used. */
static bool parse_line(const char *at, struct hp_call *call, const char **fault)
{
    const struct call *found = NULL;

    if (!take_prefix(&at))
        return false;
    for (size_t i = 0; i < sizeof calls / sizeof *calls && !found; i++)
        found = hp_take_word(&at, calls[i].word) ? &calls[i] : NULL;
    if (!found)
        return false;
    if (found->kind == HP_DELETE)       /* the mangled name goes on with the types of further arguments */
        at += strcspn(at, "(") + (strchr(at, '(') != NULL);
    call->kind = found->kind;
    *fault = "an argument is missing, or too large";
    for (const char *f = found->fields; *f; f++) {
        uint64_t *field = *f == 's' ? &call->size : *f == 'n' ? &call->count : *f == 'a' ? &call->alignment : &call->old;
        (void)(hp_take_word(&at, "al ") || hp_take_word(&at, "size "));
        if (!hp_take_number(&at, *f == 'o' ? 16 : 10, field))
            return true;
        (void)hp_take_word(&at, ",");
    }
    if (!hp_take_word(&at, ")"))
        return true;
    if (hp_kind_allocates(call->kind)) {
        /* realloc(NULL, n) prints "realloc(0x0,n)malloc(n) = 0xPTR". */
        const char *equals = strstr(at, "= ");
        *fault = "no result";
        if (!equals || (at = equals + 2, !hp_take_number(&at, 16, &call->made)))
            return true;
    }
    *fault = NULL;
    return true;
}

static void parse(hp_import *import, hp_source *source)
{
    const char *line;

    hp_import_assume(import, "lines that are no calls are valgrind's own");
    while (!hp_import_failed(import) && (line = hp_source_line(source))) {
        struct hp_call call = { 0 };
        const char *fault = NULL;
        hp_import_at(import, source);
        if (!parse_line(line, &call, &fault))
            continue;
        if (fault)
            hp_import_offence(import, fault);
        else
            hp_import_call(import, &call);
    }
}

const struct hp_importer hp_import_valgrind = { "valgrind", "text of valgrind --trace-malloc=yes", detect, flags, parse };
