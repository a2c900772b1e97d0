/* main.c - the program heaplay: a table of subcommands, each in cli/cmd_NAME.c, and the way to find one. */
#include "cli/commands.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define HP_VERSION "0.1.0"

static const struct command {
    const char *name;
    int       (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    { "record",   hp_cmd_record,   "run a program and write its malloc traffic to a trace" },
    { "replay",   hp_cmd_replay,   "run a trace under one or more allocators and measure them" },
    { "verify",   hp_cmd_verify,   "run a trace under an allocator and check every block it returns" },
    { "list",     hp_cmd_list,     "list the allocators found on this machine" },
    { "info",     hp_cmd_info,     "describe a trace: operations, sizes, lifetimes, threads, live bytes" },
    { "check",    hp_cmd_check,    "check a trace from first to last byte" },
    { "cat",      hp_cmd_cat,      "print a trace as text, one event a line" },
    { "generate", hp_cmd_generate, "make a synthetic trace" },
    { "import",   hp_cmd_import,   "turn a trace of another tool into a .hpt trace" },
    { "export",   hp_cmd_export,   "turn a .hpt trace into another tool's format" },
    { "slice",    hp_cmd_slice,     "cut a part out of a trace: operations, times or a thread" },
    { "head",     hp_cmd_slice,     "the first operations of a trace, as a trace" },
    { "tail",     hp_cmd_slice,     "the last operations of a trace, as a trace" },
    { "merge",    hp_cmd_merge,     "make one trace of several, side by side" },
    { "anonymize", hp_cmd_anonymize, "drop command line and host, and blur sizes if wanted" },
    { "diff",     hp_cmd_diff,      "say where two traces differ" },
    { "fit",      hp_cmd_fit,       "make a synthetic trace with a trace's sizes, lifetimes and threads" },
    { "bench",    hp_cmd_script,   "replay the bundled traces under every allocator and write a report" },
    { "report",   hp_cmd_script,   "draw the report of a run again" },
    { "compare",  hp_cmd_script,   "compare two runs" },
    { "advise",   hp_cmd_script,   "say which allocator suits a trace" },
};
#define COMMAND_COUNT (sizeof commands / sizeof *commands)

static void print_help(FILE *out)
{
    fputs("heaplay records the malloc traffic of programs and replays it under any allocator\n\n"
          "usage: heaplay COMMAND [ARGUMENTS]      heaplay COMMAND --help      heaplay --version\n\n", out);
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].help);
    fputs("\nexit codes: 0 ok, 1 a check or comparison failed, 2 usage, 3 bad input file, 4 bad allocator\n", out);
}

/* Edit distance of two short words; longer ones count as far apart. */
static unsigned distance(const char *a, const char *b)
{
    enum { MAX = 32 };
    unsigned row[MAX + 1];
    size_t na = strlen(a), nb = strlen(b);

    if (na > MAX || nb > MAX)
        return MAX;
    for (size_t j = 0; j <= nb; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= na; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[nb];
}

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    return NULL;
}

static int refuse(const char *name)
{
    const struct command *nearest = &commands[0];

    for (size_t i = 1; i < COMMAND_COUNT; i++)
        if (distance(name, commands[i].name) < distance(name, nearest->name))
            nearest = &commands[i];
    fprintf(stderr, "heaplay: no command '%s'; the nearest is '%s', 'heaplay help' lists all\n", name, nearest->name);
    return HP_EXIT_USAGE;
}

/* What no command looks at: whether all that it printed arrived. Where it ended for its input, a trace that goes to
 * standard output among it, it has said why. */
static int finish(const char *name, int code)
{
    bool lost = ferror(stdout);

    errno = 0;
    if ((fflush(stdout) == 0 && !lost) || code == HP_EXIT_BAD_INPUT)
        return code;
    fprintf(stderr, "heaplay %s: cannot write to standard output%s%s\n", name, errno ? ": " : "",
            errno ? strerror(errno) : "");
    return code == HP_EXIT_OK ? HP_EXIT_FAILED : code;
}

static int run(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    const struct command *command = find(name);

    if (argc < 2 || !strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h")) {
        print_help(stdout);
        return HP_EXIT_OK;
    }
    if (!strcmp(name, "--version")) {
        puts("heaplay " HP_VERSION);
        return HP_EXIT_OK;
    }
    if (!command)
        return refuse(name);
    return command->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
    return finish(argc > 1 ? argv[1] : "help", run(argc, argv));
}
