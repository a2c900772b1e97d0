/* table.c - the known allocators, one row each, and how an --alloc argument is understood; see allocs.h. */
#include "allocs/allocs.h"

#include <dlfcn.h>
#include <glob.h>
#include <gnu/libc-version.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "allocs/backend.h"

/* To add an allocator, add a row. Files are tried in order: "@/x" lies beside the heaplay executable. */
static const struct row {
    const char *name, *what;
    int         backend;
    const char *file[4];
} rows[] = {
    { "cellmalloc", "this project's allocator", HP_BACKEND_LIBRARY, { "@/libcellmalloc.so" } },
    { "glibc",      "the C library's own malloc", HP_BACKEND_LIBRARY, { NULL } },
    { "jemalloc",   "Debian: libjemalloc2", HP_BACKEND_LIBRARY, { "libjemalloc.so.2", "libjemalloc.so" } },
    { "mimalloc",   "Debian: libmimalloc2.0", HP_BACKEND_LIBRARY,
      { "libmimalloc.so.3", "libmimalloc.so.2", "libmimalloc.so.2.*", "libmimalloc.so" } },
    { "tcmalloc",   "Debian: libtcmalloc-minimal4", HP_BACKEND_LIBRARY,
      { "libtcmalloc_minimal.so.4", "libtcmalloc.so.4", "libtcmalloc_minimal.so" } },
    { "tbbmalloc",  "Debian: libtbbmalloc2", HP_BACKEND_LIBRARY, { "libtbbmalloc_proxy.so.2", "libtbbmalloc_proxy.so" } },
    { "snmalloc",   "from its own build", HP_BACKEND_LIBRARY, { "libsnmallocshim.so" } },
    { "rpmalloc",   "from its own build", HP_BACKEND_LIBRARY, { "librpmallocwrap.so", "librpmalloc.so" } },
    { "hoard",      "from its own build", HP_BACKEND_LIBRARY, { "libhoard.so" } },
    { "scudo",      "from LLVM's runtime", HP_BACKEND_LIBRARY, { "libscudo.so", "libclang_rt.scudo_standalone-*.so" } },
    { "hardened",   "hardened_malloc, from its own build", HP_BACKEND_LIBRARY, { "libhardened_malloc.so" } },
    { "null",       "built in: no allocator, the harness alone", HP_BACKEND_NULL, { NULL } },
    { "bump",       "built in: moves a pointer, never frees", HP_BACKEND_BUMP, { NULL } },
};
#define ROWS (sizeof rows / sizeof *rows)

static const char *const directories[] = {
    "/usr/local/lib", "/usr/lib/*-linux-*", "/lib/*-linux-*", "/usr/lib64", "/lib64", "/usr/lib", "/lib",
};

static bool beside_executable(const char *file, char path[PATH_MAX])
{
    char self[PATH_MAX], joined[PATH_MAX * 2];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

    if (n <= 0)
        return false;
    self[n] = 0;
    *strrchr(self, '/') = 0;
    snprintf(joined, sizeof joined, "%s/%s", self, file);
    return realpath(joined, path) != NULL;
}

static bool in_directories(const char *file, char path[PATH_MAX])
{
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) {
        char pattern[PATH_MAX];
        glob_t found;
        snprintf(pattern, sizeof pattern, "%s/%s", directories[i], file);
        bool ok = glob(pattern, 0, NULL, &found) == 0 && realpath(found.gl_pathv[0], path);
        globfree(&found);
        if (ok)
            return true;
    }
    return false;
}

static bool locate(const struct row *r, char path[PATH_MAX])
{
    path[0] = 0;
    if (r->backend != HP_BACKEND_LIBRARY || !r->file[0])
        return true;
    for (size_t i = 0; i < 4 && r->file[i]; i++)
        if (strncmp(r->file[i], "@/", 2) == 0 ? beside_executable(r->file[i] + 2, path)
                                              : in_directories(r->file[i], path))
            return true;
    return false;
}

bool hp_alloc_known(size_t index, const char **name, const char **what, bool *installed, char path[PATH_MAX])
{
    if (index >= ROWS)
        return false;
    *name = rows[index].name;
    *what = rows[index].what;
    *installed = locate(&rows[index], path);
    return true;
}

/* The rows' libraries, the C library, the loader. */
static bool is_known(const char *path)
{
    const char *base = strrchr(path, '/') + 1;
    char known[PATH_MAX];

    for (size_t i = 0; i < ROWS; i++)
        if (locate(&rows[i], known) && strcmp(known, path) == 0)
            return true;
    return strncmp(base, "libc.so", 7) == 0 || strncmp(base, "libc-", 5) == 0 || strncmp(base, "ld-", 3) == 0;
}

static void scan(const char *directory, void (*each)(const char *path, void *context), void *context)
{
    char pattern[PATH_MAX], path[PATH_MAX];
    struct stat st;
    glob_t found;

    snprintf(pattern, sizeof pattern, "%s/*.so*", directory);
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)     /* a link names a library that is met under its own name */
            if (lstat(found.gl_pathv[i], &st) == 0 && S_ISREG(st.st_mode) && realpath(found.gl_pathv[i], path) &&
                hp_inspect_is_allocator(path) && !is_known(path))
                each(path, context);
    globfree(&found);
}

void hp_alloc_others(void (*each)(const char *path, void *context), void *context)
{
    const char *named = getenv("LD_LIBRARY_PATH");
    char list[4096], *save = NULL;
    struct stat st;

    snprintf(list, sizeof list, "%s", named ? named : "");
    for (char *d = strtok_r(list, ":", &save); d; d = strtok_r(NULL, ":", &save))
        scan(d, each, context);
    for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
        if (strncmp(directories[i], "/lib", 4) != 0 || (lstat("/lib", &st) == 0 && !S_ISLNK(st.st_mode)))
            scan(directories[i], each, context);
}

