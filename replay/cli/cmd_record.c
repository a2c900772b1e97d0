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
#include <sys/wait.h>
#include <unistd.h>

#include "record/collector.h"

static const char usage[] =
    "usage: heaplay record [-o f.hpt] [--no-children] [--touch] -- program arguments...\n"
    "Runs the program under whatever allocator it uses and writes its malloc traffic to f.hpt (default heaplay.hpt).\n"
    "  -o, --output FILE  the trace; processes that the program forks or executes get FILE.1.hpt, FILE.2.hpt, ...\n"
    "  --no-children      record the program itself only\n"
    "  --touch            note how much of each block is resident when it is freed (slower)\n"
    "Exit status: the program's own (128 + signal); 2 not found, 3 cannot be recorded, 1 the recording failed.\n";

/* Options end at "--" or at the program's name. Returns 0, or 1 + the exit code to end with. */
static int parse(int argc, char **argv, struct hp_record_options *options)
{
    static const struct option longer[] = {
        {"output", required_argument, NULL, 'o'}, {"no-children", no_argument, NULL, 'n'},
        {"touch", no_argument, NULL, 't'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0},
    };
    int option;

    optind = 1;
    while ((option = getopt_long(argc, argv, "+o:h", longer, NULL)) != -1) {
        switch (option) {
        case 'o': options->output = optarg; break;
        case 'n': options->children = false; break;
        case 't': options->touch = true; break;
        case 'h': fputs(usage, stdout); return 1 + HP_EXIT_OK;
        default: fputs(usage, stderr); return 1 + HP_EXIT_USAGE;
        }
    }
    if (optind >= argc) {
        fprintf(stderr, "heaplay record: no program given\n%s", usage);
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

/* Before the program runs: nobody wants to learn after an hour that the trace had no place. */
static int check_output(const char *path, bool *created, char *error, size_t error_size)
{
    int fd;

    *created = access(path, F_OK) != 0;
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
    action.sa_handler = no_op;
    sigaction(SIGCHLD, &action, NULL);
}

static int report(const struct hp_collector *c)
{
    int status = c->exit_status, code;

    hp_lineage_print_children(c);
    if (c->shared->refused)
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

static int record(const struct hp_record_options *options, const char *path, char *error, size_t error_size)
{
    struct hp_collector *c = hp_collector_open(options, error, error_size);
    int code;

    if (!c)
        return HP_EXIT_FAILED;
    catch_signals();
    if (!hp_drain_start(c)) {
        snprintf(error, error_size, "cannot start a thread: %s", strerror(errno));
        hp_collector_close(c);
        return HP_EXIT_FAILED;
    }
    code = hp_launch_start(c, path, error, error_size);
    if (code == HP_EXIT_OK) {
        hp_collector_run(c);
        hp_drain_stop(c);
        code = report(c);
        error[0] = '\0';
    } else {
        hp_drain_stop(c);
    }
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
        code = hp_launch_check(options.argv[0], &path, error, sizeof error);
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
