/* ltrace.c - the text of ltrace: "[PREFIX] [LIB->]FUNC(ARGS) PAD= RESULT", calls that others interrupt in two parts.
 *
 * Prefixes: "[pid N] " or "N ", a time (-r, -t, -tt, -ttt), "[0xIP] ". A free counts when it begins, everything else when it
 * has ended. Of calls within each other (operator new calls malloc) the outermost counts; each thread has a stack of them.
 */
#include "import/import.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH       16u
#define STACKS      1024u       /* threads that may be inside a call at one time */

struct open_call {
    struct hp_function function;
    struct hp_call call;
    const char *fault;
};

struct stack {
    uint64_t thread;
    unsigned depth;             /* 0: not in use; calls deeper than DEPTH are counted only */
    struct open_call open[DEPTH];
};

struct state {
    hp_import *import;
    struct stack *stacks;
    uint64_t relative_ns;
    bool differences;           /* times are those of ltrace -r */
};

/* [HH:MM:SS][.US] or SEC.US; whether it was one. */
static bool take_time(const char **at, uint64_t *ns)
{
    const char *p = *at;
    uint64_t v, total = 0, fraction = 0, scale = 1000000000;
    unsigned colons = 0;

    while (hp_take_number(&p, 10, &v) && v < UINT64_C(1) << 32) {
        total = total * 60 + v;
        if (*p != ':')
            break;
        colons++, p++;
    }
    if (*p == '.')
        for (p++; *p >= '0' && *p <= '9'; p++)
            fraction += (uint64_t)(*p - '0') * (scale /= 10);
    else if (colons != 2)
        return false;
    if ((colons != 0 && colons != 2) || *p != ' ' || total >> 33)
        return false;
    *ns = total * 1000000000 + fraction;
    *at = p;
    return true;
}

static void take_prefix(const char **at, uint64_t *thread, uint64_t *ns, bool *timed)
{
    const char *p = *at + strspn(*at, " ");
    uint64_t v;

    *thread = 0;
    *timed = false;
    if (hp_take_word(&p, "[pid ") && hp_take_number(&p, 10, thread) && *p == ']')
        *at = p + 1;
    else if (p = *at, hp_take_number(&p, 10, &v) && *p == ' ') {
        *thread = v;
        *at = p;
    }
    *timed = take_time(at, ns);
    p = *at;
    if (hp_take_word(&p, "[0x") && hp_take_number(&p, 16, &v) && *p == ']')
        *at = p + 1;
    *at += strspn(*at, " ");
}

/* Name of the function at `at`, without library and version, and the place of its bracket; NULL: the line is no call. */
static const char *find_name(const char *at, size_t *length)
{
    const char *open = strchr(at, '('), *arrow = open ? memmem(at, (size_t)(open - at), "->", 2) : NULL;

    if (!open)
        return NULL;
    if (arrow)
        at = arrow + 2;
    *length = strcspn(at, "(@");
    return at;
}

/* The place of posix_memalign's result is no use, but import/ltrace.conf makes ltrace print what stands there at the end,
 * and three arguments instead of the four that ltrace prints of a function it does not know. */
static const char *take_arguments(const struct hp_function *function, const char **at, struct hp_call *call)
{
    uint64_t first = 0;

    for (const char *f = function->fields; *f; f++) {
        if (f != function->fields && !hp_take_word(at, ","))
            return "an argument is missing";
        if (!hp_take_word(at, "nil") && !hp_take_word(at, "(nil)") && !hp_take_any(at, hp_import_argument(call, *f, &first)))
            return "an argument is missing, or too large";
    }
    if (function->kind == HP_POSIX_MEMALIGN && hp_take_word(at, ")"))
        call->made = first;
    return NULL;
}

static const char *take_result(const char *at, struct open_call *open)
{
    const char *equals = strstr(at, "= ");
    uint64_t v = 0;

    if (!hp_kind_allocates(open->function.kind))
        return NULL;
    at = equals ? equals + 2 : at;
    if (!equals || (!hp_take_word(&at, "nil") && !hp_take_word(&at, "(nil)") && !hp_take_any(&at, &v)))
        return "no result";
    if (open->function.kind != HP_POSIX_MEMALIGN)
        open->call.made = v;
    else if (v)
        open->call.made = 0;
    else if (!open->call.made)
        return "posix_memalign: ltrace does not print the block that it made, unless run with -F import/ltrace.conf";
    return NULL;
}

static void deliver(struct state *s, const struct open_call *open, const char *fault)
{
    if (fault)
        hp_import_offence(s->import, fault);
    else
        hp_import_call(s->import, &open->call);
}

static struct stack *stack_of(struct state *s, uint64_t thread)
{
    size_t home = (size_t)(thread * UINT64_C(0x9e3779b97f4a7c15) >> 40) % STACKS;
    struct stack *unused = NULL;

    for (size_t i = 0; i < STACKS; i++) {
        struct stack *at = &s->stacks[(home + i) % STACKS];
        if (at->depth && at->thread == thread)
            return at;
        if (!at->depth && !unused)
            unused = at;
        if (!at->depth && at->thread == 0)
            break;                      /* never used: no other can be behind it */
    }
    if (unused)
        unused->thread = thread;
    return unused;
}

/* What ltrace could not print when the call began, such as what posix_memalign made, follows "resumed>". */
static const char *take_rest(const char *at, struct open_call *open)
{
    if (open->fault) {
        at += strcspn(at, ">");
        at += *at == '>';
        open->fault = take_arguments(&open->function, &at, &open->call);
    }
    return open->fault ? open->fault : take_result(at, open);
}

