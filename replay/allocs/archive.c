/* archive.c - makes a library that can be loaded of a static one, with the system's compiler; see allocs.h. The result has no
 * name: it is reached through this process's open file and ends with it. */
#include "allocs/allocs.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

bool hp_archive_is(const char *path)
{
    char head[8] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool yes = fd >= 0 && read(fd, head, 8) == 8 && memcmp(head, "!<arch>\n", 8) == 0;

    if (fd >= 0)
        close(fd);
    return yes;
}

/* The compiler's exit status, -1 when it could not be started; what it says goes to said_fd. */
static int link_all(const char *archive, const char *to, int said_fd)
{
    const char *argv[] = { "cc", "-shared", "-o", to, "-Wl,--whole-archive", archive, "-Wl,--no-whole-archive",
                           "-lpthread", NULL };
    posix_spawn_file_actions_t actions;
    int status = -1;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, said_fd, 1);
    posix_spawn_file_actions_adddup2(&actions, said_fd, 2);
    if (posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)argv, environ) == 0 && waitpid(pid, &status, 0) == pid)
        status = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    posix_spawn_file_actions_destroy(&actions);
    return status;
}

int hp_archive_load(const char *archive, char path[PATH_MAX], char *error, size_t error_size)
{
    const char *directory = getenv("TMPDIR");
    char library[PATH_MAX], said_path[] = "/tmp/heaplay-link-XXXXXX", said[512] = "";
    int said_fd = mkostemp(said_path, O_CLOEXEC), fd, status;

    snprintf(library, sizeof library, "%s/heaplay-XXXXXX", directory && directory[0] ? directory : "/tmp");
    fd = mkostemp(library, O_CLOEXEC);
    if (said_fd < 0 || fd < 0) {
        snprintf(error, error_size, "%s: no room to link it in (%s): %s", archive, library, strerror(errno));
        return -1;
    }
    close(fd);
    unlink(said_path);
    status = link_all(archive, library, said_fd);
    fd = status == 0 ? open(library, O_RDONLY | O_CLOEXEC) : -1;
    unlink(library);
    ssize_t n = pread(said_fd, said, sizeof said - 1, 0);
    said[n > 0 ? n : 0] = 0;
    said[strcspn(said, "\n")] = 0;
    close(said_fd);
    if (fd < 0)
        snprintf(error, error_size, status < 0 ? "%s: linking it needs a C compiler (cc), which is not there%s"
                 : "%s: cannot be linked to a library that can be loaded: compile it with -fPIC (%.300s)", archive, said);
    else
        snprintf(path, PATH_MAX, "/proc/%d/fd/%d", (int)getpid(), fd);
    return fd;
}
