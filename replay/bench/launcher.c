/* launcher.c - start one program and say what it cost: a static program of a few pages.
 *
 * scripts/programs.py, scripts/scoreboard.py and scripts/micro.py start programs through it. exec folds the resident
 * size of the process that calls it into the new program's ru_maxrss, so a Python or hyperfine parent would put a floor of
 * several MiB under every figure; this program's own floor is printed by `--floor`. It appends one line of JSON per
 * run to the log and exits as the program did (128 + signal when it was killed, 127 when it could not be started).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char usage_text[] =
    "usage: launcher [-l LOG] [-i STDIN] [-o STDOUT] [-e STDERR] [-C DIR] [-t SECONDS] [-E NAME=VALUE]... -- prog args\n"
    "       launcher --floor     resident KiB that exec from this launcher leaves in ru_maxrss\n"
    "One line of JSON per run is appended to LOG (default: stderr).\n";

static pid_t child;
static volatile sig_atomic_t timed_out;

static void on_alarm(int signal_number)
{
    (void)signal_number;
    timed_out = 1;
    kill(-child, SIGKILL);
}

static void fail(const char *what, const char *value)
{
    fprintf(stderr, "launcher: %s '%s': %s\n", what, value, strerror(errno));
    _exit(127);
}

static void redirect(const char *path, int flags, int fd)
{
    if (!path)
        return;
    int opened = open(path, flags | O_CLOEXEC, 0644);
    if (opened < 0)
        fail("cannot open", path);
    dup2(opened, fd);
}

struct options {
    const char *log, *input, *output, *error, *directory;
    unsigned    timeout_s;
    char      **set;            /* NAME=VALUE, in order */
    int         set_count;
    char      **argv;
};

static long long now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void report(const char *log, int status, long long elapsed_ns, const struct rusage *used)
{
    char line[512];
    int length = snprintf(line, sizeof line,
        "{\"elapsed_ns\": %lld, \"user_us\": %lld, \"system_us\": %lld, \"peak_rss_kib\": %ld, "
        "\"minor_faults\": %ld, \"major_faults\": %ld, \"exit\": %d, \"signal\": %d, \"timeout\": %s}\n",
        elapsed_ns, used->ru_utime.tv_sec * 1000000LL + used->ru_utime.tv_usec,
        used->ru_stime.tv_sec * 1000000LL + used->ru_stime.tv_usec, used->ru_maxrss, used->ru_minflt, used->ru_majflt,
        WIFEXITED(status) ? WEXITSTATUS(status) : -1, WIFSIGNALED(status) ? WTERMSIG(status) : 0,
        timed_out ? "true" : "false");
    int fd = log ? open(log, O_WRONLY | O_CREAT | O_APPEND, 0644) : STDERR_FILENO;
    if (fd < 0)
        fail("cannot open log", log);
    if (write(fd, line, (size_t)length) != length)
        fail("cannot write log", log ? log : "stderr");
}

static void become(const struct options *o)
{
    setpgid(0, 0);
    redirect(o->input, O_RDONLY, STDIN_FILENO);
    redirect(o->output, O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
    if (o->error && o->output && strcmp(o->error, o->output) == 0)
        dup2(STDOUT_FILENO, STDERR_FILENO);
    else
        redirect(o->error, O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
    if (o->directory && chdir(o->directory) != 0)
        fail("cannot enter", o->directory);
    for (int i = 0; i < o->set_count; i++)
        putenv(o->set[i]);
    execvp(o->argv[0], o->argv);
    fail("cannot start", o->argv[0]);
}

static int run(const struct options *o)
{
    int status;
    struct rusage used;
    long long start_ns = now_ns();
    child = fork();
    if (child < 0)
        fail("cannot fork for", o->argv[0]);
    if (child == 0)
        become(o);
    setpgid(child, child);
    if (o->timeout_s) {
        struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
        sigaction(SIGALRM, &action, NULL);
        alarm(o->timeout_s);
    }
    while (wait4(child, &status, 0, &used) < 0)
        if (errno != EINTR)
            fail("cannot wait for", o->argv[0]);
    report(o->log, status, now_ns() - start_ns, &used);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
    char *self[] = { argv[0], (char *)"--nothing", NULL };
    struct options o = { .set = calloc((size_t)argc, sizeof *o.set) };
    if (argc == 2 && strcmp(argv[1], "--nothing") == 0)
        return 0;
    if (argc == 2 && strcmp(argv[1], "--floor") == 0) {
        o.argv = self;
        return run(&o);
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage_text, stdout);
        return 0;
    }
    for (int option; (option = getopt(argc, argv, "+l:i:o:e:C:t:E:")) != -1;) {
        switch (option) {
        case 'l': o.log = optarg; break;
        case 'i': o.input = optarg; break;
        case 'o': o.output = optarg; break;
        case 'e': o.error = optarg; break;
        case 'C': o.directory = optarg; break;
        case 't': o.timeout_s = (unsigned)strtoul(optarg, NULL, 10); break;
        case 'E': o.set[o.set_count++] = optarg; break;
        default: fputs(usage_text, stderr); return 2;
        }
    }
    if (optind == argc) {
        fputs(usage_text, stderr);
        return 2;
    }
    o.argv = argv + optind;
    return run(&o);
}
