/* android.c - the text of Android's memory_replay: "TID: CALL POINTER ARGUMENTS [START_NS END_NS]". */
#include "import/import.h"

#include <string.h>

static bool take_prefix(const char **at, uint64_t *thread)
{
    return hp_take_number(at, 10, thread) && hp_take_word(at, ":");
}

static int detect(const unsigned char *bytes, size_t size)
{
    char line[64] = "";
    const char *at = line;
    uint64_t thread;

    memcpy(line, bytes, size < sizeof line - 1 ? size : sizeof line - 1);
    return take_prefix(&at, &thread) && *at == ' ' && at[1] >= 'a' && at[1] <= 'z' ? 2 : 0;
}

/* Whether the line has two numbers more than its call needs. */
static bool has_times(const char *line, size_t length)
{
    unsigned fields = 0, needed = 3;

    for (size_t i = 0; i < length; i++)
        fields += line[i] != ' ' && (i == 0 || line[i - 1] == ' ');
    if (memmem(line, length, ": malloc ", 9))
        needed = 4;
    else if (!memmem(line, length, ": free ", 7))
        needed = 5;
    return fields >= needed + 2;
}

/* Times are there when some line of the beginning has them: what happens at time 0 may be written without. */
static uint32_t flags(const unsigned char *bytes, size_t size)
{
    const char *line = (const char *)bytes, *end = line + size, *newline;

    for (; line < end; line = newline + 1) {
        newline = memchr(line, '\n', (size_t)(end - line));
        if (has_times(line, (size_t)((newline ? newline : end) - line)))
            return HP_HAS_THREADS | HP_HAS_TIME;
        if (!newline)
            break;
    }
    return HP_HAS_THREADS;
}

static const struct call {
    const char *word;
    uint8_t kind;
    const char *fields;         /* n: count, s: size, a: alignment, o: old pointer, f: the pointer is the old one */
} calls[] = {
    { "malloc ", HP_MALLOC, "s" }, { "calloc ", HP_CALLOC, "ns" }, { "realloc ", HP_REALLOC, "os" },
    { "memalign ", HP_MEMALIGN, "as" }, { "free ", HP_FREE, "f" }, { "thread_done ", HP_THREAD_END, "" },
};

static const char *parse_line(const char *at, struct hp_call *call)
{
    const struct call *found = NULL;
    uint64_t pointer, start;

    if (!take_prefix(&at, &call->thread))
        return "the line does not begin with a thread and a colon";
    for (size_t i = 0; i < sizeof calls / sizeof *calls && !found; i++)
        found = hp_take_word(&at, calls[i].word) ? &calls[i] : NULL;
    if (!found)
        return "unknown call";
    call->kind = found->kind;
    if (!hp_take_number(&at, 16, &pointer))
        return "no pointer";
    *(*found->fields == 'f' ? &call->old : &call->made) = pointer;
    for (const char *f = found->fields; *f; f++) {
        uint64_t *field = *f == 'n' ? &call->count : *f == 'a' ? &call->alignment : *f == 'o' ? &call->old : &call->size;
        if (*f != 'f' && !hp_take_number(&at, *f == 'o' ? 16 : 10, field))
            return "a number is missing, or too large";
    }
    if (hp_take_number(&at, 10, &start))
        call->time_ns = start;
    while (hp_take_number(&at, 10, &start) || hp_take_word(&at, "-1"))
        ;
    return hp_at_end(at) ? NULL : "unexpected text at the end of the line";
}

static void parse(hp_import *import, hp_source *source)
{
    const char *line;

    while (!hp_import_failed(import) && (line = hp_source_line(source))) {
        struct hp_call call = { 0 };
        const char *fault = parse_line(line, &call);
        hp_import_at(import, source);
        if (fault)
            hp_import_offence(import, fault);
        else if (call.kind == HP_THREAD_END)
            hp_import_thread_end(import, call.thread, call.time_ns);
        else
            hp_import_call(import, &call);
    }
}

const struct hp_importer hp_import_android = { "android", "text of Android's memory_replay", detect, flags, parse, NULL };
