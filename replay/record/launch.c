/* launch.c - is this a program that can be recorded? Starts it with the recorder preloaded. Called by cmd_record.c.
 *
 * What LD_PRELOAD cannot reach is refused with the reason: static and 32-bit programs, other processors' programs, those
 * that gain privileges, those of another C library, and scripts run by any of these.
 */
#include "record/collector.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cli/commands.h"

enum { MAX_INTERPRETERS = 4, LINE_BYTES = 512 };

static int refuse(const char *path, const char *why, const char *what_to_do, char *error, size_t error_size)
{
    snprintf(error, error_size, "%s cannot be recorded because %s; %s", path, why, what_to_do);
    return HP_EXIT_BAD_INPUT;
}

/* As execvp searches. */
static char *find_program(const char *name)
{
    const char *path = getenv("PATH");
    struct stat st;

    if (strchr(name, '/'))
        return access(name, F_OK) == 0 ? strdup(name) : NULL;
    for (path = path ? path : "/usr/local/bin:/usr/bin:/bin"; ; path++) {
        size_t length = strcspn(path, ":");
        char *full = NULL;

        if (asprintf(&full, "%.*s%s%s", (int)length, path, length ? "/" : "./", name) < 0)
            return NULL;
        if (access(full, X_OK) == 0 && stat(full, &st) == 0 && S_ISREG(st.st_mode))
            return full;
        free(full);
        path += length;
        if (!*path)
            return NULL;
    }
}

static bool gains_privileges(const char *path, const struct stat *st)
{
    if ((st->st_mode & S_ISUID) && st->st_uid != getuid())
        return true;
    if ((st->st_mode & S_ISGID) && (st->st_mode & S_IXGRP) && st->st_gid != getgid())
        return true;
    return geteuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0;
}

static int check_segments(int fd, const Elf64_Ehdr *header, const char *path, char *error, size_t error_size)
{
    char interpreter[LINE_BYTES] = "";
    Elf64_Phdr segment;

    for (unsigned i = 0; i < header->e_phnum; i++) {
        if (pread(fd, &segment, sizeof segment, (off_t)(header->e_phoff + i * sizeof segment)) != sizeof segment)
            return refuse(path, "its program headers are cut off", "install it again", error, error_size);
        if (segment.p_type == PT_INTERP) {
            size_t size = segment.p_filesz < sizeof interpreter - 1 ? segment.p_filesz : sizeof interpreter - 1;

            if (pread(fd, interpreter, size, (off_t)segment.p_offset) < 0)
                interpreter[0] = '\0';
        }
    }
    if (!interpreter[0])
        return refuse(path, "it is statically linked", "link it dynamically: a library can be loaded into those only",
                      error, error_size);
    if (strstr(interpreter, "ld-musl"))
        return refuse(path, "it runs on musl, not on glibc", "build heaplay for that C library", error, error_size);
    return HP_EXIT_OK;
}

static int check_elf(int fd, const Elf64_Ehdr *header, const char *path, char *error, size_t error_size)
{
    Elf64_Ehdr own = {0};
    int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    if (self >= 0) {
        (void)!read(self, &own, sizeof own);
        close(self);
    }
    if (header->e_ident[EI_CLASS] != ELFCLASS64)
        return refuse(path, "it is a 32-bit program", "use its 64-bit build", error, error_size);
    if (own.e_machine && header->e_machine != own.e_machine)
        return refuse(path, "it is made for another processor", "record it on a machine of its kind", error, error_size);
    return check_segments(fd, header, path, error, error_size);
}

/* The file of a running program; `name` is what messages call it. */
int hp_launch_check_image(const char *path, const char *name, char *error, size_t error_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC), result = HP_EXIT_OK;
    Elf64_Ehdr header;

    if (fd >= 0 && read(fd, &header, sizeof header) == (ssize_t)sizeof header)
        result = check_elf(fd, &header, name, error, error_size);
    if (fd >= 0)
        close(fd);
    return result;
}

static int check_file(const char *path, int depth, char *error, size_t error_size);

static int check_script(const char *line, const char *path, int depth, char *error, size_t error_size)
{
    char reason[900], interpreter[LINE_BYTES];
    int result;

    line += 2 + strspn(line + 2, " \t");
    snprintf(interpreter, sizeof interpreter, "%.*s", (int)strcspn(line, " \t\r\n"), line);
    if (access(interpreter, X_OK) != 0) {
        snprintf(error, error_size, "%s: its interpreter %s cannot be run: %s", path, interpreter, strerror(errno));
        return HP_EXIT_USAGE;
    }
    result = check_file(interpreter, depth + 1, reason, sizeof reason);
    if (result)
        snprintf(error, error_size, "%s is a script, and its interpreter %s", path, reason);
    return result;
}

