/* preload.c - the C allocation functions, as the recorded program sees them.
 *
 * Each calls the next definition (RTLD_NEXT) and logs: a free before the real free, an allocation after the real call,
 * realloc at both ends. What an allocator's function calls of its own public functions is not logged again: while a
 * real call runs, `guard` holds the wrapper's frame, and calls from deeper frames pass through.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "record/preload.h"

#define FRAME() ((uintptr_t)__builtin_frame_address(0))

HP_EXPORT void  free_sized(void *p, size_t size);
HP_EXPORT void  free_aligned_sized(void *p, size_t alignment, size_t size);
HP_EXPORT void *memalign(size_t alignment, size_t size);
HP_EXPORT void *valloc(size_t size);
HP_EXPORT void *pvalloc(size_t size);
HP_EXPORT size_t malloc_usable_size(void *p);

/* A guard left behind by longjmp out of a signal handler lies below the frames that come after it, and is ignored. */
static inline bool nested(const struct hp_self *self, uintptr_t frame)
{
    return HP_UNLIKELY(frame < self->guard);
}

/* operator new of libstdc++ calls malloc or aligned_alloc: that call is logged as the operator, once. */
static inline void log_allocation(struct hp_self *self, unsigned kind, const void *p, uint64_t size, uint64_t c)
{
    if (HP_UNLIKELY(self->new_kind)) {
        kind = self->new_kind;
        size = self->new_size;
        c = self->new_alignment;
        self->new_kind = 0;
    }
    hp_preload_log(kind, p, size, c);
}

HP_EXPORT void *malloc(size_t size)
{
    struct hp_self *self = &hp_self;
    void *p;

    if (HP_UNLIKELY(!hp_next.malloc)) {
        hp_preload_resolve();
        if (!hp_next.malloc)
            return hp_preload_arena(size, 16);
    }
    if (nested(self, FRAME()))
        return hp_next.malloc(size);
    self->guard = FRAME();
    p = hp_next.malloc(size);
    self->guard = 0;
    log_allocation(self, HP_MALLOC, p, size, 0);
    return p;
}

HP_EXPORT void *calloc(size_t count, size_t size)
{
    struct hp_self *self = &hp_self;
    void *p;

    if (HP_UNLIKELY(!hp_next.calloc)) {
        hp_preload_resolve();
        if (!hp_next.calloc)
            return size && count > SIZE_MAX / size ? NULL : hp_preload_arena(count * size, 16);
    }
    if (nested(self, FRAME()))
        return hp_next.calloc(count, size);
    self->guard = FRAME();
    p = hp_next.calloc(count, size);
    self->guard = 0;
    hp_preload_log(HP_CALLOC, p, size, count);
    return p;
}

/* Blocks of the start-up arena never reach the real allocator: they are copied out. */
static void *realloc_from_arena(void *old, size_t size)
{
    size_t held = hp_preload_arena_size(old);
    void *p = malloc(size);

    if (p)
        memcpy(p, old, held < size ? held : size);
    return p;
}

HP_EXPORT void *realloc(void *old, size_t size)
{
    struct hp_self *self = &hp_self;
    void *p;

    if (HP_UNLIKELY(!hp_next.realloc))
        hp_preload_resolve();
    if (HP_UNLIKELY(hp_preload_in_arena(old)) || HP_UNLIKELY(!hp_next.realloc))
        return old ? realloc_from_arena(old, size) : malloc(size);
    if (nested(self, FRAME()))
        return hp_next.realloc(old, size);
    hp_preload_log(HP_RAW_REALLOC_BEGIN, old, 0, 0);
    self->guard = FRAME();
    p = hp_next.realloc(old, size);
    self->guard = 0;
    hp_preload_log(HP_REALLOC, p, size, 0);
    return p;
}

HP_EXPORT void *reallocarray(void *old, size_t count, size_t size)
{
    struct hp_self *self = &hp_self;
    size_t bytes;
    void *p;

    if (HP_UNLIKELY(!hp_next.realloc))
        hp_preload_resolve();
    if (HP_UNLIKELY(hp_preload_in_arena(old)) || HP_UNLIKELY(!hp_next.reallocarray)) {
        if (__builtin_mul_overflow(count, size, &bytes)) {
            errno = ENOMEM;
            return NULL;
        }
        return realloc(old, bytes);
    }
    if (nested(self, FRAME()))
        return hp_next.reallocarray(old, count, size);
    hp_preload_log(HP_RAW_REALLOC_BEGIN, old, 0, 0);
    self->guard = FRAME();
    p = hp_next.reallocarray(old, count, size);
    self->guard = 0;
    hp_preload_log(HP_REALLOCARRAY, p, size, count);
    return p;
}

