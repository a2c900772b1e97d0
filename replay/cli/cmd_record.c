/* cmd_record.c - heaplay record: arguments, checks before the start, signals, exit status. The work is in record/.
 *
 * Exit status: the program's own, 128 + signal when it was killed. Before the program runs: 2 for usage, a program that
 * is not found or an output that cannot be written, 3 for a program that cannot be recorded. 1 when the program
 * succeeded but its recording did not.
 */
#include "cli/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/arguments.h"
#include "record/collector.h"
#include "trace/trace.h"

static const char usage[] =
    "usage: heaplay record [-o f.hpt] [options] -- program arguments...\n"
    "       heaplay record [-o f.hpt] [options] --pid PID\n"
    "Runs the program under whatever allocator it uses and writes its malloc traffic to f.hpt (default heaplay.hpt).\n"
    "  --pid PID          record a program that runs already, until it ends, an interrupt (Ctrl-C), SIGUSR2 or a limit; then it\n"
    "                     runs on without the recorder. Blocks from before are unknown: their frees are counted, not written\n"
    "  -o, --output FILE  the trace; processes that the program forks or executes get FILE.1.hpt, FILE.2.hpt, ...\n"
    "  --no-children      record the program itself only\n"
    "  --touch            note how much of each block is resident when it is freed (slower)\n"
    "  --sample 1/N       one object of N, drawn at random, from the call that makes it to its free\n"
    "  --sites DEPTH      note which code asked for blocks, at most DEPTH (1 to 32) frames of each call; info --sites shows it (slower)\n"
    "  --wait             record nothing before heaplay gets SIGUSR1; frees of older blocks are counted and left out\n"
    "  --time-limit SECONDS, --size-limit BYTES[K|M|G]\n"
    "                     end the recording then, as SIGUSR2 to heaplay does; the program runs on. What it has called by then is\n"
    "                     written still: where heaplay lags behind the program, a trace can be larger than its limit\n"
    "Exit status: the program's own (128 + signal), 0 with --pid; 2 not found, 3 cannot be recorded, 1 the recording failed.\n";

static bool parse_sample(const char *text, uint32_t *every)
{
    uint64_t n;

    if (strncmp(text, "1/", 2) != 0 || !hp_arg_whole(text + 2, 2, 1000000, &n))
        return false;
    *every = (uint32_t)n;
    return true;
}

static int refuse(const char *option, const char *value, const char *wanted)
{
    fprintf(stderr, "heaplay record: %s %s: not %s\n%s", option, value, wanted, usage);
    return HP_EXIT_USAGE;
}

/* Options end at "--" or at the program's name. Returns 0, or 1 + the exit code to end with. */
static int parse(int argc, char **argv, struct hp_record_options *options)
{
    static const struct option longer[] = {
        {"output", required_argument, NULL, 'o'}, {"no-children", no_argument, NULL, 'n'},
        {"touch", no_argument, NULL, 't'}, {"sample", required_argument, NULL, 's'}, {"wait", no_argument, NULL, 'w'},
        {"time-limit", required_argument, NULL, 'T'}, {"size-limit", required_argument, NULL, 'S'},
        {"pid", required_argument, NULL, 'p'}, {"sites", required_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0},
    };
    uint64_t pid, depth;
    int option;

    optind = 1;
    while ((option = hp_arg_next(argc, argv, "+o:h", longer)) != -1) {
        switch (option) {
        case 'o': options->output = optarg; break;
        case 'n': options->children = false; break;
        case 't': options->touch = true; break;
        case 'w': options->wait = true; break;
        case 's':
            if (!parse_sample(optarg, &options->sample))
                return 1 + refuse("--sample", optarg, "1/N with N from 2 to 1000000, like 1/64");
            break;
        case 'T':
            if (!hp_arg_real(optarg, 0.001, 1e9, &options->time_limit))
                return 1 + refuse("--time-limit", optarg, "seconds, more than 0");
            break;
        case 'S':
            if (!hp_arg_bytes(optarg, &options->size_limit))
                return 1 + refuse("--size-limit", optarg, "bytes, more than 0, perhaps with K, M or G");
            break;
        case 'd':
            if (!hp_arg_whole(optarg, 1, HP_SITE_DEPTH, &depth))
                return 1 + refuse("--sites", optarg, "a number of frames from 1 to 32");
            options->sites = (uint32_t)depth;
            break;
        case 'p':
            if (!hp_arg_whole(optarg, 1, INT32_MAX, &pid))
                return 1 + refuse("--pid", optarg, "the number of a process");
            options->pid = (pid_t)pid;
            break;
        case 'h': fputs(usage, stdout); return 1 + HP_EXIT_OK;
        default: fputs(usage, stderr); return 1 + HP_EXIT_USAGE;
        }
    }
    if ((optind >= argc) == !options->pid) {
        fprintf(stderr, "heaplay record: %s\n%s", options->pid ? "a program to start and --pid exclude each other"
                : "no program given", usage);
        return 1 + HP_EXIT_USAGE;
    }
    if (strcmp(options->output, "-") == 0) {
        fputs("heaplay record: the trace cannot go to stdout, which is the program's; give -o FILE\n", stderr);
        return 1 + HP_EXIT_USAGE;
    }
    options->argv = argv + optind;
    return 0;
}