static int check_file(const char *path, int depth, char *error, size_t error_size)
{
    union {
        Elf64_Ehdr elf;
        char text[LINE_BYTES];
    } head;
    struct stat st;
    ssize_t n;
    int fd = -1, result = HP_EXIT_OK;

    if (stat(path, &st) != 0 || access(path, X_OK) != 0 || !S_ISREG(st.st_mode)) {
        snprintf(error, error_size, "%s: cannot be run: %s", path, S_ISDIR(st.st_mode) ? strerror(EISDIR) : strerror(errno));
        return HP_EXIT_USAGE;
    }
    if (gains_privileges(path, &st))
        return refuse(path, "it is setuid, setgid or has capabilities, and the loader ignores LD_PRELOAD for those",
                      "record it as the user that it runs as", error, error_size);
    memset(&head, 0, sizeof head);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return HP_EXIT_OK;              /* it may be executed but not read: the kernel decides */
    n = read(fd, head.text, sizeof head.text - 1);
    if (n >= (ssize_t)sizeof head.elf && memcmp(head.text, ELFMAG, SELFMAG) == 0)
        result = check_elf(fd, &head.elf, path, error, error_size);
    else if (n > 2 && head.text[0] == '#' && head.text[1] == '!' && depth < MAX_INTERPRETERS)
        result = check_script(head.text, path, depth, error, error_size);
    close(fd);
    return result;
}

int hp_launch_check(const char *program, char **path, char *error, size_t error_size)
{
    *path = find_program(program);
    if (!*path) {
        snprintf(error, error_size, "%s: program not found; give its path, or check PATH", program);
        return HP_EXIT_USAGE;
    }
    return check_file(*path, 0, error, error_size);
}

int hp_launch_library(const char *library, char *error, size_t error_size)
{
    if (access(library, R_OK) != 0) {
        snprintf(error, error_size, "%s: %s; it belongs beside the program heaplay (make build)", library,
                 strerror(errno));
        return HP_EXIT_BAD_INPUT;
    }
    if (strpbrk(library, ": \t\n")) {
        snprintf(error, error_size, "%s: LD_PRELOAD cannot hold a path with a space or a colon; move heaplay", library);
        return HP_EXIT_BAD_INPUT;
    }
    return HP_EXIT_OK;
}

/* High, where programs do not expect one, yet below the limit; without FD_CLOEXEC. */
static int inheritable(int fd)
{
    struct rlimit limit;
    int high = 900, copy;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 1000)
        high = limit.rlim_cur > 64 ? (int)limit.rlim_cur - 32 : 3;
    copy = fcntl(fd, F_DUPFD, high);
    return copy >= 0 ? copy : dup(fd);
}

static int set_environment(struct hp_collector *c)
{
    const char *held = getenv("LD_PRELOAD");
    char *preload = NULL, *shared = NULL;
    struct stat st;
    int copy = inheritable(c->fd);

    if (copy < 0 || fstat(copy, &st) != 0 ||
        asprintf(&preload, "%s%s%s", c->options->library, held && *held ? ":" : "", held ? held : "") < 0 ||
        asprintf(&shared, "%d:%lu:/proc/%u/fd/%d", copy, (unsigned long)st.st_ino, c->shared->collector_pid, c->fd) < 0)
        return -1;
    return setenv("LD_PRELOAD", preload, 1) || setenv(HP_SHARED_ENV, shared, 1);
}

static _Noreturn void run_program(struct hp_collector *c, const char *path, int report)
{
    char *const *argv = c->options->argv;
    int failure;

    if (set_environment(c) == 0)
        execv(path, argv);
    if (errno == ENOEXEC) {             /* a script without #!, as the shell would run it */
        size_t count = 0;
        char **shell;

        while (argv[count])
            count++;
        shell = calloc(count + 2, sizeof *shell);
        if (shell) {
            shell[0] = (char *)(uintptr_t)"sh";
            shell[1] = (char *)(uintptr_t)path;
            memcpy(shell + 2, argv + 1, count * sizeof *shell);
            execv("/bin/sh", shell);
        }
    }
    failure = errno;
    (void)!write(report, &failure, sizeof failure);
    _exit(127);
}

int hp_launch_start(struct hp_collector *c, const char *path, char *error, size_t error_size)
{
    int report[2], failure = 0;
    pid_t child;

    fflush(NULL);
    if (pipe2(report, O_CLOEXEC) != 0 || (child = fork()) < 0) {
        snprintf(error, error_size, "cannot start %s: %s", path, strerror(errno));
        return HP_EXIT_FAILED;
    }
    if (child == 0)
        run_program(c, path, report[1]);
    close(report[1]);
    if (read(report[0], &failure, sizeof failure) == (ssize_t)sizeof failure) {
        waitpid(child, NULL, 0);
        close(report[0]);
        snprintf(error, error_size, "%s: cannot be run: %s", path, strerror(failure));
        return HP_EXIT_USAGE;
    }
    close(report[0]);
    c->child = c->program = child;
    return HP_EXIT_OK;
}
