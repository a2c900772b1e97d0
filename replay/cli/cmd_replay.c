/* cmd_replay.c - heaplay replay: compile a trace, run the campaign, print the table, write the document. */
#include "cli/commands.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/arguments.h"
#include "cli/output.h"
#include "cli/plan_room.h"
#include "engine/campaign.h"
#include "result/document.h"
#include "trace/locate.h"

enum { MAX_ALLOCATORS = 64, SAMPLES_UNSAID = 10001 };

static const char usage[] =
    "usage: heaplay replay TRACE.hpt [options]\n"
    "\n"
    "Runs the trace under each allocator, every sample in a process of its own, and compares time and memory.\n"
    "\n"
    "  --alloc NAME           an allocator of `heaplay list`; may be given again\n"
    "  --alloc NAME=PATH      any other library that exports malloc\n"
    "  --alloc NAME=PREFIX:PATH  one whose calls have a prefix (PREFIXmalloc, ...), shared or static (.a, position-independent)\n"
    "  --alloc NAME@VAR=VAL   a variant with environment variables set (,VAR=VAL...; VAL may have commas itself)\n"
    "  --alloc NAME#LABEL     the same allocator once more, to see what the run cannot tell apart\n"
    "  --threads recorded|1   as recorded, ordered where blocks cross threads; or all on one thread\n"
    "  --touch POLICY         none, first, page (default), line:K, all: what is written to a new block;\n"
    "                         recorded: as much of it as was resident when it was freed (record --touch)\n"
    "  --samples N            processes per allocator (default 10; 0: as many as --time allows)\n"
    "  --width PERCENT        as many blocks as 95 % intervals of that reach to either side need, by a pilot of 10;\n"
    "                         still at most --samples (default 200 then) and --time\n"
    "  --time SECONDS         stop after about so long, but not before 3 samples each\n"
    "  --loops N              passes in one process; the first is ns_per_op, the others warm_ns_per_op\n"
    "  --carry                with --loops: a pass's survivors live until the next pass is over\n"
    "  --pace flat|K          the recorded times divided by K instead of flat out; idle:K cuts gaps above 10 ms\n"
    "  --window N             how many operations threads may run ahead (0: no limit; default 8192 per thread)\n"
    "  --drain-waits          also look at memory 0.1, 1 and 5 s after the last free, and after malloc_trim\n"
    "  --verify               check every block first; an allocator that fails is marked, exit status 4\n"
    "  --latency              further runs in which one call in 16 is timed: percentiles and the worst call\n"
    "  --seed N               of order, environment size and stack offset\n"
    "  --timeout SECONDS      per sample (default 300)\n"
    HP_PLAN_ROOM_USAGE
    "  --json FILE            the document of results/SCHEMA.md ('-': stdout)\n"
    "  --progress             on stderr\n";

struct arguments {
    const char          *trace, *json;
    const char          *spec[MAX_ALLOCATORS];
    unsigned             specs;
    struct hp_conditions conditions;
    struct hp_compile_options compile;
};

