/* valgrind.c - the text of valgrind --trace-malloc=yes: "--PID-- malloc(SIZE) = 0xPTR" among other lines.
 *
 * A call prints its end when it has ended: another thread's call may stand between, also in the same line, and so may what
 * realloc calls ("realloc(0x0,N)malloc(N) = 0xPTR"; "realloc(0xPTR,0)free(0xPTR)", whose " = 0" has a line of its own). A result
 * belongs to the newest call that has none.
 */
#include "import/import.h"

#include <string.h>

#define OPEN_MAX_CALLS 64u

struct open_call {
    struct hp_call call;
    uint64_t line, offset;
    bool delivered;                     /* a realloc to nothing frees before its end is printed */
};

struct state {
    hp_import *import;
    uint64_t process;                   /* 0: not known yet */
    struct open_call open[OPEN_MAX_CALLS];
    unsigned count;
};

/* "--PID--", or "--DD:HH:MM:SS.MMM PID--" of --time-stamp=yes. */
static bool take_prefix(const char **at, uint64_t *process, uint64_t *ns)
{
    static const unsigned parts[] = { 24, 60, 60 };
    uint64_t v, total;
    bool timed;

    if (!hp_take_word(at, "--") || !hp_take_number(at, 10, &total))
        return false;
    timed = **at == ':';
    for (unsigned i = 0; timed && i < 3; i++) {
        if (!hp_take_word(at, ":") || !hp_take_number(at, 10, &v) || total > UINT32_MAX)
            return false;
        total = total * parts[i] + v;
    }
    if (timed && !(hp_take_word(at, ".") && hp_take_number(at, 10, &v) && v < 1000))
        return false;
    *ns = timed ? (total * 1000 + v) * 1000000 : 0;
    *process = total;
    return (!timed || hp_take_number(at, 10, process)) && hp_take_word(at, "--");
}

static bool take_function(const char **at, struct hp_function *f)
{
    size_t length = strspn(*at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

    if ((*at)[length] != '(' || !hp_import_function(*at, length, f))
        return false;
    *at += length + 1;
    return true;
}

static int detect(const unsigned char *bytes, size_t size)
{
    char text[4096 + 1] = "";
    bool memcheck;

    memcpy(text, bytes, size < 4096 ? size : 4096);
    memcheck = strstr(text, "==") && strstr(text, "Memcheck");
    for (const char *line = text; line; line = strchr(line, '\n')) {
        struct hp_function f;
        uint64_t process, ns;
        line += *line == '\n';
        const char *at = line;
        if (take_prefix(&at, &process, &ns) && *at == ' ' && (at++, take_function(&at, &f)))
            return 2;
    }
    return memcheck ? 1 : 0;
}

static bool has_times(const unsigned char *bytes, size_t size)
{
    char text[64] = "";
    const char *colon = text;

    memcpy(text, bytes, size < sizeof text - 1 ? size : sizeof text - 1);
    colon += strspn(text, "=-0123456789");
    return *colon == ':';
}

static uint32_t flags(const unsigned char *bytes, size_t size)
{
    return has_times(bytes, size) ? HP_HAS_TIME : 0;
}

static uint64_t time_step(const unsigned char *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    return 1000000;
}

/* Of a delete only the pointer is printed, and posix_memalign's place for the result is not. */
static bool take_arguments(const char **at, const struct hp_function *f, struct hp_call *call)
{
    bool deletes = f->kind == HP_DELETE_SIZED || f->kind == HP_DELETE_ALIGNED;

    call->kind = deletes ? HP_DELETE : f->kind;
    for (const char *field = deletes ? "o" : f->fields; *field; field++) {
        if (*field == 'x')
            continue;
        (void)(hp_take_word(at, "al ") || hp_take_word(at, "size "));
        if (!hp_take_number(at, *field == 'o' ? 16 : 10, hp_import_argument(call, *field, NULL)))
            return false;
        (void)hp_take_word(at, ",");
    }
    return hp_take_word(at, ")");
}

static void deliver(struct state *s, const struct open_call *open)
{
    hp_import_at_line(s->import, open->line, open->offset);
    hp_import_call(s->import, &open->call);
}

static void end_call(struct state *s, const char *at)
{
    struct open_call *open = s->count ? &s->open[s->count - 1] : NULL;
    uint64_t made;

    if (!open) {
        hp_import_offence(s->import, "a result without its call");
    } else if (hp_take_number(&at, 16, &made)) {
        s->count--;
        open->call.made = made;
        if (!open->delivered)
            hp_import_call(s->import, &open->call);
    }
}

/* What a realloc calls that was begun in this line is no call of the program's. */
static bool is_within(struct state *s, unsigned before, const struct hp_call *call)
{
    struct open_call *outer = s->count > before ? &s->open[s->count - 1] : NULL;

    if (!outer || outer->call.kind != HP_REALLOC)
        return false;
    if (call->kind == HP_FREE && call->old == outer->call.old && !outer->call.size) {
        if (!outer->delivered)
            deliver(s, outer);
        outer->delivered = true;
        return true;
    }
    return call->kind == HP_MALLOC && !outer->call.old && call->size == outer->call.size;
}

static void begin_call(struct state *s, const struct open_call *begun)
{
    if (!hp_kind_allocates(begun->call.kind)) {
        hp_import_call(s->import, &begun->call);
        return;
    }
    if (s->count == OPEN_MAX_CALLS) {
        hp_import_offence(s->import, "more calls without a result than can be followed");
        memmove(s->open, s->open + 1, --s->count * sizeof *s->open);
    }
    s->open[s->count++] = *begun;
}

static void take_line(struct state *s, const char *at, const hp_source *source)
{
    struct open_call begun = { .line = hp_source_lines(source), .offset = hp_source_offset(source) };
    unsigned before = s->count;
    struct hp_function f;
    uint64_t process, ns;

    if (!take_prefix(&at, &process, &ns))
        return;
    s->process = s->process ? s->process : process;
    if (process != s->process) {
        hp_import_assume(s->import, "calls of other processes than the first were left out");
        return;
    }
    for (;;) {
        at += strspn(at, " ");
        if (hp_take_word(&at, "= ")) {
            end_call(s, at);
            return;
        }
        if (!take_function(&at, &f))
            return;
        begun.call = (struct hp_call){ .time_ns = ns };
        if (!take_arguments(&at, &f, &begun.call)) {
            hp_import_offence(s->import, "an argument is missing, or too large");
            return;
        }
        if (!is_within(s, before, &begun.call))
            begin_call(s, &begun);
    }
}

static void parse(hp_import *import, hp_source *source)
{
    struct state s = { .import = import };
    const char *line;

    hp_import_assume(import, "lines that are no calls are valgrind's own");
    while (!hp_import_failed(import) && (line = hp_source_line(source))) {
        hp_import_at(import, source);
        take_line(&s, line, source);
    }
    for (unsigned i = 0; i < s.count; i++)
        if (!s.open[i].delivered) {
            hp_import_at_line(import, s.open[i].line, s.open[i].offset);
            hp_import_offence(import, "no result");
        }
}

const struct hp_importer hp_import_valgrind = { "valgrind", "text of valgrind --trace-malloc=yes", detect, flags, parse,
                                                time_step };