static int unknown(const char *name, char *error, size_t size)
{
    int used = snprintf(error, size, "unknown allocator '%s': known are", name);

    for (size_t i = 0; i < ROWS && used > 0 && (size_t)used < size; i++)
        used += snprintf(error + used, size - (size_t)used, "%s %s", i ? "," : "", rows[i].name);
    if (used > 0 && (size_t)used < size)
        snprintf(error + used, size - (size_t)used, "; for another one give NAME=/path/to/lib.so");
    return -1;
}

static int find_named(const char *name, struct hp_allocator *out, char *error, size_t size)
{
    for (size_t i = 0; i < ROWS; i++) {
        if (strcmp(rows[i].name, name) != 0)
            continue;
        out->backend = rows[i].backend;
        if (locate(&rows[i], out->path))
            return 0;
        snprintf(error, size, "allocator %s is not installed: %s not found (%s); give %s=/path/to/lib.so", name,
                 rows[i].file[0][0] == '@' ? rows[i].file[0] + 2 : rows[i].file[0], rows[i].what, name);
        return -1;
    }
    return unknown(name, error, size);
}

/* Splits at the next comma that begins a variable: one within a value (MALLOC_CONF=narenas:1,tcache:false) belongs to it. */
static char *next_variable(char *list)
{
    for (char *comma = strchr(list, ','); comma; comma = strchr(comma + 1, ',')) {
        if (comma[1 + strcspn(comma + 1, ",=")] == '=') {
            *comma = 0;
            return comma + 1;
        }
    }
    return NULL;
}

static int set_variables(struct hp_allocator *out, char *list, char *error, size_t size)
{
    for (char *v = list, *next; v; v = next) {
        next = next_variable(v);
        if (v[0] == '=' || !strchr(v, '=') || out->variables == HP_ALLOC_VARIABLES) {
            snprintf(error, size, "%s: '%s' is not VAR=VALUE, or one of more than %d", out->name, v,
                     HP_ALLOC_VARIABLES);
            return -1;
        }
        out->variable[out->variables++] = strdup(v);
    }
    return 0;
}

/* "cell_:/path": a prefix that could begin a name in C, then a colon. Splits text; the path that is left. */
static char *take_prefix(char *text, char prefix[64])
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");

    prefix[0] = 0;
    if (n == 0 || n > 63 || text[n] != ':' || (text[0] >= '0' && text[0] <= '9'))
        return text;
    memcpy(prefix, text, n);
    prefix[n] = 0;
    return text + n + 1;
}

/* The file behind an allocator: opened, looked into, hashed. */
static int examine(struct hp_allocator *out, char *error, size_t error_size)
{
    char symbol[80];
    Dl_info libc;

    if (!out->path[0] && dladdr((void *)(uintptr_t)gnu_get_libc_version, &libc) && realpath(libc.dli_fname, out->file)) {
        snprintf(out->version, sizeof out->version, "glibc %s", gnu_get_libc_version());
    } else {
        snprintf(out->file, sizeof out->file, "%s", out->path);
        if (hp_archive_is(out->file) && (out->archive_fd = hp_archive_load(out->file, out->path, error, error_size)) < 0)
            return -1;
        snprintf(symbol, sizeof symbol, "%smalloc", out->prefix);
        if (hp_inspect_library(out->path, symbol, error, error_size) != 0) {
            if (out->archive_fd >= 0)
                snprintf(error, error_size, "%s does not export %s: give NAME=PREFIX:PATH with the prefix of its calls",
                         out->file, symbol);
            return -1;
        }
        hp_inspect_version(out->file, out->version, sizeof out->version);
    }
    hp_inspect_build(out->path[0] ? out->path : out->file, out->build, sizeof out->build);
    hp_sha256_file(out->file, out->sha256);
    return 0;
}

int hp_alloc_find(const char *spec, struct hp_allocator *out, char *error, size_t error_size)
{
    char text[PATH_MAX + 1024], *variables, *path, *label;

    memset(out, 0, sizeof *out);
    out->archive_fd = -1;
    if (snprintf(text, sizeof text, "%s", spec) >= (int)sizeof text || !spec[0]) {
        snprintf(error, error_size, "'%.40s' is no allocator: give NAME, NAME=PATH, NAME=PREFIX:PATH or NAME@VAR=VALUE", spec);
        return -1;
    }
    if ((label = strrchr(text, '#')))
        *label = 0;
    if ((variables = strchr(text, '@')))
        *variables++ = 0;
    if ((path = strchr(text, '=')))
        *path++ = 0;
    snprintf(out->name, sizeof out->name, "%.60s%s%.120s%s%.60s", text, variables ? "@" : "", variables ? variables : "",
             label ? "#" : "", label ? label + 1 : "");
    if (path)
        path = take_prefix(path, out->prefix);
    if (path && !*path) {
        snprintf(error, error_size, "allocator %s: no library is named behind '='", text);
        return -1;
    }
    if (!path) {
        if (find_named(text, out, error, error_size) != 0)
            return -1;
    } else if (!realpath(path, out->path)) {
        snprintf(error, error_size, "allocator %s: cannot open %s: %m", text, path);
        return -1;
    }
    if (variables && set_variables(out, variables, error, error_size) != 0)
        return -1;
    return out->backend == HP_BACKEND_LIBRARY ? examine(out, error, error_size) : 0;
}

void hp_alloc_release(struct hp_allocator *a)
{
    for (int i = 0; i < a->variables; i++)
        free(a->variable[i]);
    a->variables = 0;
    if (a->archive_fd >= 0)
        close(a->archive_fd);
    a->archive_fd = -1;
}
