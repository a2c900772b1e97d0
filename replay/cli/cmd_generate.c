/* cmd_generate.c - heaplay generate KIND -o FILE: synthetic traces, the same for the same seed on every machine.
 * Their origin says "synthetic:KIND" and their command how to make them again; they have no times. */
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "trace/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct generator {
    hp_writer *writer;
    uint64_t random, next_id, operations, wanted;
    uint32_t threads;
    bool failed;
};

static uint64_t rnd(struct generator *g, uint64_t below)
{
    g->random ^= g->random << 13;
    g->random ^= g->random >> 7;
    g->random ^= g->random << 17;
    return (g->random >> 11) % below;
}

static bool more(const struct generator *g)
{
    return g->operations < g->wanted && !g->failed;
}

static void put(struct generator *g, const struct hp_event *event)
{
    if (hp_writer_append(g->writer, event))
        g->failed = true;
    g->operations += event->kind < HP_THREAD_START;
}

static uint64_t make(struct generator *g, uint32_t thread, uint64_t size)
{
    struct hp_event event = { .kind = HP_MALLOC, .thread = thread, .size = size, .id = g->next_id };

    if (!more(g))
        return 0;
    put(g, &event);
    return g->next_id++;
}

/* Frees the block in the slot, if there is one, and empties it. */
static void drop(struct generator *g, uint32_t thread, uint64_t *slot)
{
    struct hp_event event = { .kind = HP_FREE, .thread = thread, .old_id = *slot };

    if (*slot && more(g)) {
        put(g, &event);
        *slot = 0;
    }
}

/* Mostly small: one to eight 16-byte steps, each further doubling half as likely, up to 64 KiB. */
static uint64_t mixed_size(struct generator *g)
{
    uint64_t scale = 1;

    while (scale < 512 && rnd(g, 2))
        scale *= 2;
    return scale * (1 + rnd(g, 128));
}

static void run_larson(struct generator *g, uint64_t *slots, size_t count)
{
    size_t per_thread = count / g->threads;

    for (uint64_t round = 0; more(g); round++)
        for (uint32_t thread = 0; thread < g->threads && more(g); thread++) {
            uint64_t *own = slots + per_thread * ((thread + round / 200) % g->threads);
            for (int i = 0; i < 20 && more(g); i++) {
                uint64_t *slot = own + rnd(g, per_thread);
                drop(g, thread, slot);
                *slot = make(g, thread, 10 + rnd(g, 491));
            }
        }
}

static void run_producer(struct generator *g, uint64_t *slots, size_t count)
{
    size_t head = 0, tail = 0;
    uint32_t producers = g->threads > 1 ? g->threads / 2 : 1, consumers = g->threads - producers;

    while (more(g)) {
        size_t batch = 1 + rnd(g, 64);
        uint32_t thread = (uint32_t)rnd(g, producers);
        for (size_t i = 0; i < batch && tail - head < count && more(g); i++)
            slots[tail++ % count] = make(g, thread, 32 + rnd(g, 8) * 16);
        thread = consumers ? producers + (uint32_t)rnd(g, consumers) : 0;
        for (size_t left = rnd(g, 96); left && head < tail && more(g); left--)
            drop(g, thread, &slots[head++ % count]);
    }
}

static void run_phases(struct generator *g, uint64_t *slots, size_t count)
{
    for (uint64_t phase = 0; more(g); phase++) {
        uint64_t base = UINT64_C(16) << phase % 8;
        for (size_t i = 0; i < count && more(g); i++) {
            uint64_t *slot = slots + rnd(g, count);
            drop(g, (uint32_t)(phase % g->threads), slot);
            *slot = make(g, (uint32_t)(phase % g->threads), base + rnd(g, base));
        }
        for (size_t i = 0; i < count && more(g); i++)
            if (rnd(g, 10))
                drop(g, (uint32_t)(phase % g->threads), &slots[i]);
    }
}

static void run_ramp(struct generator *g, uint64_t *slots, size_t count)
{
    while (more(g)) {
        size_t top = g->wanted / 2 < count ? (size_t)(g->wanted / 2) : count;
        for (size_t i = 0; i < top && more(g); i++)
            slots[i] = make(g, (uint32_t)(i % g->threads), mixed_size(g));
        for (size_t i = 0; i < top && more(g); i++)
            drop(g, (uint32_t)(i % g->threads), &slots[i]);
    }
}

static void run_mix(struct generator *g, uint64_t *slots, size_t count)
{
    while (more(g)) {
        /* Slots near the front are hit far more often: most blocks die young, some live long. */
        uint64_t *slot = slots + rnd(g, 1 + rnd(g, 1 + rnd(g, count)));
        uint32_t thread = (uint32_t)rnd(g, g->threads);
        drop(g, thread, slot);
        *slot = make(g, thread, mixed_size(g));
    }
}

static void run_ladder(struct generator *g, uint64_t *slots, size_t count)
{
    for (uint64_t size = 16; more(g); size = size >= 16384 ? 16 : size * 2) {
        size_t step = count / (size / 16) ? count / (size / 16) : 1;
        for (size_t i = 0; i < step && more(g); i++) {
            drop(g, (uint32_t)(i % g->threads), &slots[i]);
            slots[i] = make(g, (uint32_t)(i % g->threads), size + 8 * rnd(g, 2));
        }
        for (size_t i = 0; i < step && more(g); i += 2)
            drop(g, (uint32_t)(i % g->threads), &slots[i]);
    }
}