static int find_library(char *path, size_t size, char *error, size_t error_size)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    if (n < 0) {
        snprintf(error, error_size, "/proc/self/exe: %s; is /proc mounted?", strerror(errno));
        return HP_EXIT_BAD_INPUT;
    }
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    snprintf(path, size, "%s/libheaplay-record.so", self);
    return hp_launch_library(path, error, error_size);
}

/* A trace may be recorded again; other people's files are not ours to overwrite. */
static bool is_foreign(const char *path)
{
    struct stat st;
    char error[512];
    int code = 0;

    if (stat(path, &st) || !S_ISREG(st.st_mode) || st.st_size == 0)
        return false;
    hp_reader_close(hp_reader_open(path, &code, error, sizeof error));
    return code == HP_E_NOT_A_TRACE;
}

/* Before the program runs: nobody wants to learn after an hour that the trace had no place. */
static int check_output(const char *path, bool *created, char *error, size_t error_size)
{
    int fd;

    *created = access(path, F_OK) != 0;
    if (is_foreign(path)) {
        snprintf(error, error_size, "%s: is there already and not a .hpt trace: it would be lost; give another file with -o",
                 path);
        return HP_EXIT_USAGE;
    }
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        snprintf(error, error_size, "%s: cannot be written: %s; give another file with -o", path, strerror(errno));
        return HP_EXIT_USAGE;
    }
    close(fd);
    return HP_EXIT_OK;
}

static void no_op(int number)
{
    (void)number;
}

/* Handlers, not SIG_IGN: those are reset in the program that is executed. */
static void catch_signals(void)
{
    static const int stops[] = {SIGINT, SIGQUIT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = hp_collector_stop_on_signal};
    struct sigaction old;

    for (size_t i = 0; i < sizeof stops / sizeof *stops; i++)
        if (sigaction(stops[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(stops[i], &action, NULL);
    action.sa_handler = hp_collector_control_by_signal;
    sigaction(SIGUSR1, &action, NULL);
    sigaction(SIGUSR2, &action, NULL);
    action.sa_handler = no_op;
    sigaction(SIGCHLD, &action, NULL);
}

static int report(const struct hp_collector *c)
{
    int status = c->options->pid ? 0 : c->exit_status, code;

    hp_lineage_print_children(c);
    if (c->shared->refused && !c->stopped)
        fprintf(stderr, "heaplay: %llu processes could not be recorded (another pid namespace, or too many at once)\n",
                (unsigned long long)c->shared->refused);
    if (c->shared->lost_no_ring)
        fprintf(stderr, "heaplay: %llu events of threads beyond %u were lost\n",
                (unsigned long long)c->shared->lost_no_ring, HP_RING_COUNT);
    if (c->processes_seen == 0)
        fputs("heaplay: nothing was recorded: the program never loaded the recorder (did it clear LD_PRELOAD?)\n", stderr);
    else if (c->own_malloc)
        fputs("heaplay: the program brings a malloc of its own: calls to that one are not recorded\n", stderr);
    code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    if (code == 0 && (c->failed || c->processes_seen == 0 || c->lost || c->shared->lost_no_ring))
        code = HP_EXIT_FAILED;
    return code;
}

/* Starts the program, or the recorder in the one that runs. */
static int start(struct hp_collector *c, struct hp_inject *inject, const char *path, char *error, size_t error_size)
{
    if (!inject)
        return hp_launch_start(c, path, error, error_size);
    c->inject = inject;
    if (!hp_inject_begin(inject))
        return HP_EXIT_BAD_INPUT;
    error[0] = '\0';
    fprintf(stderr, "heaplay: process %d is recorded; interrupt (Ctrl-C) to stop\n", (int)c->options->pid);
    return HP_EXIT_OK;
}

static int record(const struct hp_record_options *options, const char *path, char *error, size_t error_size)
{
    struct hp_inject *inject = NULL;
    struct hp_collector *c;
    int code = HP_EXIT_FAILED, memory = -1;

    if (options->pid && !(inject = hp_inject_open(options->pid, options->library, &memory, error, error_size)))
        return HP_EXIT_BAD_INPUT;
    c = hp_collector_open(options, memory, error, error_size);
    if (!c) {
        hp_inject_close(inject);
        return HP_EXIT_FAILED;
    }
    catch_signals();
    if (hp_drain_start(c)) {
        code = start(c, inject, path, error, error_size);
        if (code == HP_EXIT_OK)
            hp_collector_run(c);
        hp_drain_stop(c);
    } else {
        snprintf(error, error_size, "cannot start a thread: %s", strerror(errno));
    }
    if (code == HP_EXIT_OK) {
        code = report(c);
        error[0] = '\0';
    }
    hp_inject_close(c->inject);
    hp_collector_close(c);
    return code;
}

int hp_cmd_record(int argc, char **argv)
{
    struct hp_record_options options = {.output = "heaplay.hpt", .children = true};
    char library[PATH_MAX + 32], error[1024] = "", *path = NULL;
    bool created = false;
    int code = parse(argc, argv, &options);

    if (code)
        return code - 1;
    options.library = library;
    code = find_library(library, sizeof library, error, sizeof error);
    if (!code)
        code = options.pid ? hp_inject_check(options.pid, library, error, sizeof error)
                           : hp_launch_check(options.argv[0], &path, error, sizeof error);
    if (!code)
        code = check_output(options.output, &created, error, sizeof error);
    if (!code) {
        code = record(&options, path, error, sizeof error);
        if (error[0] && created)
            unlink(options.output);
    }
    if (error[0])
        fprintf(stderr, "heaplay record: %s\n", error);
    free(path);
    return code;
}
