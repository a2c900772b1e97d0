/* cmd_verify.c - heaplay verify: one run of a trace in which every block is checked. Stops at the first violation. */
#include "cli/commands.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/plan_room.h"
#include "engine/run.h"
#include "trace/compile.h"

static const char usage[] =
    "usage: heaplay verify TRACE.hpt --alloc NAME|NAME=PATH [--alloc ...] [--timeout SECONDS]\n"
    "\n"
    "Runs the trace in recorded order on one thread and checks what each call returns: alignment, usable size (and that\n"
    "all of it can be written), no overlap with a live block, zeroed calloc, content kept by realloc and until free,\n"
    "errno kept by free. Exit status 4 and one line for the first violation.\n"
    "\n"
    HP_PLAN_ROOM_USAGE;

struct arguments {
    const char *trace;
    const char *spec[64];
    unsigned    specs, timeout_s;
    struct hp_compile_options compile;
};

/* -1: go on; otherwise the exit code. */
static int parse(int argc, char **argv, struct arguments *a)
{
    static const struct option options[] = {
        { "alloc", required_argument, NULL, 'a' }, { "timeout", required_argument, NULL, 'o' },
        { "plan-memory", required_argument, NULL, 'm' }, { "plan-dir", required_argument, NULL, 'D' },
        { "help", no_argument, NULL, 'h' }, { NULL, 0, NULL, 0 },
    };
    uint64_t n;
    int option;

    a->timeout_s = 600;
    a->compile.serial = 1;
    hp_plan_room_default(&a->compile);
    optind = 1;
    while ((option = hp_arg_next(argc, argv, "h", options)) != -1) {
        if (option == 'h') {
            fputs(usage, stdout);
            return HP_EXIT_OK;
        }
        if (option == 'a' && a->specs < 64) {
            a->spec[a->specs++] = optarg;
        } else if (option == 'o' && hp_arg_whole(optarg, 1, 86400, &n)) {
            a->timeout_s = (unsigned)n;
        } else if (option == 'D') {
            a->compile.directory = optarg;
        } else if (option == 'm' && hp_plan_room_memory(optarg, &a->compile)) {
            continue;
        } else {
            fputs("heaplay verify: see `heaplay verify --help`\n", stderr);
            return HP_EXIT_USAGE;
        }
    }
    if (optind + 1 != argc || a->specs == 0) {
        fputs("heaplay verify: give one trace and --alloc NAME; see `heaplay verify --help`\n", stderr);
        return HP_EXIT_USAGE;
    }
    a->trace = argv[optind];
    return -1;
}

static int verify_one(struct hp_run *run, const char *spec, uint64_t operations)
{
    struct hp_allocator allocator;
    char error[1200];

    if (hp_alloc_find(spec, &allocator, error, sizeof error) != 0) {
        fprintf(stderr, "heaplay verify: %s\n", error);
        hp_alloc_release(&allocator);
        return HP_EXIT_BAD_ALLOCATOR;
    }
    if (allocator.backend == HP_BACKEND_NULL) {
        fputs("heaplay verify: null hands out no memory, there is nothing to verify: give another allocator\n", stderr);
        return HP_EXIT_BAD_ALLOCATOR;
    }
    run->allocator = &allocator;
    run->heard_count = 0;
    run->job->mode = HP_MODE_VERIFY;
    run->job->loops = 1;
    enum hp_run_status status = hp_run_worker(run);
    if (status == HP_RUN_OK)
        printf("%s: %llu operations, no violation\n", allocator.name, (unsigned long long)operations);
    else
        fprintf(stderr, "heaplay verify: %s: %s: %s\n", allocator.name, hp_run_status_name(status), run->text);
    hp_alloc_release(&allocator);
    return status == HP_RUN_OK ? HP_EXIT_OK : HP_EXIT_BAD_ALLOCATOR;
}

int hp_cmd_verify(int argc, char **argv)
{
    struct arguments a = { 0 };
    struct hp_compiled plan;
    struct hp_run run = { .job_fd = -1, .seed = 1 };
    char error[1200];
    int code = parse(argc, argv, &a), worst = HP_EXIT_OK;

    if (code >= 0)
        return code;
    if ((code = hp_compile_file(a.trace, &a.compile, &plan, error, sizeof error)) != HP_OK) {
        fprintf(stderr, "heaplay verify: %s\n", error);
        return hp_plan_room_exit(code);
    }
    if (plan.cut_off)
        fprintf(stderr, "heaplay verify: %s was cut off; what was there is verified\n", a.trace);
    if (plan.sample)
        fprintf(stderr, "heaplay verify: %s holds one object of %u, drawn at random; the others are not verified\n", a.trace,
                plan.sample);
    if (!hp_plan_room_holds("verify", a.trace, plan.plan->peak_live_bytes,
                            "verify writes to every byte: take a part of the trace (heaplay slice)")) {
        hp_compile_release(&plan);
        return HP_EXIT_BAD_INPUT;
    }
    run.plan_fd = plan.fd;
    run.timeout_s = a.timeout_s;
    if (hp_run_init(&run, error, sizeof error) != 0) {
        fprintf(stderr, "heaplay verify: %s\n", error);
        worst = HP_EXIT_FAILED;
    }
    for (unsigned i = 0; run.job && i < a.specs; i++)
        if ((code = verify_one(&run, a.spec[i], plan.plan->calls)) != HP_EXIT_OK)
            worst = code;
    hp_run_release(&run);
    hp_compile_release(&plan);
    return worst;
}
