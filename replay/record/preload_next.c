/* preload_next.c - the next allocator's functions, and the small arena that serves calls until they are found.
 *
 * dlsym(RTLD_NEXT) may itself allocate; that comes back to us while nothing is known yet.
 */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "record/preload.h"

struct hp_next hp_next;
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

void hp_preload_resolve(void)
{
    struct hp_next n;

    if (resolving)
        return;
    resolving = true;
    *(void **)&n.calloc = dlsym(RTLD_NEXT, "calloc");
    *(void **)&n.realloc = dlsym(RTLD_NEXT, "realloc");
    *(void **)&n.reallocarray = dlsym(RTLD_NEXT, "reallocarray");
    *(void **)&n.free = dlsym(RTLD_NEXT, "free");
    *(void **)&n.free_sized = dlsym(RTLD_NEXT, "free_sized");
    *(void **)&n.free_aligned_sized = dlsym(RTLD_NEXT, "free_aligned_sized");
    *(void **)&n.aligned_alloc = dlsym(RTLD_NEXT, "aligned_alloc");
    *(void **)&n.posix_memalign = dlsym(RTLD_NEXT, "posix_memalign");
    *(void **)&n.memalign = dlsym(RTLD_NEXT, "memalign");
    *(void **)&n.valloc = dlsym(RTLD_NEXT, "valloc");
    *(void **)&n.pvalloc = dlsym(RTLD_NEXT, "pvalloc");
    *(void **)&n.malloc_usable_size = dlsym(RTLD_NEXT, "malloc_usable_size");
    *(void **)&n.malloc = dlsym(RTLD_NEXT, "malloc");
    if (!n.free_sized)
        n.free_sized = plain_free_sized;
    if (!n.free_aligned_sized)
        n.free_aligned_sized = plain_free_aligned_sized;
    (void)dlerror();
    hp_next = n;
    resolving = false;
}
