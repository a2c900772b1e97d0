/* cmd_fit.c - heaplay fit IN.hpt -o OUT.hpt [--ops N] [--seed N]: a synthetic trace that resembles a real one.
 *
 * A sample of the input's blocks is kept: size, lifetime in operations, thread that made and that freed it. The output draws
 * blocks from it at random, so that sizes, lifetimes and threads keep their distributions and their dependence on each
 * other; order, phases and kinds other than malloc and free are lost. Its origin says "synthetic:fit". */
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/derive.h"
#include "trace/live.h"
#include "trace/validate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLE 65536u

struct block {
    uint64_t size, lifetime;            /* lifetime UINT64_MAX: never freed */
    uint32_t maker, freer;
};

struct due {
    uint64_t operation, id;
    uint32_t thread;
};

struct fit {
    struct block *sample;
    uint64_t seen, operations, random;
    struct due *due;                    /* binary heap, the next to be freed first */
    size_t due_count, due_room;
};

static uint64_t rnd(struct fit *f, uint64_t below)
{
    f->random ^= f->random << 13;
    f->random ^= f->random >> 7;
    f->random ^= f->random << 17;
    return (f->random >> 11) % below;
}

static void keep(struct fit *f, const struct hp_live_block *b, uint64_t lifetime, uint32_t freer)
{
    uint64_t at = f->seen < SAMPLE ? f->seen : rnd(f, f->seen + 1);

    f->seen++;
    if (at < SAMPLE)
        f->sample[at] = (struct block){ b->size, lifetime, b->thread, freer };
}

/* 1: read to its end, 0: out of memory, negative: the reader's error. */
static int learn(struct fit *f, hp_reader *reader)
{
    struct hp_live live;
    struct hp_event e;
    int got = 0;
    bool good = hp_live_init(&live) == 0;

    while (good && (got = hp_reader_next(reader, &e)) == 1) {
        struct hp_live_block *old = hp_event_consumes(&e) ? hp_live_find(&live, e.old_id) : NULL;
        struct hp_live_block made = { e.id, hp_event_bytes(&e), f->operations, e.thread, 0 };
        if (old) {
            keep(f, old, f->operations - old->born, e.thread);
            hp_live_remove(&live, old);
        }
        f->operations += (old != NULL) + (e.id != 0);
        good = !e.id || hp_live_add(&live, &made) == 0;
    }
    for (size_t i = 0; good && i < live.room; i++)
        if (live.slots[i].id)
            keep(f, &live.slots[i], UINT64_MAX, live.slots[i].thread);
    hp_live_free(&live);
    return !good ? 0 : got < 0 ? got : 1;
}

static bool push(struct fit *f, struct due due)
{
    size_t at = f->due_count;

    if (at == f->due_room) {
        struct due *wider = realloc(f->due, (at ? at * 2 : 1024) * sizeof *wider);
        if (!wider)
            return false;
        f->due = wider;
        f->due_room = at ? at * 2 : 1024;
    }
    for (f->due_count++; at && f->due[(at - 1) / 2].operation > due.operation; at = (at - 1) / 2)
        f->due[at] = f->due[(at - 1) / 2];
    f->due[at] = due;
    return true;
}

static struct due pop(struct fit *f)
{
    struct due first = f->due[0], last = f->due[--f->due_count];
    size_t at = 0, child;

    for (; (child = 2 * at + 1) < f->due_count; at = child) {
        child += child + 1 < f->due_count && f->due[child + 1].operation < f->due[child].operation;
        if (f->due[child].operation >= last.operation)
            break;
        f->due[at] = f->due[child];
    }
    f->due[at] = last;
    return first;
}

static void produce(struct fit *f, struct hp_derive *d, uint64_t operations)
{
    uint64_t sampled = f->seen < SAMPLE ? f->seen : SAMPLE, id = 0;

    for (uint64_t n = 0; n < operations && !d->failed; n++) {
        const struct block *b;
        if (f->due_count && f->due[0].operation <= n) {
            struct due due = pop(f);
            hp_derive_put_event(d, &(struct hp_event){ .kind = HP_FREE, .thread = due.thread, .old_id = due.id });
            continue;
        }
        b = &f->sample[rnd(f, sampled)];
        hp_derive_put_event(d, &(struct hp_event){ .kind = HP_MALLOC, .thread = b->maker, .id = ++id, .size = b->size });
        if (b->lifetime != UINT64_MAX)
            d->failed |= !push(f, (struct due){ n + b->lifetime, id, b->freer });
    }
}

static int fit(const char *in, const char *out, uint64_t operations, uint64_t seed)
{
    struct fit f = { .sample = calloc(SAMPLE, sizeof *f.sample), .random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1 };
    hp_reader *reader = f.sample ? hp_derive_read("fit", in) : NULL;
    int got = reader ? learn(&f, reader) : -1, code = HP_EXIT_BAD_INPUT;
    char command[200], nothing[] = "", origin[] = "synthetic";
    struct hp_meta meta = { .command = command, .host = nothing, .origin = origin, .flags = HP_HAS_THREADS };
    struct hp_derive d;

    operations = operations ? operations : f.operations;
    snprintf(command, sizeof command, "heaplay fit --ops %" PRIu64 " --seed %" PRIu64, operations, seed);
    if (reader && got != 1)
        fprintf(stderr, "heaplay fit: %s\n", got ? hp_reader_error(reader) : "out of memory");
    else if (reader && !f.seen)
        fprintf(stderr, "heaplay fit: %s holds no block to learn from\n", in);
    else if (reader && hp_derive_begin(&d, "fit", out, &meta)) {
        produce(&f, &d, operations);
        code = hp_derive_end(&d, NULL, 0);
    }
    if (reader)
        hp_reader_close(reader);
    free(f.sample);
    free(f.due);
    return code;
}

static const char usage[] = "usage: heaplay fit IN.hpt -o OUT.hpt [--ops N] [--seed N]\n"
    "Writes a synthetic trace with the sizes, lifetimes and threads of IN; as many operations unless --ops says other.\n";

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
    return fit(files.in, files.out, operations, seed);
}
