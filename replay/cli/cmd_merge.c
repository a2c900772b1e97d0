/* cmd_merge.c - heaplay merge A.hpt B.hpt... -o OUT.hpt: several programs side by side in one process, each with threads and
 * blocks of its own. Ordered by time when all inputs have times, else operation by operation in turn. */
#include "cli/commands.h"
#include "cli/derive.h"

#include <stdio.h>
#include <string.h>

#define INPUTS_MAX 64

struct input {
    hp_reader *reader;
    struct hp_event next;
    uint64_t events;
    int got;
};

static struct input *choose(struct input *inputs, int count, bool timed)
{
    struct input *best = NULL;

    for (int i = 0; i < count; i++)
        if (inputs[i].got == 1 && (!best || (timed ? inputs[i].next.time_ns < best->next.time_ns
                                                   : inputs[i].events < best->events)))
            best = &inputs[i];
    return best;
}

static void advance(struct input *input)
{
    input->got = hp_reader_next(input->reader, &input->next);
    input->events++;
}

static int copy(struct input *inputs, int count, bool timed, struct hp_derive *d)
{
    struct input *from;

    for (int i = 0; i < count; i++)
        advance(&inputs[i]);
    while (!d->failed && (from = choose(inputs, count, timed))) {
        struct hp_event e = from->next;
        uint64_t which = (uint64_t)(from - inputs), n = (uint64_t)count;
        e.id = e.id ? e.id * n + which : 0;
        e.old_id = e.old_id ? e.old_id * n + which : 0;
        e.thread = (uint32_t)(e.thread * n + which);
        e.time_ns = timed ? e.time_ns : 0;
        hp_derive_put_event(d, &e);
        advance(from);
    }
    for (int i = 0; i < count; i++)
        if (inputs[i].got < 0) {
            fprintf(stderr, "heaplay merge: %s\n", hp_reader_error(inputs[i].reader));
            return HP_EXIT_BAD_INPUT;
        }
    return HP_EXIT_OK;
}

static int merge(char **paths, int count, const char *out)
{
    static struct input inputs[INPUTS_MAX];
    struct hp_meta meta = { .flags = ~0u };
    struct hp_derive d;
    char origin[16] = "", nothing[] = "";
    int opened = 0, code = HP_EXIT_BAD_INPUT, closed;

    for (; opened < count && (inputs[opened].reader = hp_derive_read("merge", paths[opened])); opened++) {
        const struct hp_meta *m = hp_reader_meta(inputs[opened].reader);
        meta.flags &= m->flags | HP_HAS_THREADS;
        meta.sample = m->sample > meta.sample ? m->sample : meta.sample;
        meta.time_step_ns = m->time_step_ns > meta.time_step_ns ? m->time_step_ns : meta.time_step_ns;
        if (!strncmp(m->origin, "synthetic", 9))
            snprintf(origin, sizeof origin, "synthetic");
    }
    meta.origin = origin;
    meta.command = meta.host = nothing;
    meta.flags &= HP_HAS_TIME | HP_HAS_THREADS | HP_HAS_RESIDENT;
    meta.flags |= meta.sample ? HP_SAMPLED : 0;
    if (opened == count && hp_derive_begin(&d, "merge", out, &meta)) {
        code = copy(inputs, count, meta.flags & HP_HAS_TIME, &d);
        d.unwanted = code != HP_EXIT_OK;
        closed = hp_derive_end(&d, NULL, 0);
        code = code ? code : closed;
    }
    for (int i = 0; i < opened; i++)
        hp_reader_close(inputs[i].reader);
    return code;
}

static const char usage[] = "usage: heaplay merge A.hpt B.hpt... -o OUT.hpt      (at most 64 inputs)\n"
    "By time when all have times, else in turn. Each input keeps threads and blocks of its own.\n";

int hp_cmd_merge(int argc, char **argv)
{
    char *paths[INPUTS_MAX];
    const char *out = NULL;
    int count = 0;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(usage, stdout);
            return HP_EXIT_OK;
        }
        if (!strcmp(argv[i], "-o") && i + 1 < argc) {
            out = argv[++i];
        } else if (argv[i][0] == '-') {
            return hp_derive_refuse("merge", argv[i], usage);
        } else if (count == INPUTS_MAX) {
            fprintf(stderr, "heaplay merge: %s is one input too many: at most %d; merge some of them first\n", argv[i],
                    INPUTS_MAX);
            return HP_EXIT_USAGE;
        } else {
            paths[count++] = argv[i];
        }
    }
    if (count < 2 || !out) {
        fprintf(stderr, "heaplay merge: %s\n%s", out ? "fewer than two inputs" : "no -o OUT.hpt given", usage);
        return HP_EXIT_USAGE;
    }
    for (int i = 0; i < count; i++)
        if (!hp_derive_is_apart("merge", paths[i], out))
            return HP_EXIT_USAGE;
    return merge(paths, count, out);
}