HP_EXPORT void free(void *p)
{
    struct hp_self *self = &hp_self;

    if (HP_UNLIKELY(hp_preload_in_arena(p)))
        return;
    if (HP_UNLIKELY(!hp_next.free)) {
        hp_preload_resolve();
        if (!hp_next.free)
            return;
    }
    if (nested(self, FRAME()) || hp_preload_deleted(self, p)) {
        hp_next.free(p);
        return;
    }
    /* The C library calls free(NULL) after a thread's last destructor. Without a ring, as it is by then or has been all along,
     * that must not take one, which nothing would give back. */
    if (HP_UNLIKELY(!p && self->epoch != hp_wiped->epoch))
        return;
    hp_preload_log(HP_FREE, p, 0, hp_preload_touched(p));
    self->guard = FRAME();
    hp_next.free(p);
    self->guard = 0;
}

HP_EXPORT void free_sized(void *p, size_t size)
{
    struct hp_self *self = &hp_self;

    if (HP_UNLIKELY(hp_preload_in_arena(p)))
        return;
    if (!hp_next.free_sized)
        hp_preload_resolve();
    if (nested(self, FRAME())) {
        hp_next.free_sized(p, size);
        return;
    }
    hp_preload_log(HP_FREE_SIZED, p, size, hp_preload_touched(p));
    self->guard = FRAME();
    hp_next.free_sized(p, size);
    self->guard = 0;
}

HP_EXPORT void free_aligned_sized(void *p, size_t alignment, size_t size)
{
    struct hp_self *self = &hp_self;

    if (HP_UNLIKELY(hp_preload_in_arena(p)))
        return;
    if (!hp_next.free_aligned_sized)
        hp_preload_resolve();
    if (nested(self, FRAME())) {
        hp_next.free_aligned_sized(p, alignment, size);
        return;
    }
    hp_preload_log(HP_FREE_ALIGNED_SIZED, p, size, alignment);
    self->guard = FRAME();
    hp_next.free_aligned_sized(p, alignment, size);
    self->guard = 0;
}

HP_EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
    struct hp_self *self = &hp_self;
    void *p;

    if (HP_UNLIKELY(!hp_next.aligned_alloc)) {
        hp_preload_resolve();
        if (!hp_next.aligned_alloc)
            return hp_preload_arena(size, alignment);
    }
    if (nested(self, FRAME()))
        return hp_next.aligned_alloc(alignment, size);
    self->guard = FRAME();
    p = hp_next.aligned_alloc(alignment, size);
    self->guard = 0;
    log_allocation(self, HP_ALIGNED_ALLOC, p, size, alignment);
    return p;
}

HP_EXPORT int posix_memalign(void **result, size_t alignment, size_t size)
{
    struct hp_self *self = &hp_self;
    int error;

    if (HP_UNLIKELY(!hp_next.posix_memalign)) {
        hp_preload_resolve();
        if (!hp_next.posix_memalign)
            return (*result = hp_preload_arena(size, alignment)) ? 0 : ENOMEM;
    }
    if (nested(self, FRAME()))
        return hp_next.posix_memalign(result, alignment, size);
    self->guard = FRAME();
    error = hp_next.posix_memalign(result, alignment, size);
    self->guard = 0;
    log_allocation(self, HP_POSIX_MEMALIGN, error ? NULL : *result, size, alignment);
    return error;
}

HP_EXPORT void *memalign(size_t alignment, size_t size)
{
    struct hp_self *self = &hp_self;
    void *p;

    if (HP_UNLIKELY(!hp_next.memalign)) {
        hp_preload_resolve();
        if (!hp_next.memalign)
            return hp_preload_arena(size, alignment);
    }
    if (nested(self, FRAME()))
        return hp_next.memalign(alignment, size);
    self->guard = FRAME();
    p = hp_next.memalign(alignment, size);
    self->guard = 0;
    log_allocation(self, HP_MEMALIGN, p, size, alignment);
    return p;
}

/* valloc and pvalloc differ by the function and the kind only. */
static void *page_allocation(void *(*function)(size_t), unsigned kind, size_t size, uintptr_t frame)
{
    struct hp_self *self = &hp_self;
    void *p;

    if (HP_UNLIKELY(!function))
        return hp_preload_arena(size, 4096);
    if (nested(self, frame))
        return function(size);
    self->guard = frame;
    p = function(size);
    self->guard = 0;
    hp_preload_log(kind, p, size, 0);
    return p;
}

HP_EXPORT void *valloc(size_t size)
{
    if (!hp_next.valloc)
        hp_preload_resolve();
    return page_allocation(hp_next.valloc, HP_VALLOC, size, FRAME());
}

HP_EXPORT void *pvalloc(size_t size)
{
    if (!hp_next.pvalloc)
        hp_preload_resolve();
    return page_allocation(hp_next.pvalloc, HP_PVALLOC, size, FRAME());
}

HP_EXPORT size_t malloc_usable_size(void *p)
{
    struct hp_self *self = &hp_self;
    size_t size;

    if (HP_UNLIKELY(hp_preload_in_arena(p)))
        return hp_preload_arena_size(p);
    if (HP_UNLIKELY(!hp_next.malloc_usable_size)) {
        hp_preload_resolve();
        if (!hp_next.malloc_usable_size)
            return 0;
    }
    size = hp_next.malloc_usable_size(p);
    if (!nested(self, FRAME()))
        hp_preload_log(HP_USABLE_SIZE, p, size, 0);
    return size;
}