static void resume(struct state *s, struct stack *stack, const char *at, const char *name, size_t length, uint64_t ns)
{
    struct hp_function function;
    struct open_call *open;

    if (!hp_import_function(name, length, &function))
        return;
    if (!stack->depth) {
        hp_import_offence(s->import, "a call goes on that did not begin");
        return;
    }
    open = &stack->open[--stack->depth % DEPTH];
    if (stack->depth)
        return;
    if (open->function.kind != function.kind) {
        hp_import_offence(s->import, "another call goes on than the one that began");
        return;
    }
    open->call.time_ns = ns;
    if (hp_kind_allocates(function.kind))
        deliver(s, open, take_rest(at, open));
}

static void take_line(struct state *s, const char *line)
{
    const char *at = line, *name, *fault;
    struct open_call open = { 0 };
    struct stack *stack;
    size_t length;
    uint64_t ns = 0;
    /* "no return" says only that a thread has ended meanwhile: the call may go on all the same. */
    bool timed, known, unfinished = strstr(line, "<unfinished ...>") || strstr(line, "<no return ...>");

    take_prefix(&at, &open.call.thread, &ns, &timed);
    if (timed && s->differences)
        ns = s->relative_ns += ns;
    open.call.time_ns = ns;
    stack = stack_of(s, open.call.thread);
    if (!stack) {
        hp_import_offence(s->import, "more threads are inside calls than can be followed");
        return;
    }
    if (hp_take_word(&at, "<... ")) {
        if (strstr(at, " resumed>"))
            resume(s, stack, strstr(at, " resumed>"), at, strcspn(at, " "), ns);
        return;
    }
    name = find_name(at, &length);
    known = name && hp_import_function(name, length, &open.function);
    if (!known || stack->depth) {
        stack->depth += unfinished && stack->depth && known;
        if (unfinished && known && stack->depth <= DEPTH)
            stack->open[stack->depth - 1] = open;
        return;
    }
    at = strchr(name, '(') + 1;
    open.call.kind = open.function.kind;
    fault = take_arguments(&open.function, &at, &open.call);
    if (!unfinished) {
        deliver(s, &open, fault ? fault : take_result(at, &open));
        return;
    }
    if (!hp_kind_allocates(open.function.kind))
        deliver(s, &open, fault);
    open.fault = fault;
    stack->open[stack->depth++] = open;
}

static int detect(const unsigned char *bytes, size_t size)
{
    static const char *const marks[] = { "malloc(", "free(", "calloc(", "_Znwm(" };
    char text[4096 + 1] = "";

    memcpy(text, bytes, size < 4096 ? size : 4096);
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        for (const char *at = text; (at = strstr(at, marks[i])); at++) {
            const char *end = at + strcspn(at, "\n"), *equals = strstr(at, "= "), *cut = strstr(at, "<unfinished");
            bool own_line = at == text || at[-1] == '\n' || at[-1] == ' ' || at[-1] == '>';
            if (own_line && (at < text + 2 || at[-2] != '=') && (at < text + 3 || at[-2] != '-' || at[-3] != '-')
                && ((equals && equals < end) || (cut && cut < end)))
                return 1;
        }
    return 0;
}

static uint32_t flags(const unsigned char *bytes, size_t size)
{
    char line[200] = "";
    const char *newline = memchr(bytes, '\n', size), *at = line;
    size_t length = newline ? (size_t)(newline - (const char *)bytes) : size;
    uint64_t thread, ns;
    bool timed;

    memcpy(line, bytes, length < sizeof line - 1 ? length : sizeof line - 1);
    take_prefix(&at, &thread, &ns, &timed);
    return (thread ? HP_HAS_THREADS : 0) | (timed ? HP_HAS_TIME : 0);
}

/* -t prints seconds, all others microseconds. */
static uint64_t time_step(const unsigned char *bytes, size_t size)
{
    const unsigned char *newline = memchr(bytes, '\n', size), *colon = memchr(bytes, ':', newline ? (size_t)(newline - bytes) : size);

    return colon && !memchr(colon, '.', (size_t)(bytes + size - colon < 10 ? bytes + size - colon : 10)) ? 1000000000 : 1000;
}

static void parse(hp_import *import, hp_source *source)
{
    struct state s = { .import = import, .stacks = calloc(STACKS, sizeof *s.stacks) };
    const char *line;

    if (!s.stacks) {
        hp_import_offence(import, "out of memory for the calls of threads");
        return;
    }
    hp_import_assume(import, "functions other than malloc's are not looked at; of calls within each other the outermost counts");
    while (!hp_import_failed(import) && (line = hp_source_line(source))) {
        const char *at = line;
        uint64_t thread, ns = 0;
        bool timed;
        hp_import_at(import, source);
        if (hp_source_lines(source) == 1) {     /* -r prints differences: the first is small, -ttt the time since 1970 */
            take_prefix(&at, &thread, &ns, &timed);
            s.differences = timed && ns < 1000000000 && !strchr(line, ':');
        }
        take_line(&s, line);
    }
    free(s.stacks);
}

const struct hp_importer hp_import_ltrace = { "ltrace", "text of ltrace (with -f, -t, -tt, -ttt, -r, -i, -T)", detect, flags,
                                              parse, time_step };
