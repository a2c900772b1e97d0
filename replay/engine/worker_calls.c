/* worker_calls.c - finds the allocator's calls in this process and proves whose they are.
 *
 * The library came in by LD_PRELOAD, as its authors mean it to be used. Each call that the project compares must come
 * from the named file; calls that few libraries have may be stood in for, and the job page says which. */
#include "engine/worker.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct hp_calls found;   /* what the stand-ins call */

static void stand_in_free_sized(void *p, size_t n) { (void)n; found.free(p); }
static void stand_in_free_aligned(void *p, size_t a, size_t n) { (void)a; (void)n; found.free(p); }
static void stand_in_delete_sized(void *p, size_t n) { (void)n; found.delete_(p); }
static void *stand_in_new_aligned(size_t n, size_t a) { return found.memalign(a, n); }

static void *stand_in_reallocarray(void *p, size_t n, size_t size)
{
    size_t bytes;

    return __builtin_mul_overflow(n, size, &bytes) ? NULL : found.realloc(p, bytes);
}

static void *stand_in_memalign(size_t a, size_t n)
{
    void *p = NULL;

    return found.posix_memalign(&p, a < sizeof p ? sizeof p : a, n) == 0 ? p : NULL;
}

static void *stand_in_valloc(size_t n)
{
    return found.memalign(4096, n);
}

static void *stand_in_pvalloc(size_t n)
{
    return found.memalign(4096, (n + 4095) & ~(size_t)4095);
}

#define AT(member) offsetof(struct hp_calls, member)
static const struct {
    const char *symbol;
    size_t      at;
    void      (*stand_in)(void);        /* NULL: the library must have it */
    const char *stand_in_name;
    size_t      stand_in_call;          /* instead of stand_in: the address of another call */
} wanted[] = {
    { "malloc", AT(malloc), NULL, NULL, 0 },
    { "free", AT(free), NULL, NULL, 0 },
    { "calloc", AT(calloc), NULL, NULL, 0 },
    { "realloc", AT(realloc), NULL, NULL, 0 },
    { "aligned_alloc", AT(aligned_alloc), NULL, NULL, 0 },
    { "posix_memalign", AT(posix_memalign), NULL, NULL, 0 },
    { "malloc_usable_size", AT(usable_size), NULL, NULL, 0 },
    { "memalign", AT(memalign), (void (*)(void))stand_in_memalign, "posix_memalign", 0 },
    { "reallocarray", AT(reallocarray), (void (*)(void))stand_in_reallocarray, "realloc", 0 },
    { "valloc", AT(valloc), (void (*)(void))stand_in_valloc, "memalign", 0 },
    { "pvalloc", AT(pvalloc), (void (*)(void))stand_in_pvalloc, "memalign", 0 },
    { "free_sized", AT(free_sized), (void (*)(void))stand_in_free_sized, "free", 0 },
    { "free_aligned_sized", AT(free_aligned_sized), (void (*)(void))stand_in_free_aligned, "free", 0 },
    { "_Znwm", AT(new_), NULL, "malloc", AT(malloc) },
    { "_ZnwmSt11align_val_t", AT(new_aligned), (void (*)(void))stand_in_new_aligned, "memalign", 0 },
    { "_ZdlPv", AT(delete_), NULL, "free", AT(free) },
    { "_ZdlPvm", AT(delete_sized), (void (*)(void))stand_in_delete_sized, "_ZdlPv", 0 },
    { "_ZdlPvSt11align_val_t", AT(delete_aligned), (void (*)(void))stand_in_delete_sized, "_ZdlPv", 0 },
};

static const char *object_of(void *address)
{
    Dl_info info;

    return address && dladdr(address, &info) && info.dli_fname ? info.dli_fname : "nowhere";
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;

    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void note(char *text, size_t size, const char *symbol, const char *name)
{
    size_t used = strlen(text);

    snprintf(text + used, size - used, "%s%s->%s", used ? " " : "", symbol, name);
}

/* A prefixed library stays out of this program's own calls: RTLD_LOCAL. */
static void *load(const char *library)
{
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);

    if (!handle)
        hp_worker_stop(HP_WORKER_IDENTITY, UINT64_MAX, "cannot be loaded: %s", dlerror());
    return handle;
}

static void *symbol_of(void *handle, const char *prefix, const char *symbol)
{
    char name[128];

    snprintf(name, sizeof name, "%s%s", prefix, symbol);
    return dlsym(handle, name);
}

/* Other names that prefixed libraries have for malloc_usable_size. */
static void *usable_of(void *handle, const char *prefix)
{
    void *address = symbol_of(handle, prefix, "usable_size");

    return address ? address : symbol_of(handle, prefix, "malloc_size");
}

void hp_worker_find_calls(struct hp_calls *f, const struct hp_job *job, char *substituted, size_t size)
{
    const char *library = job->library[0] ? job->library : object_of(dlsym(RTLD_DEFAULT, "gnu_get_libc_version"));
    void *handle = job->prefix[0] ? load(library) : RTLD_DEFAULT;

    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        void *address = symbol_of(handle, job->prefix, wanted[i].symbol);
        void **place = (void **)((char *)&found + wanted[i].at);
        bool own = address && same_file(object_of(address), library);

        if (own) {
            *place = address;
        } else if (job->prefix[0] && wanted[i].at == AT(usable_size) && (address = usable_of(handle, job->prefix))) {
            *place = address;
        } else if (job->prefix[0] && wanted[i].at == AT(aligned_alloc)) {
            found.aligned_alloc = stand_in_memalign;
            note(substituted, size, wanted[i].symbol, "posix_memalign");
        } else if (!wanted[i].stand_in_name) {
            hp_worker_stop(HP_WORKER_IDENTITY, UINT64_MAX, "%s%s comes from %s, not from %s", job->prefix,
                           wanted[i].symbol, object_of(address), library);
        } else {
            memcpy(place, wanted[i].stand_in ? (const void *)&wanted[i].stand_in
                   : (const char *)&found + wanted[i].stand_in_call, sizeof *place);
            note(substituted, size, wanted[i].symbol, wanted[i].stand_in_name);
        }
    }
    void *trim = symbol_of(handle, job->prefix, "malloc_trim");
    if (trim && same_file(object_of(trim), library))
        memcpy(&found.trim, &trim, sizeof trim);
    *f = found;
}
