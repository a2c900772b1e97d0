/* cmd_list.c - heaplay list: the known allocators and where they are on this machine. */
#include "cli/commands.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "allocs/allocs.h"

static json_t *describe(const char *name, const char *what, bool installed)
{
    struct hp_allocator a;
    char error[1200];
    bool usable = installed && hp_alloc_find(name, &a, error, sizeof error) == 0;
    json_t *o = json_pack("{s:s, s:b, s:s}", "name", name, "installed", usable, "description", what);

    json_object_set_new(o, "path", usable && a.file[0] ? json_string(a.file) : json_null());
    json_object_set_new(o, "version", usable && a.version[0] ? json_string(a.version) : json_null());
    json_object_set_new(o, "sha256", usable && a.sha256[0] ? json_string(a.sha256) : json_null());
    if (usable)
        hp_alloc_release(&a);
    return o;
}

static void print(const json_t *o)
{
    const char *path = json_string_value(json_object_get(o, "path"));
    const char *version = json_string_value(json_object_get(o, "version"));
    bool installed = json_is_true(json_object_get(o, "installed"));

    printf("%-12s %-12s %-34s %s\n", json_string_value(json_object_get(o, "name")),
           installed ? "installed" : "not found", version ? version : "-",
           path ? path : json_string_value(json_object_get(o, "description")));
}

struct listing {
    json_t *all;
    bool    as_json;
};

static void keep(struct listing *l, json_t *o)
{
    if (!l->as_json)
        print(o);
    json_array_append_new(l->all, o);
}

/* A library that no row knows: by the name of its file, to be given as NAME=PATH. */
static void keep_other(const char *path, void *context)
{
    char version[128];

    hp_inspect_version(path, version, sizeof version);
    json_t *o = json_pack("{s:s, s:b, s:s, s:s}", "name", "-", "installed", 1, "description",
                          "exports malloc: give NAME=PATH", "path", path);
    json_object_set_new(o, "version", version[0] ? json_string(version) : json_null());
    keep(context, o);
}

int hp_cmd_list(int argc, char **argv)
{
    struct listing l = { .all = json_array() };
    const char *name, *what;
    char path[PATH_MAX];
    bool installed, others = false;

    for (int i = 1; i < argc; i++) {
        bool help = strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
        l.as_json |= strcmp(argv[i], "--json") == 0;
        others |= strcmp(argv[i], "--all") == 0;
        if (strcmp(argv[i], "--json") == 0 || strcmp(argv[i], "--all") == 0)
            continue;
        fputs("usage: heaplay list [--all] [--json]   the allocators known, and which are installed;\n"
              "                                       --all: also every other library here that exports malloc\n",
              help ? stdout : stderr);
        json_decref(l.all);
        return help ? HP_EXIT_OK : HP_EXIT_USAGE;
    }
    for (size_t i = 0; hp_alloc_known(i, &name, &what, &installed, path); i++)
        keep(&l, describe(name, what, installed));
    if (others)
        hp_alloc_others(keep_other, &l);
    if (l.as_json) {
        json_dumpf(l.all, stdout, JSON_INDENT(1));
        putchar('\n');
    }
    json_decref(l.all);
    return HP_EXIT_OK;
}