static const struct kind {
    const char *name;
    void      (*run)(struct generator *g, uint64_t *slots, size_t count);
    size_t      slots;          /* most blocks that are live at once */
    const char *help;
} kinds[] = {
    { "larson",   run_larson,   4096,  "threads replace random blocks, then hand all of them to the next thread" },
    { "producer", run_producer, 16384, "half of the threads allocate, the others free, in order" },
    { "phases",   run_phases,   20000, "phases of ever larger blocks, a tenth of each survives the phase" },
    { "ramp",     run_ramp,     1u << 22, "live bytes grow to a peak, then all is freed in order of allocation" },
    { "mix",      run_mix,      50000, "mixed sizes, most blocks die young" },
    { "ladder",   run_ladder,   32768, "every second block is freed, then blocks of twice the size are wanted" },
};
#define KINDS (sizeof kinds / sizeof *kinds)

static int refuse(const char *what, const char *value)
{
    fprintf(stderr, "heaplay generate: %s '%s'; 'heaplay generate --help' shows what there is\n", what, value);
    return HP_EXIT_USAGE;
}

static void print_usage(void)
{
    puts("usage: heaplay generate KIND -o FILE.hpt [--seed N] [--ops N] [--threads N]\n"
         "Writes a synthetic trace; the same arguments give the same trace.  Defaults: seed 1, 1000000 operations,\n"
         "4 threads for larson and producer, 1 for the others.  KIND is one of");
    for (size_t i = 0; i < KINDS; i++)
        printf("  %-10s %s\n", kinds[i].name, kinds[i].help);
}

static int generate(const struct kind *kind, const char *path, uint64_t seed, uint64_t ops, uint32_t threads)
{
    char command[200], origin[64], error[512];
    struct hp_meta meta = { .command = command, .origin = origin, .flags = HP_HAS_THREADS };
    struct hp_trailer trailer = { .exit_status = -1 };
    struct generator g = { NULL, seed * UINT64_C(0x9e3779b97f4a7c15) | 1, 1, 0, ops, threads, false };
    uint64_t *slots = calloc(kind->slots, sizeof *slots);
    struct hp_output out;
    bool written;

    snprintf(command, sizeof command, "heaplay generate %s --seed %" PRIu64 " --ops %" PRIu64 " --threads %" PRIu32,
             kind->name, seed, ops, threads);
    snprintf(origin, sizeof origin, "synthetic:%s", kind->name);
    snprintf(error, sizeof error, "out of memory for %zu slots", kind->slots);
    if (!hp_output_begin(&out, "generate", path)) {
        free(slots);
        return HP_EXIT_BAD_INPUT;
    }
    g.writer = slots ? hp_writer_open(out.path, &meta, error, sizeof error) : NULL;
    if (!g.writer) {
        fprintf(stderr, "heaplay generate: %s\n", error);
        hp_output_end(&out, "generate", false);
        free(slots);
        return HP_EXIT_BAD_INPUT;
    }
    for (uint32_t t = 0; t < threads; t++)
        put(&g, &(struct hp_event){ .kind = HP_THREAD_START, .thread = t });
    kind->run(&g, slots, kind->slots);
    free(slots);
    snprintf(error, sizeof error, "%s", *hp_writer_error(g.writer) ? hp_writer_error(g.writer) : path);
    hp_writer_count(g.writer, &trailer);
    written = hp_writer_close(g.writer, &trailer) == 0;
    if (!written)
        fprintf(stderr, "heaplay generate: cannot write the trace: %s\n", error);
    written &= hp_output_end(&out, "generate", written);
    return written ? HP_EXIT_OK : HP_EXIT_BAD_INPUT;
}

int hp_cmd_generate(int argc, char **argv)
{
    const struct kind *kind = NULL;
    const char *path = NULL;
    uint64_t numbers[3] = { 1, 1000000, 0 };
    static const char *const options[3] = { "--seed", "--ops", "--threads" };

    for (int i = 1; i < argc; i++) {
        int which = -1;
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            print_usage();
            return HP_EXIT_OK;
        }
        for (int o = 0; o < 3; o++)
            which = strcmp(argv[i], options[o]) ? which : o;
        if ((which >= 0 || !strcmp(argv[i], "-o")) && i + 1 == argc)
            return refuse("nothing follows", argv[i]);
        if (which >= 0) {
            if (!hp_arg_whole(argv[++i], 1, which == 2 ? 1024 : UINT64_MAX, &numbers[which]))
                return refuse(which == 2 ? "not a number from 1 to 1024:" : "not a positive number:", argv[i]);
        } else if (!strcmp(argv[i], "-o")) {
            path = argv[++i];
        } else if (kind) {
            return refuse("unexpected", argv[i]);
        } else {
            for (size_t k = 0; k < KINDS; k++)
                kind = strcmp(kinds[k].name, argv[i]) ? kind : &kinds[k];
            if (!kind)
                return refuse("no such kind of trace:", argv[i]);
        }
    }
    if (!kind || !path)
        return refuse("missing", kind ? "-o FILE.hpt" : "KIND");
    if (numbers[2] == 0)
        numbers[2] = kind->run == run_larson || kind->run == run_producer ? 4 : 1;
    return generate(kind, path, numbers[0], numbers[1], (uint32_t)numbers[2]);
}