static const struct option options[] = {
    { "alloc", required_argument, NULL, 'a' }, { "threads", required_argument, NULL, 't' },
    { "touch", required_argument, NULL, 'u' }, { "samples", required_argument, NULL, 'n' },
    { "width", required_argument, NULL, 'W' },
    { "time", required_argument, NULL, 's' },  { "loops", required_argument, NULL, 'l' },
    { "pace", required_argument, NULL, 'p' },  { "window", required_argument, NULL, 'w' },
    { "drain-waits", no_argument, NULL, 'd' }, { "seed", required_argument, NULL, 'r' },
    { "timeout", required_argument, NULL, 'o' }, { "json", required_argument, NULL, 'j' },
    { "latency", no_argument, NULL, 'y' }, { "verify", no_argument, NULL, 'v' },
    { "carry", no_argument, NULL, 'c' },
    { "plan-memory", required_argument, NULL, 'm' }, { "plan-dir", required_argument, NULL, 'D' },
    { "progress", no_argument, NULL, 'g' },    { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
};

static int refuse(const char *option, const char *value, const char *wanted)
{
    fprintf(stderr, "heaplay replay: %s '%s': give %s\n", option, value, wanted);
    return HP_EXIT_USAGE;
}

static int take_pace(struct hp_conditions *o, const char *text)
{
    bool idle = strncmp(text, "idle:", 5) == 0;

    snprintf(o->pace_name, sizeof o->pace_name, "%.40s", text);
    if (strcmp(text, "flat") == 0)
        return HP_EXIT_OK;
    o->idle_limit_ns = idle ? 10000000u : 0;
    return hp_arg_real(text + (idle ? 5 : 0), 1e-3, 1e6, &o->pace) ? HP_EXIT_OK
           : refuse("--pace", text, "flat, K or idle:K with K from 0.001 to 1000000");
}

static int take_option(struct arguments *a, int option, const char *value)
{
    struct hp_conditions *o = &a->conditions;
    uint64_t n = 0;

    switch (option) {
    case 'a':
        if (a->specs == MAX_ALLOCATORS)
            return refuse("--alloc", value, "at most 64 allocators");
        a->spec[a->specs++] = value;
        return HP_EXIT_OK;
    case 't':
        o->serial = strcmp(value, "1") == 0;
        return o->serial || strcmp(value, "recorded") == 0 ? HP_EXIT_OK : refuse("--threads", value, "recorded or 1");
    case 'u':
        snprintf(o->touch_name, sizeof o->touch_name, "%.30s", value);
        return hp_arg_touch(value, &o->touch, &o->touch_lines) ? HP_EXIT_OK
               : refuse("--touch", value, "none, first, page, line:K, all or recorded");
    case 'n':
        if (!hp_arg_whole(value, 0, 10000, &n))
            return refuse("--samples", value, "a number up to 10000");
        o->samples = (unsigned)n;
        return HP_EXIT_OK;
    case 'W':
        if (!hp_arg_real(value, 0.01, 100, &o->width))
            return refuse("--width", value, "percent from 0.01 to 100");
        o->width /= 100;
        return HP_EXIT_OK;
    case 's':
        return hp_arg_real(value, 0.01, 1e6, &o->time_s) ? HP_EXIT_OK : refuse("--time", value, "seconds");
    case 'l':
        if (!hp_arg_whole(value, 1, HP_MAX_LOOPS, &n))
            return refuse("--loops", value, "a number from 1 to 1000");
        o->loops = (uint32_t)n;
        return HP_EXIT_OK;
    case 'p':
        return take_pace(o, value);
    case 'w':
        if (!hp_arg_whole(value, 0, 1u << 30, &n))
            return refuse("--window", value, "a number of operations, 0 for none");
        a->compile.window = (int64_t)(n + 1) / 2;
        return HP_EXIT_OK;
    case 'r':
        return hp_arg_whole(value, 0, UINT64_MAX, &o->seed) ? HP_EXIT_OK : refuse("--seed", value, "a whole number");
    case 'o':
        if (!hp_arg_whole(value, 1, 86400, &n))
            return refuse("--timeout", value, "seconds from 1 to 86400");
        o->timeout_s = (unsigned)n;
        return HP_EXIT_OK;
    case 'm':
        return hp_plan_room_memory(value, &a->compile) ? HP_EXIT_OK : refuse("--plan-memory", value, "64K or more");
    case 'D': a->compile.directory = value; return HP_EXIT_OK;
    case 'c': o->carry = true; return HP_EXIT_OK;
    case 'v': o->verify = true; return HP_EXIT_OK;
    case 'y': o->latency = true; return HP_EXIT_OK;
    case 'd': o->drain_waits = true; return HP_EXIT_OK;
    case 'g': o->progress = true; return HP_EXIT_OK;
    case 'j': a->json = value; return HP_EXIT_OK;
    default:  return HP_EXIT_USAGE;
    }
}

/* -1: go on; otherwise the exit code. */
static int parse(int argc, char **argv, struct arguments *a)
{
    int option, code;

    a->conditions = (struct hp_conditions){ .touch = HP_TOUCH_PAGE, .touch_name = "page", .pace_name = "flat",
                                            .loops = 1, .samples = SAMPLES_UNSAID, .timeout_s = 300,
                                            .seed = (uint64_t)time(NULL) };
    a->compile.window = -1;
    hp_plan_room_default(&a->compile);
    optind = 1;
    while ((option = hp_arg_next(argc, argv, "h", options)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            return HP_EXIT_OK;
        }
        if (option == '?') {
            fputs("heaplay replay: see `heaplay replay --help`\n", stderr);
            return HP_EXIT_USAGE;
        }
        if ((code = take_option(a, option, optarg)) != HP_EXIT_OK)
            return code;
    }
    if (optind + 1 != argc) {
        fputs("heaplay replay: give one trace; see `heaplay replay --help`\n", stderr);
        return HP_EXIT_USAGE;
    }
    if (a->conditions.samples == SAMPLES_UNSAID)
        a->conditions.samples = a->conditions.width > 0 ? 200 : 10;
    if (!a->conditions.samples && a->conditions.time_s <= 0)
        return refuse("--samples", "0", "--time too, or a number of samples");
    a->trace = argv[optind];
    return -1;
}

static int add_allocator(struct hp_campaign *c, const char *spec, bool required)
{
    struct hp_entry *e = &c->entry[c->entries];
    char error[1200];

    if (hp_alloc_find(spec, &e->allocator, error, sizeof error) != 0) {
        hp_alloc_release(&e->allocator);
        memset(e, 0, sizeof *e);
        if (required)
            fprintf(stderr, "heaplay replay: %s\n", error);
        return required ? HP_EXIT_BAD_ALLOCATOR : HP_EXIT_OK;
    }
    for (unsigned i = 0; i < c->entries; i++)
        if (strcmp(c->entry[i].allocator.name, e->allocator.name) == 0) {
            fprintf(stderr, "heaplay replay: allocator '%s' is given twice: tell them apart by %s#LABEL\n", spec, spec);
            hp_alloc_release(&e->allocator);
            return HP_EXIT_USAGE;
        }
    if (e->allocator.backend == HP_BACKEND_NULL)
        c->null_entry = (int)c->entries;
    c->entries++;
    return HP_EXIT_OK;
}

/* The named ones, or all known and installed ones; null always, bump when nobody named any. */
static int choose_allocators(struct hp_campaign *c, const struct arguments *a)
{
    const char *name, *what;
    char path[PATH_MAX];
    bool installed;
    int code = HP_EXIT_OK;

    c->entry = calloc(MAX_ALLOCATORS + 1, sizeof *c->entry);
    c->null_entry = -1;
    if (!c->entry)
        return HP_EXIT_FAILED;
    for (unsigned i = 0; i < a->specs && code == HP_EXIT_OK; i++)
        code = add_allocator(c, a->spec[i], true);
    for (size_t i = 0; a->specs == 0 && hp_alloc_known(i, &name, &what, &installed, path); i++)
        if (installed)
            add_allocator(c, name, false);
    if (code == HP_EXIT_OK && c->null_entry < 0)
        code = add_allocator(c, "null", true);
    return code;
}

static int compile(const struct arguments *a, bool serial, struct hp_compiled *out)
{
    const struct hp_conditions *o = &a->conditions;
    struct hp_compile_options options_of = a->compile;
    char error[1200];

    options_of.serial = serial;
    options_of.pace = o->pace;
    options_of.idle_limit_ns = o->idle_limit_ns;
    options_of.touch_recorded = o->touch == HP_TOUCH_RECORDED;
    int code = hp_compile_file(a->trace, &options_of, out, error, sizeof error);
    if (code != HP_OK)
        fprintf(stderr, "heaplay replay: %s\n", error);
    return hp_plan_room_exit(code);
}

/* A program may reserve what it never touches; a replay that touches all of it ends by the kernel's hand, or something else. */
static bool has_memory(const struct arguments *a, const struct hp_compiled *plan)
{
    int touch = a->conditions.touch;

    return (touch != HP_TOUCH_PAGE && touch != HP_TOUCH_ALL && !a->conditions.verify)
        || hp_plan_room_holds("replay", a->trace, plan->plan->peak_live_bytes,
                              "give --touch none, or --touch recorded with a trace recorded with --touch, and no --verify");
}

/* The slowest timed calls by their number in the trace, so that each can be cut out and replayed alone. */
static void locate_worst(struct hp_campaign *c, const char *trace)
{
    for (unsigned i = 0; i < c->entries; i++) {
        struct hp_entry *e = &c->entry[i];
        uint64_t call, operation;
        uint32_t thread;
        e->worst_operation = -1;
        if (e->latencies == 0)
            continue;
        hp_latency_worst(c, e, &thread, &call);
        if (hp_locate_call(trace, c->conditions.serial, thread, call, &operation))
            e->worst_operation = (int64_t)operation;
    }
}

/* Nobody wants to learn after the last sample that the document has no place. Nothing is left where it will be. */
static bool can_write(const char *path)
{
    struct hp_output out;

    return !path || (hp_output_begin(&out, "replay", path) && hp_output_end(&out, "replay", false));
}

static bool write_document(const json_t *document, const char *path)
{
    struct hp_output out;
    char error[1200];
    bool written;

    if (!hp_output_begin(&out, "replay", path))
        return false;
    written = hp_document_write(document, out.path, error, sizeof error) == 0;
    if (!written)
        fprintf(stderr, "heaplay replay: %s\n", error);
    return hp_output_end(&out, "replay", written) && written;
}

static int report(const struct hp_campaign *c, const struct arguments *a, int argc, char **argv)
{
    char command[4096];
    int code = HP_EXIT_OK;

    hp_document_print(a->json && strcmp(a->json, "-") == 0 ? stderr : stdout, c, a->trace);
    if (a->json) {
        hp_arg_join("heaplay", argc, argv, command, sizeof command);
        json_t *document = hp_document_json(c, a->trace, command);
        if (!write_document(document, a->json))
            code = HP_EXIT_FAILED;
        json_decref(document);
    }
    for (unsigned i = 0; i < c->entries; i++) {
        const struct hp_entry *e = &c->entry[i];
        if (e->violation[0])
            code = HP_EXIT_BAD_ALLOCATOR;
        if (e->status == HP_RUN_OK || e->allocator.backend == HP_BACKEND_BUMP)
            continue;
        fprintf(stderr, "heaplay replay: %s: %s: %s\n", e->allocator.name, hp_run_status_name(e->status),
                e->status_text);
        code = HP_EXIT_BAD_ALLOCATOR;
    }
    return code;
}

int hp_cmd_replay(int argc, char **argv)
{
    struct arguments a = { 0 };
    struct hp_compiled plan = { .fd = -1 }, serial = { .fd = -1 };
    struct hp_campaign c = { .plan = &plan, .serial = &plan };
    char error[256];
    int code = parse(argc, argv, &a);

    if (code >= 0)
        return code;
    if (!can_write(a.json))
        return HP_EXIT_FAILED;
    c.conditions = a.conditions;
    code = choose_allocators(&c, &a);
    if (code == HP_EXIT_OK)
        code = compile(&a, a.conditions.serial, &plan);
    if (code == HP_EXIT_OK && plan.plan->threads > 1) {
        code = compile(&a, true, &serial);
        c.serial = &serial;
    }
    if (code == HP_EXIT_OK && !has_memory(&a, &plan))
        code = HP_EXIT_BAD_INPUT;
    if (code == HP_EXIT_OK && hp_campaign_run(&c, error, sizeof error) != 0) {
        fprintf(stderr, "heaplay replay: %s\n", error);
        code = HP_EXIT_FAILED;
    } else if (code == HP_EXIT_OK) {
        locate_worst(&c, a.trace);
        code = report(&c, &a, argc, argv);
    }
    hp_campaign_release(&c);
    hp_compile_release(&plan);
    hp_compile_release(&serial);
    return code;
}
