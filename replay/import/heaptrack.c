/* heaptrack.c - files of heaptrack, all numbers hexadecimal: raw ones (heaptrack --raw) "+ SIZE TRACE PTR", "- PTR"; those that
 * heaptrack has interpreted "a SIZE TRACE" (numbered from 0), "+ NUMBER", "- NUMBER"; "c MS" in both, every
 * 10 ms: the calls between two such stamps are spread evenly.
 *
 * Interpreted files have no pointers: a free names only a class of equal size and stack. It is taken to free the newest
 * live block of its class; sizes and live bytes are then exact, lifetimes within a class a guess, and the import says so.
 */
#include "import/import.h"

#include <stdlib.h>
#include <string.h>

#define CLASSES_MAX (UINT64_C(1) << 28)
#define WAITING_MAX 65536u          /* calls between two stamps that are spread; more stand at the first stamp */
#define STAMP_NS    UINT64_C(10000000)

struct waiting {
    struct hp_call call;
    uint64_t line, offset;
};

struct class_of_blocks {
    uint64_t size;
    uint64_t newest;            /* number of its newest live block + 1, 0: none is live */
};

struct state {
    hp_import *import;
    const hp_source *source;
    uint64_t time_ns;
    bool interpreted;
    struct class_of_blocks *classes;
    uint64_t *below;            /* of block number: the one before it in its class, or in the list of unused numbers */
    size_t class_count, class_room, block_count, block_room;
    uint64_t unused;            /* number of a block that is free to be used again + 1 */
    struct waiting *waiting;    /* since the stamp time_ns */
    size_t waiting_count;
};

static int detect(const unsigned char *bytes, size_t size)
{
    return size > 4 && bytes[0] == 'v' && bytes[1] == ' ' && memchr(bytes, '\n', size) ? 2 : 0;
}

static uint32_t flags(const unsigned char *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    return HP_HAS_TIME;
}

static uint64_t time_step(const unsigned char *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    return STAMP_NS;
}

/* The calls since the last stamp, now that the next one is known. */
static void spread(struct state *s, uint64_t until_ns)
{
    double gap = until_ns > s->time_ns ? (double)(until_ns - s->time_ns) : 0;

    for (size_t i = 0; i < s->waiting_count; i++) {
        struct waiting *w = &s->waiting[i];
        w->call.time_ns = s->time_ns + (uint64_t)(gap * (double)i / (double)s->waiting_count);
        hp_import_at_line(s->import, w->line, w->offset);
        hp_import_call(s->import, &w->call);
    }
    s->waiting_count = 0;
}

static void hold(struct state *s, const struct hp_call *call)
{
    if (s->waiting_count == WAITING_MAX) {
        hp_import_assume(s->import, "more than 65536 calls in 10 ms: some stand at the stamp before them");
        spread(s, s->time_ns);
    }
    s->waiting[s->waiting_count++] = (struct waiting){ *call, hp_source_lines(s->source), hp_source_offset(s->source) };
}

static bool make_room(void **array, size_t count, size_t *room, size_t size)
{
    void *wider;

    if (count < *room)
        return true;
    wider = realloc(*array, (*room ? *room * 2 : 256) * size);
    if (!wider)
        return false;
    *array = wider;
    *room = *room ? *room * 2 : 256;
    return true;
}

static void add_class(struct state *s, const char *at)
{
    struct class_of_blocks one = { 0 };

    s->interpreted = true;
    hp_import_assume(s->import, "interpreted by heaptrack, which drops pointers: each free takes the newest block of its size and "
                     "stack (LIFO), so lifetimes are guesses; heaptrack --raw keeps them");
    if (!hp_take_number(&at, 16, &one.size))
        hp_import_offence(s->import, "a class of allocations without a size; taken for 0");
    if (s->class_count >= CLASSES_MAX
        || !make_room((void **)&s->classes, s->class_count, &s->class_room, sizeof *s->classes))
        hp_import_offence(s->import, "too many classes of allocations for the memory");
    else
        s->classes[s->class_count++] = one;
}

/* The block's name is its number + 1. */
static void allocate_in(struct state *s, struct class_of_blocks *c)
{
    struct hp_call call = { .kind = HP_MALLOC, .size = c->size };

    if (s->unused) {
        call.made = s->unused;
        s->unused = s->below[call.made - 1];
    } else if (make_room((void **)&s->below, s->block_count, &s->block_room, sizeof *s->below)) {
        call.made = ++s->block_count;
    } else {
        hp_import_offence(s->import, "out of memory for the live blocks");
        return;
    }
    s->below[call.made - 1] = c->newest;
    c->newest = call.made;
    hold(s, &call);
}

static void free_in(struct state *s, struct class_of_blocks *c)
{
    struct hp_call call = { .kind = HP_FREE, .old = c->newest };

    if (!c->newest) {
        call.old = UINT64_MAX;                  /* known to nobody: counted as a free of an unknown block */
    } else {
        c->newest = s->below[call.old - 1];
        s->below[call.old - 1] = s->unused;
        s->unused = call.old;
    }
    hold(s, &call);
}

static void take_interpreted(struct state *s, const char *line)
{
    const char *at = line + 1;
    uint64_t which;

    if (!hp_take_number(&at, 16, &which) || which >= s->class_count)
        hp_import_offence(s->import, "an allocation or free of a class that was not named before");
    else if (*line == '+')
        allocate_in(s, &s->classes[which]);
    else
        free_in(s, &s->classes[which]);
}

static void take_raw(struct state *s, const char *line)
{
    struct hp_call call = { .kind = *line == '+' ? HP_MALLOC : HP_FREE };
    const char *at = line + 1;
    uint64_t site;

    if (*line == '-' && !hp_take_number(&at, 16, &call.old))
        hp_import_offence(s->import, "a free without a pointer");
    else if (*line == '+' && !(hp_take_number(&at, 16, &call.size) && hp_take_number(&at, 16, &site)
                               && hp_take_number(&at, 16, &call.made)))
        hp_import_offence(s->import, "an allocation without size, site and pointer");
    else
        hold(s, &call);
}

static void take_stamp(struct state *s, uint64_t ns)
{
    spread(s, ns);
    s->time_ns = ns;
}

static void parse(hp_import *import, hp_source *source)
{
    struct state s = { .import = import, .source = source, .waiting = malloc(WAITING_MAX * sizeof *s.waiting) };
    const char *line;

    if (!s.waiting) {
        hp_import_offence(import, "out of memory for the calls between two stamps");
        return;
    }
    hp_import_assume(import, "all calls are malloc and free of one thread; times are right to 10 ms, calls in between spread evenly");
    while (!hp_import_failed(import) && (line = hp_source_line(source))) {
        const char *at = line + 1;
        uint64_t ms;
        hp_import_at(import, source);
        if (*line && *line != '#' && line[1] && line[1] != ' ')
            hp_import_offence(import, "the line does not begin with a letter and a space");
        else if (*line == 'c' && hp_take_number(&at, 16, &ms) && ms < UINT64_C(1) << 40)
            take_stamp(&s, ms * 1000000);
        else if (*line == 'a')
            add_class(&s, at);
        else if ((*line == '+' || *line == '-') && s.interpreted)
            take_interpreted(&s, line);
        else if (*line == '+' || *line == '-')
            take_raw(&s, line);
    }
    spread(&s, s.time_ns);
    free(s.waiting);
    free(s.classes);
    free(s.below);
}

const struct hp_importer hp_import_heaptrack = { "heaptrack", "files of heaptrack: raw (--raw), or interpreted with LIFO frees",
                                                 detect, flags, parse, time_step };
