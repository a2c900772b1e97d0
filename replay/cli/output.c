/* output.c - see output.h. */
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".partial"

/* Through a link: the file it leads to is replaced, not the link; one that leads nowhere is written through. */
static char *place_of(const char *name)
{
    char *real = realpath(name, NULL);

    return real ? real : strdup(name);
}

static bool is_dangling(const char *name)
{
    struct stat st;

    return lstat(name, &st) == 0 && S_ISLNK(st.st_mode) && stat(name, &st) != 0;
}

/* Where the directory takes no new file, one that is there is written in place. What a command that was killed has left keeps its
 * name, which may be the input of this one. */
static bool create_beside(struct hp_output *o, mode_t mode, bool exists)
{
    size_t size = strlen(o->name) + sizeof SUFFIX + 12;
    int fd = -1;

    o->path = malloc(size);
    if (!o->path)
        return false;
    snprintf(o->path, size, "%s" SUFFIX, o->name);
    for (int n = 1; (fd = open(o->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)) < 0 && errno == EEXIST && n < 1000; n++)
        snprintf(o->path, size, "%s" SUFFIX ".%d", o->name, n);
    if (fd < 0 && exists) {
        free(o->path);
        o->path = o->name;
        o->name = NULL;
        return true;
    }
    return fd >= 0 && close(fd) == 0;
}

/* 0, or why it cannot be written. */
static int begin(struct hp_output *o, const char *name)
{
    struct stat st;
    bool exists = strcmp(name, "-") && stat(name, &st) == 0;

    if (exists && S_ISDIR(st.st_mode))
        return EISDIR;
    if (exists && access(name, W_OK))
        return errno;
    if (!strcmp(name, "-") || (exists && !S_ISREG(st.st_mode)) || is_dangling(name)) {
        o->path = strdup(name);
        return o->path ? 0 : ENOMEM;
    }
    o->name = place_of(name);
    if (o->name && create_beside(o, exists ? st.st_mode & 0777 : 0666, exists))
        return 0;
    return o->name ? errno : ENOMEM;
}

bool hp_output_begin(struct hp_output *o, const char *tool, const char *name)
{
    int error;

    *o = (struct hp_output){ NULL, NULL };
    error = begin(o, name);
    if (!error)
        return true;
    fprintf(stderr, "heaplay %s: %s: cannot be written: %s\n", tool, name, strerror(error));
    free(o->path);
    free(o->name);
    *o = (struct hp_output){ NULL, NULL };
    return false;
}

bool hp_output_end(struct hp_output *o, const char *tool, bool keep)
{
    bool moved = true;

    if (o->name && keep && rename(o->path, o->name)) {
        fprintf(stderr, "heaplay %s: %s: cannot be renamed to %s: %s\n", tool, o->path, o->name, strerror(errno));
        moved = false;
    }
    if (o->name && !keep)
        unlink(o->path);
    free(o->path);
    free(o->name);
    *o = (struct hp_output){ NULL, NULL };
    return moved;
}
