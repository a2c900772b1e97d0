/* broken.h - a small correct allocator from which each file beside this one departs by one fault. Before a block stands its
 * size; memory comes from a static region and freed blocks are taken again when they fit exactly. The worker of
 * `heaplay verify` is its only user, on one thread. */
#ifndef HP_BROKEN_H
#define HP_BROKEN_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

enum { HEAD = 16, KEPT = 64, CALLS_BEFORE_FAULT = 50 };

static char     region[256 << 20] __attribute__((aligned(4096)));
static size_t   region_used;
static void    *kept[KEPT];     /* the newest freed blocks */
static unsigned keep_at, calls;

/* True once the program is well under way, on every 16th call: a fault as rare as in life. */
__attribute__((unused)) static int faulty(void)
{
    return ++calls > CALLS_BEFORE_FAULT && calls % 16 == 0;
}

static size_t *head_of(void *p)
{
    return (size_t *)p - 1;
}

static size_t usable_of(void *p)
{
    return p ? *head_of(p) : 0;
}

static void *take(size_t alignment, size_t size)
{
    size_t bytes = (size + 15) & ~(size_t)15;

    bytes = bytes ? bytes : 16;
    for (int i = 0; i < KEPT; i++)
        if (kept[i] && usable_of(kept[i]) == bytes && (uintptr_t)kept[i] % alignment == 0) {
            void *p = kept[i];
            kept[i] = NULL;
            return p;
        }
    uintptr_t p = ((uintptr_t)region + region_used + HEAD + alignment - 1) & ~(uintptr_t)(alignment - 1);
    if (p + bytes > (uintptr_t)region + sizeof region)
        return NULL;
    region_used = p + bytes - (uintptr_t)region;
    *head_of((void *)p) = bytes;
    return (void *)p;
}

static void give(void *p)
{
    if (p)
        kept[keep_at++ % KEPT] = p;
}

void *malloc(size_t n);
void *calloc(size_t n, size_t size);
void *realloc(void *p, size_t n);
void  free(void *p);
void *aligned_alloc(size_t a, size_t n);
int   posix_memalign(void **p, size_t a, size_t n);
size_t malloc_usable_size(void *p);

/* Each call is correct unless its file defines FAULT_NAME and its own. */
#ifndef FAULT_MALLOC
EXPORT void *malloc(size_t n) { return take(16, n); }
#endif
#ifndef FAULT_CALLOC
EXPORT void *calloc(size_t n, size_t size)
{
    void *p = take(16, n * size);

    return p ? memset(p, 0, n * size) : p;
}
#endif
#ifndef FAULT_FREE
EXPORT void free(void *p) { give(p); }
#endif
#ifndef FAULT_REALLOC
EXPORT void *realloc(void *p, size_t n)
{
    void *to = take(16, n);

    if (to && p)
        memcpy(to, p, usable_of(p) < n ? usable_of(p) : n);
    give(p);
    return to;
}
#endif
#ifndef FAULT_ALIGNED
EXPORT void *aligned_alloc(size_t a, size_t n) { return take(a < 16 ? 16 : a, n); }
EXPORT int posix_memalign(void **p, size_t a, size_t n) { return (*p = take(a < 16 ? 16 : a, n)) ? 0 : ENOMEM; }
#endif
#ifndef FAULT_USABLE
EXPORT size_t malloc_usable_size(void *p) { return usable_of(p); }
#endif

#endif
