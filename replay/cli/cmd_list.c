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

    json_object_set_new(o, "path", usable && a.path[0] ? json_string(a.path) : json_null());
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

int hp_cmd_list(int argc, char **argv)
{
    bool as_json = argc == 2 && strcmp(argv[1], "--json") == 0;
    const char *name, *what;
    char path[PATH_MAX];
    bool installed;
    json_t *all = json_array();

    if (argc > 1 && !as_json) {
        bool help = strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0;
        fputs("usage: heaplay list [--json]      the allocators known, and which are installed\n", help ? stdout : stderr);
        return help ? HP_EXIT_OK : HP_EXIT_USAGE;
    }
    for (size_t i = 0; hp_alloc_known(i, &name, &what, &installed, path); i++) {
        json_t *o = describe(name, what, installed);
        if (!as_json)
            print(o);
        json_array_append_new(all, o);
    }
    if (as_json) {
        json_dumpf(all, stdout, JSON_INDENT(1));
        putchar('\n');
    }
    json_decref(all);
    return HP_EXIT_OK;
}
