/* cgroup.c - limits of memory and processor time, see cgroup.h. */
#include "measure/cgroup.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool read_text(const char *directory, const char *file, char *text, size_t size)
{
    char path[PATH_MAX];

    if (snprintf(path, sizeof path, "%s/%s", directory, file) >= (int)sizeof path)
        return false;
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, size - 1, f) : 0;
    if (f)
        fclose(f);
    text[n] = 0;
    return n > 0;
}

/* Limits of one directory; below 0: none. Version 1 writes "no limit" as the largest number of whole pages. */
static double memory_in(const char *directory)
{
    char text[64];

    if (!read_text(directory, "memory.max", text, sizeof text) &&
        !read_text(directory, "memory.limit_in_bytes", text, sizeof text))
        return -1;
    double bytes = strncmp(text, "max", 3) == 0 ? -1 : atof(text);
    return bytes < 0x1p62 ? bytes / 1024 : -1;
}

static double cpus_in(const char *directory)
{
    char text[64], period[64];
    double quota, per;

    if (read_text(directory, "cpu.max", text, sizeof text))
        return sscanf(text, "%lf %lf", &quota, &per) == 2 && per > 0 ? quota / per : -1;
    if (!read_text(directory, "cpu.cfs_quota_us", text, sizeof text) ||
        !read_text(directory, "cpu.cfs_period_us", period, sizeof period) || atof(period) <= 0)
        return -1;
    return atof(text) / atof(period);
}

/* From mount/path up to mount: the least of what `limit_in` says. */
static double least_above(const char *mount, const char *path, double (*limit_in)(const char *), double least)
{
    char directory[PATH_MAX];

    if (snprintf(directory, sizeof directory, "%s%s", mount, path) >= (int)sizeof directory)
        return least;
    for (;;) {
        double one = limit_in(directory);
        if (one >= 0 && (least < 0 || one < least))
            least = one;
        char *slash = strrchr(directory + strlen(mount), '/');
        if (!slash)
            return least;
        *slash = 0;
    }
}

static bool names(char *list, const char *controller)
{
    char *rest = NULL;

    for (char *one = strtok_r(list, ",", &rest); one; one = strtok_r(NULL, ",", &rest))
        if (strcmp(one, controller) == 0)
            return true;
    return false;
}

/* Lines are "number:controllers:path"; version 2 names no controllers and lies at the root, or beside version 1's. */
static double least_limit(const char *groups, const char *root, const char *controller, double (*limit_in)(const char *))
{
    char line[PATH_MAX], mount[2 * PATH_MAX];
    double least = -1;
    FILE *f = fopen(groups, "r");

    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
        if (!path)
            continue;
        *list++ = *path++ = 0;
        bool unified = list[0] == 0;
        if (unified)
            least = least_above(root, path, limit_in, least);
        snprintf(mount, sizeof mount, "%s/%s", root, unified ? "unified" : list);
        if (unified || names(list, controller))
            least = least_above(mount, path, limit_in, least);
    }
    if (f)
        fclose(f);
    return least;
}

int64_t hp_cgroup_memory_kib(const char *groups, const char *root)
{
    return (int64_t)least_limit(groups, root, "memory", memory_in);
}

double hp_cgroup_cpus(const char *groups, const char *root)
{
    return least_limit(groups, root, "cpu", cpus_in);
}
