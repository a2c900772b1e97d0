/* environment.c - kernel, processor, memory and the settings that move allocator figures; see environment.h. What the
 * system does not tell is null, not guessed. */
#include "measure/environment.h"

#include <gnu/libc-version.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "measure/cgroup.h"

extern char **environ;

static bool read_text(const char *path, char *text, size_t size)
{
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, size - 1, f) : 0;

    if (f)
        fclose(f);
    text[n] = 0;
    return n > 0;
}

static json_t *first_line(const char *path)
{
    char text[256];

    if (!read_text(path, text, sizeof text))
        return json_null();
    text[strcspn(text, "\n")] = 0;
    return json_string(text);
}

static json_t *processor(void)
{
    char text[8192], *name;

    if (read_text("/proc/cpuinfo", text, sizeof text) && (name = strstr(text, "model name")) &&
        (name = strchr(name, ':'))) {
        name += 2;
        name[strcspn(name, "\n")] = 0;
        return json_string(name);
    }
    struct utsname u;
    uname(&u);
    return json_string(u.machine);
}

/* The setting in brackets: "always [madvise] never". */
static json_t *huge_pages(void)
{
    char text[256], *from, *to;

    if (!read_text("/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof text) || !(from = strchr(text, '[')) ||
        !(to = strchr(from, ']')))
        return json_null();
    *to = 0;
    return json_string(from + 1);
}

static const char groups[] = "/proc/self/cgroup", groups_root[] = "/sys/fs/cgroup";

static json_t *group_memory(void)
{
    int64_t kib = hp_cgroup_memory_kib(groups, groups_root);

    return kib < 0 ? json_null() : json_integer(kib);
}

static json_t *group_cpus(void)
{
    double cpus = hp_cgroup_cpus(groups, groups_root);

    return cpus < 0 ? json_null() : json_real(cpus);
}

/* That this process may run on. */
static json_t *processors(void)
{
    cpu_set_t set;

    return json_integer(sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN));
}

static json_t *number_in(const char *path)
{
    char text[64];

    return read_text(path, text, sizeof text) ? json_integer(atoll(text)) : json_null();
}

/* Variables that change what an allocator or the loader does. */
static json_t *variables(void)
{
    static const char *const prefix[] = { "MALLOC_", "GLIBC_TUNABLES", "LD_", "TCMALLOC_", "MIMALLOC_", "CELLMALLOC_",
                                          "JE_MALLOC_CONF", "_RJEM_", "SCUDO_", "TBB_MALLOC_" };
    json_t *object = json_object();

    for (char **v = environ; *v; v++)
        for (size_t i = 0; i < sizeof prefix / sizeof *prefix; i++)
            if (strncmp(*v, prefix[i], strlen(prefix[i])) == 0 && strchr(*v, '=')) {
                char name[128];
                snprintf(name, sizeof name, "%.*s", (int)strcspn(*v, "="), *v);
                json_object_set_new(object, name, json_string(strchr(*v, '=') + 1));
                break;
            }
    return object;
}

static json_t *git_commit(void)
{
    char line[64] = "";
    FILE *f = popen("git rev-parse HEAD 2>/dev/null", "r");
    bool ok = f && fgets(line, sizeof line, f);

    if (f)
        pclose(f);
    line[strcspn(line, "\n")] = 0;
    return ok && line[0] ? json_string(line) : json_null();
}

json_t *hp_environment_json(void)
{
    struct utsname u;
    char kernel[sizeof u.release + sizeof u.sysname + sizeof u.machine + 3], libc[64];
    json_t *e = json_object();

    uname(&u);
    snprintf(kernel, sizeof kernel, "%s %s %s", u.sysname, u.release, u.machine);
    snprintf(libc, sizeof libc, "glibc %s", gnu_get_libc_version());
    json_object_set_new(e, "kernel", json_string(kernel));
    json_object_set_new(e, "cpu", processor());
    json_object_set_new(e, "cpus", processors());
    json_object_set_new(e, "memory_kib",
                        json_integer(sysconf(_SC_PHYS_PAGES) * (sysconf(_SC_PAGESIZE) / 1024)));
    json_object_set_new(e, "thp", huge_pages());
    json_object_set_new(e, "overcommit", number_in("/proc/sys/vm/overcommit_memory"));
    json_object_set_new(e, "aslr", number_in("/proc/sys/kernel/randomize_va_space"));
    json_object_set_new(e, "governor", first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"));
    json_object_set_new(e, "libc", json_string(libc));
    json_object_set_new(e, "cgroup_memory_kib", group_memory());
    json_object_set_new(e, "cgroup_cpus", group_cpus());
    json_object_set_new(e, "heaplay_version", json_string("0.1.0"));
    json_object_set_new(e, "git_commit", git_commit());
    json_object_set_new(e, "variables", variables());
    return e;
}
