/* heaptrack.c - files of heaptrack, all numbers hexadecimal: raw ones (heaptrack --raw) "+ SIZE TRACE PTR", "- PTR"; those that
 * heaptrack has interpreted "a SIZE TRACE" (numbered from 0), "+ NUMBER", "- NUMBER"; "c MS" in both.
 *
 * Interpreted files have no pointers: a free names only a class of equal size and stack. It is taken to free the newest
 * live block of its class; sizes and live bytes are then exact, lifetimes within a class a guess, and the import says so.
 */
#include "import/import.h"

#include <stdlib.h>
#include <string.h>

#define CLASSES_MAX (UINT64_C(1) << 28)

struct class_of_blocks {
    uint64_t size;
    uint64_t newest;            /* number of its newest live block + 1, 0: none is live */
};

struct state {
    hp_import *import;
    uint64_t time_ns;
    bool interpreted;
    struct class_of_blocks *classes;
    uint64_t *below;            /* of block number: the one before it in its class, or in the list of unused numbers */
    size_t class_count, class_room, block_count, block_room;
    uint64_t unused;            /* number of a block that is free to be used again + 1 */
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
    struct hp_call call = { .kind = HP_MALLOC, .time_ns = s->time_ns, .size = c->size };

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
    hp_import_call(s->import, &call);
}

static void free_in(struct state *s, struct class_of_blocks *c)
{
    struct hp_call call = { .kind = HP_FREE, .time_ns = s->time_ns, .old = c->newest };

    if (!c->newest) {
        call.old = UINT64_MAX;                  /* known to nobody: counted as a free of an unknown block */
    } else {
        c->newest = s->below[call.old - 1];
        s->below[call.old - 1] = s->unused;
        s->unused = call.old;
    }
    hp_import_call(s->import, &call);
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
    struct hp_call call = { .kind = *line == '+' ? HP_MALLOC : HP_FREE, .time_ns = s->time_ns };
    const char *at = line + 1;
    uint64_t site;

    if (*line == '-' && !hp_take_number(&at, 16, &call.old))
        hp_import_offence(s->import, "a free without a pointer");
    else if (*line == '+' && !(hp_take_number(&at, 16, &call.size) && hp_take_number(&at, 16, &site)
                               && hp_take_number(&at, 16, &call.made)))
        hp_import_offence(s->import, "an allocation without size, site and pointer");
    else
        hp_import_call(s->import, &call);
}

static void parse(hp_import *import, hp_source *source)
{
    struct state s = { .import = import };
    const char *line;

    hp_import_assume(import, "all calls are malloc and free of one thread; times are right to 10 ms");
    while (!hp_import_failed(import) && (line = hp_source_line(source))) {
        const char *at = line + 1;
        uint64_t ms;
        hp_import_at(import, source);
        if (*line && *line != '#' && line[1] && line[1] != ' ')
            hp_import_offence(import, "the line does not begin with a letter and a space");
        else if (*line == 'c' && hp_take_number(&at, 16, &ms) && ms < UINT64_C(1) << 40)
            s.time_ns = ms * 1000000;
        else if (*line == 'a')
            add_class(&s, at);
        else if ((*line == '+' || *line == '-') && s.interpreted)
            take_interpreted(&s, line);
        else if (*line == '+' || *line == '-')
            take_raw(&s, line);
    }
    free(s.classes);
    free(s.below);
}

const struct hp_importer hp_import_heaptrack = { "heaptrack", "files of heaptrack: raw (--raw), or interpreted with LIFO frees",
                                                 detect, flags, parse };
