/* arguments.c - see arguments.h. */
#include "cli/arguments.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/plan.h"

int hp_arg_next(int argc, char **argv, const char *letters, const struct option *options)
{
    char *command = argv[0], title[64];
    int option;

    snprintf(title, sizeof title, "heaplay %s", command);
    argv[0] = title;
    option = getopt_long(argc, argv, letters, options, NULL);
    argv[0] = command;
    return option;
}

bool hp_arg_whole(const char *text, uint64_t low, uint64_t high, uint64_t *out)
{
    char *end;

    if (!isdigit((unsigned char)text[0]))
        return false;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return errno == 0 && *end == 0 && *out >= low && *out <= high;
}

bool hp_arg_bytes(const char *text, uint64_t *out)
{
    static const char units[] = "KMG";
    size_t digits = strspn(text, "0123456789");
    const char *unit = text[digits] ? strchr(units, toupper((unsigned char)text[digits])) : NULL;
    unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
    char number[24];

    if (digits >= sizeof number || (text[digits] && (!unit || text[digits + 1])))
        return false;
    snprintf(number, sizeof number, "%.*s", (int)digits, text);
    if (!hp_arg_whole(number, 1, UINT64_MAX >> shift, out))
        return false;
    *out <<= shift;
    return true;
}

bool hp_arg_real(const char *text, double low, double high, double *out)
{
    char *end;

    errno = 0;
    *out = strtod(text, &end);
    return errno == 0 && end != text && *end == 0 && isfinite(*out) && *out >= low && *out <= high;
}

bool hp_arg_touch(const char *text, int *touch, uint64_t *lines)
{
    static const char *const name[HP_TOUCH_COUNT] = { "none", "first", "page", "line", "all", "recorded" };

    if (strncmp(text, "line:", 5) == 0) {
        *touch = HP_TOUCH_LINE;
        return hp_arg_whole(text + 5, 1, 1u << 30, lines);
    }
    for (int i = 0; i < HP_TOUCH_COUNT; i++)
        if (i != HP_TOUCH_LINE && strcmp(text, name[i]) == 0) {
            *touch = i;
            return true;
        }
    return false;
}

bool hp_arg_same_file(const char *in, const char *out)
{
    struct stat a, b;
    int from = strcmp(in, "-") ? stat(in, &a) : fstat(STDIN_FILENO, &a);

    return strcmp(out, "-") && from == 0 && stat(out, &b) == 0 && S_ISREG(b.st_mode)
        && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

void hp_arg_join(const char *program, int argc, char **argv, char *text, size_t size)
{
    int used = snprintf(text, size, "%s", program);

    for (int i = 0; i < argc && used > 0 && (size_t)used < size; i++)
        used += snprintf(text + used, size - (size_t)used, " %s", argv[i]);
}
