/* preload_next.c - the next allocator's functions, and the small arena that serves calls until they are found.
 *
 * dlsym(RTLD_NEXT) may itself allocate; that comes back to us while nothing is known yet. A library that came late has the
 * program's allocator before it, not behind it: RTLD_DEFAULT finds it, or our own definition when there is no other.
 */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>

#include "record/preload.h"

struct hp_next hp_next;
bool hp_late;
static volatile bool resolving;         /* volatile: dlsym is declared a leaf, yet it calls malloc, that is, us */
char hp_preload_arena_bytes[HP_ARENA_BYTES] __attribute__((aligned(64)));
static size_t arena_used;

/* Blocks asked for while dlsym looks for the real functions. Never reused, never handed to the real allocator. */
void *hp_preload_arena(size_t size, size_t alignment)
{
    uintptr_t at = (uintptr_t)hp_preload_arena_bytes + arena_used + sizeof(size_t);

    if (alignment < 16)
        alignment = 16;
    at = (at + alignment - 1) & ~(uintptr_t)(alignment - 1);
    if (size > HP_ARENA_BYTES || at + size > (uintptr_t)hp_preload_arena_bytes + HP_ARENA_BYTES) {
        errno = ENOMEM;
        return NULL;
    }
    memcpy((char *)at - sizeof size, &size, sizeof size);
    arena_used = at + size - (uintptr_t)hp_preload_arena_bytes;
    return (void *)at;
}

size_t hp_preload_arena_size(const void *p)
{
    size_t size;

    memcpy(&size, (const char *)p - sizeof size, sizeof size);
    return size;
}

static void plain_free_sized(void *p, size_t size)
{
    (void)size;
    hp_next.free(p);
}

static void plain_free_aligned_sized(void *p, size_t alignment, size_t size)
{
    (void)alignment;
    (void)size;
    hp_next.free(p);
}

extern const char __ehdr_start[] __attribute__((visibility("hidden"))), _end[] __attribute__((visibility("hidden")));

/* Not ours, and not the entry in a program's procedure linkage table that stands for the function's address in one that is
 * not position independent: its symbol is undefined, and through it we would call ourselves. */
static bool is_definition(const void *symbol)
{
    const ElfW(Sym) *entry = NULL;
    Dl_info info;

    return symbol && (uintptr_t)symbol - (uintptr_t)__ehdr_start >= (uintptr_t)_end - (uintptr_t)__ehdr_start &&
           !(dladdr1(symbol, &info, (void **)&entry, RTLD_DL_SYMENT) && entry && entry->st_shndx == SHN_UNDEF);
}

void *hp_preload_find(const char *name)
{
    void *symbol = dlsym(hp_late ? RTLD_DEFAULT : RTLD_NEXT, name), *handle;

    for (struct link_map *object = hp_late ? _r_debug.r_map : NULL; object && !is_definition(symbol); object = object->l_next)
        if (strchr(object->l_name, '/') && (handle = dlopen(object->l_name, RTLD_LAZY | RTLD_NOLOAD))) {
            symbol = dlsym(handle, name);
            dlclose(handle);
        }
    return is_definition(symbol) ? symbol : NULL;
}

void hp_preload_resolve(void)
{
    struct hp_next n;

    if (resolving)
        return;
    resolving = true;
    *(void **)&n.calloc = hp_preload_find("calloc");
    *(void **)&n.realloc = hp_preload_find("realloc");
    *(void **)&n.reallocarray = hp_preload_find("reallocarray");
    *(void **)&n.free = hp_preload_find("free");
    *(void **)&n.free_sized = hp_preload_find("free_sized");
    *(void **)&n.free_aligned_sized = hp_preload_find("free_aligned_sized");
    *(void **)&n.aligned_alloc = hp_preload_find("aligned_alloc");
    *(void **)&n.posix_memalign = hp_preload_find("posix_memalign");
    *(void **)&n.memalign = hp_preload_find("memalign");
    *(void **)&n.valloc = hp_preload_find("valloc");
    *(void **)&n.pvalloc = hp_preload_find("pvalloc");
    *(void **)&n.malloc_usable_size = hp_preload_find("malloc_usable_size");
    *(void **)&n.malloc = hp_preload_find("malloc");
    if (!n.free_sized)
        n.free_sized = plain_free_sized;
    if (!n.free_aligned_sized)
        n.free_aligned_sized = plain_free_aligned_sized;
    (void)dlerror();
    hp_next = n;
    resolving = false;
}
