/* cmd_fit.c - heaplay fit IN.hpt -o OUT.hpt [--ops N] [--seed N]: a synthetic trace that resembles a real one.
 *
 * The output draws objects (objects.h) from the sample of the phase that it is in, each once before any twice, and lets the
 * calls on them follow after as many operations as they did. So kinds, sizes, lifetimes, realloc chains and threads keep
 * their distributions, their dependence on each other and their change over the trace; the order within a phase is
 * random. Of calls that are due at once, the one that waited for least time is first: it would suffer most from waiting. */
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/derive.h"
#include "cli/objects.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DRAWS 16u                       /* to find an object that still ends within the trace */

struct due {
    uint64_t key;                       /* what its heap is ordered by */
    uint64_t block;                     /* id of the object's block */
    const struct hp_object_call *call;  /* that is due */
    uint32_t left;                      /* the object's calls from this one on */
    bool begun;                         /* a call on it was made already */
};

struct heap {
    struct due *items;
    size_t count, room;
};

struct fit {
    struct hp_objects objects;
    uint32_t drawn[HP_PHASES_MAX];      /* of the phase's objects, in this round */
    struct heap later, ready;           /* ordered by the operation at which they are due; by how long they waited */
    uint64_t operations;                /* wanted */
    uint64_t pending;                   /* calls that objects already begun will still make */
    uint64_t next_block;
    struct hp_derive out;
};

static bool push(struct heap *h, struct due due)
{
    size_t at = h->count;

    if (at == h->room) {
        struct due *wider = realloc(h->items, (at ? at * 2 : 1024) * sizeof *wider);
        if (!wider)
            return false;
        h->items = wider;
        h->room = at ? at * 2 : 1024;
    }
    for (h->count++; at && h->items[(at - 1) / 2].key > due.key; at = (at - 1) / 2)
        h->items[at] = h->items[(at - 1) / 2];
    h->items[at] = due;
    return true;
}

static struct due pop(struct heap *h)
{
    struct due first = h->items[0], last = h->items[--h->count];
    size_t at = 0, child;

    for (; (child = 2 * at + 1) < h->count; at = child) {
        child += child + 1 < h->count && h->items[child + 1].key < h->items[child].key;
        if (h->items[child].key >= last.key)
            break;
        h->items[at] = h->items[child];
    }
    h->items[at] = last;
    return first;
}

/* Short waits stay what they are; those that outlast a phase stretch with the trace. */
static uint64_t stretched(const struct fit *f, uint64_t wait)
{
    const struct hp_objects *o = &f->objects;

    if (f->operations == o->operations || wait < o->operations / o->phase_count)
        return wait;
    return (uint64_t)((double)wait * (double)f->operations / (double)o->operations);
}

/* Writes the object's call and notes when its next one is due. */
static void make_call(struct fit *f, struct due due, uint64_t now)
{
    const struct hp_object_call *call = due.call;
    struct hp_event e = { .kind = call->kind, .thread = call->thread, .size = call->size, .count = call->count,
                          .alignment = call->align_class ? UINT64_C(1) << (call->align_class - 1) : 0,
                          .old_id = due.begun ? due.block : 0 };

    if (call->made)
        due.block = e.id = ++f->next_block;
    hp_derive_put_event(&f->out, &e);
    if (!--due.left)
        return;
    due.call++;
    due.begun = true;
    due.key = now + stretched(f, due.call->wait);
    f->out.failed |= !push(&f->later, due);
}

/* An object of the phase, each once in every round; NULL: none began in it. */
static const struct hp_object *draw_from(struct fit *f, uint32_t phase)
{
    struct hp_phase *p = &f->objects.phases[phase];
    struct hp_object *first, *other, taken;

    if (!p->count)
        return NULL;
    if (f->drawn[phase] == p->count)
        f->drawn[phase] = 0;
    first = &p->objects[f->drawn[phase]];
    other = first + hp_objects_random(&f->objects, p->count - f->drawn[phase]++);
    taken = *other;
    *other = *first;
    *first = taken;
    return first;
}

