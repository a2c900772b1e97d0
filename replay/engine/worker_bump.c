/* worker_bump.c - the allocator that only ever moves a pointer: what any allocator's bookkeeping is measured against.
 *
 * Owns one reservation; threads take stretches of it and cut blocks off. Nothing is given back. Before each block
 * stands its size, so that realloc can copy. */
#include "engine/worker.h"

#include <string.h>
#include <sys/mman.h>

enum { STRETCH = 1 << 20, HEADER = 16, PAGE_BYTES = 4096 };

static char *region;
static _Atomic uint64_t region_used;
static uint64_t region_size;
static __thread char *next, *end;

static void *cut(size_t alignment, size_t size)
{
    uintptr_t p = ((uintptr_t)next + HEADER + alignment - 1) & ~(uintptr_t)(alignment - 1);

    if (!next || size > (size_t)(end - next) || p + size > (uintptr_t)end) {
        uint64_t wanted = size + alignment + HEADER > STRETCH ? size + alignment + HEADER : STRETCH;
        uint64_t at = atomic_fetch_add(&region_used, wanted);
        if (at + wanted > region_size)
            return NULL;
        next = region + at;
        end = next + wanted;
        p = ((uintptr_t)next + HEADER + alignment - 1) & ~(uintptr_t)(alignment - 1);
    }
    ((uint64_t *)p)[-1] = size;
    next = (char *)((p + size + 15) & ~(uintptr_t)15);
    return (void *)p;
}

static size_t bump_usable(void *p)
{
    return p ? ((uint64_t *)p)[-1] : 0;
}

static void *bump_malloc(size_t n) { return cut(16, n); }
static void *bump_calloc(size_t n, size_t size) { return cut(16, n * size); }  /* fresh pages are zero */
static void  bump_free(void *p) { (void)p; }
static void  bump_free2(void *p, size_t n) { (void)p; (void)n; }
static void  bump_free3(void *p, size_t a, size_t n) { (void)p; (void)a; (void)n; }
static void *bump_aligned(size_t a, size_t n) { return cut(a < 16 ? 16 : a, n); }
static void *bump_new_aligned(size_t n, size_t a) { return bump_aligned(a, n); }
static void *bump_valloc(size_t n) { return cut(PAGE_BYTES, n); }

static int bump_posix(void **p, size_t a, size_t n)
{
    *p = bump_aligned(a, n);
    return *p ? 0 : 12;
}

static void *bump_realloc(void *old, size_t n)
{
    size_t had = bump_usable(old);
    void *p;

    if (old && n <= had)
        return old;
    p = cut(16, n);
    if (p && old)
        memcpy(p, old, had);
    return p;
}

static void *bump_reallocarray(void *old, size_t n, size_t size) { return bump_realloc(old, n * size); }

void hp_bump_init(struct hp_calls *f, uint64_t bytes)
{
    region_size = (bytes + (uint64_t)STRETCH * (HP_MAX_THREADS + 1)) * 2;
    region = mmap(NULL, region_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (region == MAP_FAILED)
        hp_worker_stop(HP_WORKER_SYSTEM, UINT64_MAX, "cannot reserve %llu bytes for the bump allocator",
                       (unsigned long long)region_size);
    *f = (struct hp_calls){
        .malloc = bump_malloc, .calloc = bump_calloc, .realloc = bump_realloc, .reallocarray = bump_reallocarray,
        .free = bump_free, .free_sized = bump_free2, .free_aligned_sized = bump_free3, .aligned_alloc = bump_aligned,
        .posix_memalign = bump_posix, .memalign = bump_aligned, .valloc = bump_valloc, .pvalloc = bump_valloc,
        .usable_size = bump_usable, .new_ = bump_malloc, .new_aligned = bump_new_aligned, .delete_ = bump_free,
        .delete_sized = bump_free2, .delete_aligned = bump_free2,
    };
}