/* An object for this operation, preferably one whose calls all fit into what is left of the trace. */
static const struct hp_object *draw(struct fit *f, uint64_t now)
{
    uint32_t phase = (uint32_t)((double)now / (double)f->operations * f->objects.phase_count);
    const struct hp_object *object = draw_from(f, phase);

    for (unsigned i = 1; object && i < DRAWS && f->pending + object->count > f->operations - now; i++)
        object = draw_from(f, phase);
    /* The first operation of a trace begins an object, so the search ends. */
    while (!object && !f->later.count)
        object = draw_from(f, --phase);
    return object;
}

static void produce(struct fit *f)
{
    for (uint64_t now = 0; now < f->operations && !f->out.failed; now++) {
        const struct hp_object *object = NULL;
        struct due due = { 0 };
        while (f->later.count && f->later.items[0].key <= now && !f->out.failed) {
            due = pop(&f->later);
            due.key = due.call->wait;
            f->out.failed |= !push(&f->ready, due);
        }
        if (!f->ready.count && f->pending < f->operations - now)
            object = draw(f, now);
        if (object) {
            due = (struct due){ .call = object->calls, .left = object->count };
            f->pending += object->count;
        } else {
            due = pop(f->ready.count ? &f->ready : &f->later);
        }
        f->pending--;
        make_call(f, due, now);
    }
}

static int fit(const char *in, const char *out, uint64_t operations, uint64_t seed)
{
    struct fit *f = calloc(1, sizeof *f);
    char command[200], nothing[] = "", origin[] = "synthetic";
    struct hp_meta meta = { .command = command, .host = nothing, .origin = origin, .flags = HP_HAS_THREADS };
    int code = HP_EXIT_BAD_INPUT;

    if (!f) {
        fputs("heaplay fit: out of memory\n", stderr);
        return code;
    }
    f->objects.random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    if (hp_objects_learn(&f->objects, "fit", in)) {
        f->operations = operations ? operations : f->objects.operations;
        snprintf(command, sizeof command, "heaplay fit --ops %" PRIu64 " --seed %" PRIu64, f->operations, seed);
        if (hp_derive_begin(&f->out, "fit", out, &meta)) {
            produce(f);
            code = hp_derive_end(&f->out, NULL, 0);
        }
    }
    hp_objects_free(&f->objects);
    free(f->later.items);
    free(f->ready.items);
    free(f);
    return code;
}

static const char usage[] = "usage: heaplay fit IN.hpt -o OUT.hpt [--ops N] [--seed N]\n"
    "Writes a synthetic trace with the calls, sizes, lifetimes, realloc chains and threads of IN, phase by phase; as many\n"
    "operations unless --ops says other. IN is a file: it is read twice.\n";

int hp_cmd_fit(int argc, char **argv)
{
    struct hp_derive_files files = { NULL, NULL };
    uint64_t operations = 0, seed = 1;

    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc, good = true;
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(usage, stdout);
            return HP_EXIT_OK;
        }
        if (!strcmp(argv[i], "--ops") && more)
            good = hp_arg_whole(argv[++i], 1, UINT64_MAX, &operations);
        else if (!strcmp(argv[i], "--seed") && more)
            good = hp_arg_whole(argv[++i], 0, UINT64_MAX, &seed);
        else
            good = hp_derive_take_file(&files, argc, argv, &i);
        if (!good)
            return hp_derive_refuse("fit", argv[i], usage);
    }
    if (!hp_derive_has_files(&files, "fit", usage))
        return HP_EXIT_USAGE;
    if (!strcmp(files.in, "-")) {
        fprintf(stderr, "heaplay fit: fit reads its input twice, so it must be a file\n%s", usage);
        return HP_EXIT_USAGE;
    }
    return fit(files.in, files.out, operations, seed);
}
