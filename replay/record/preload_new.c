/* preload_new.c - every form of operator new and delete, by its mangled name, in C: no C++ library is pulled in.
 *
 * The next definition is looked up at the first call, for a C program may load libstdc++ at any time. While operator
 * new runs, the first allocation inside it is logged as the operator (libstdc++ calls malloc); when none came (jemalloc
 * has operators of its own) the operator logs itself. It keeps no guard, because it may throw or call a new_handler.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

#include "record/preload.h"

/* The real operator: next in the global scope, or what the caller's own libraries offer, or libstdc++'s. */
static void *find(const char *name, const void *caller)
{
    static const char *const libraries[] = {"libstdc++.so.6", "libc++.so.1"};
    static const char text[] = "heaplay: an operator new or delete was called, but no library defines it\n";
    void *symbol = hp_preload_find(name), *handle;
    Dl_info info;

    if (!symbol && dladdr(caller, &info) && (handle = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD))) {
        symbol = dlsym(handle, name);
        dlclose(handle);
    }
    for (size_t i = 0; i < 2 && !symbol; i++)
        if ((handle = dlopen(libraries[i], RTLD_LAZY | RTLD_NOLOAD))) {
            symbol = dlsym(handle, name);
            dlclose(handle);
        }
    (void)dlerror();
    if (!symbol) {
        (void)!write(2, text, sizeof text - 1);
        abort();
    }
    return symbol;
}

/* Look-ups allocate: those blocks are not the program's. */
static void *resolve(const char *name, const void *caller)
{
    uintptr_t guard = hp_self.guard;
    void *symbol;

    hp_self.guard = (uintptr_t)__builtin_frame_address(0);
    symbol = find(name, caller);
    hp_self.guard = guard;
    return symbol;
}

#define NEXT(pointer, name) do {                                            \
        if (HP_UNLIKELY(!(pointer)))                                        \
            *(void **)&(pointer) = resolve(name, __builtin_return_address(0)); \
    } while (0)

/* NEW(mangled name, kind, alignment, parameters after size, arguments after size) */
#define NEW(symbol, kind, alignment, parameters, arguments)                 \
    HP_EXPORT void *symbol(size_t size PARENTHESES parameters);             \
    HP_EXPORT void *symbol(size_t size PARENTHESES parameters)              \
    {                                                                       \
        static void *(*next)(size_t size PARENTHESES parameters);           \
        struct hp_self *self = &hp_self;                                    \
        void *p;                                                            \
                                                                            \
        NEXT(next, #symbol);                                                \
        if (self->new_kind || (uintptr_t)__builtin_frame_address(0) < self->guard) \
            return next(size PARENTHESES arguments);                        \
        self->new_size = size;                                              \
        self->new_alignment = (alignment);                                  \
        self->new_kind = (kind);                                            \
        p = next(size PARENTHESES arguments);                               \
        if (self->new_kind) {                                               \
            self->new_kind = 0;                                             \
            hp_preload_log((kind), p, size, (alignment));                   \
        }                                                                   \
        return p;                                                           \
    }

#define DELETE(symbol, kind, size, alignment, parameters, arguments)        \
    HP_EXPORT void symbol(void *p PARENTHESES parameters);                  \
    HP_EXPORT void symbol(void *p PARENTHESES parameters)                   \
    {                                                                       \
        static void (*next)(void *p PARENTHESES parameters);                \
        struct hp_self *self = &hp_self;                                    \
                                                                            \
        NEXT(next, #symbol);                                                \
        if (hp_preload_deleted(self, p) || (uintptr_t)__builtin_frame_address(0) < self->guard) { \
            next(p PARENTHESES arguments);                                  \
            return;                                                         \
        }                                                                   \
        hp_preload_log((kind), p, (size), (kind) == HP_DELETE_ALIGNED ? (alignment) : hp_preload_touched(p)); \
        self->deleting = p ? p : HP_NULL_DELETED;                           \
        next(p PARENTHESES arguments);                                      \
        self->deleting = NULL;                                              \
    }

#define PARENTHESES(...) __VA_OPT__(,) __VA_ARGS__

typedef const void *nothrow_t;

NEW(_Znwm, HP_NEW, 0, (), ())
NEW(_Znam, HP_NEW, 0, (), ())
NEW(_ZnwmRKSt9nothrow_t, HP_NEW, 0, (nothrow_t n), (n))
NEW(_ZnamRKSt9nothrow_t, HP_NEW, 0, (nothrow_t n), (n))
NEW(_ZnwmSt11align_val_t, HP_NEW_ALIGNED, align, (size_t align), (align))
NEW(_ZnamSt11align_val_t, HP_NEW_ALIGNED, align, (size_t align), (align))
NEW(_ZnwmSt11align_val_tRKSt9nothrow_t, HP_NEW_ALIGNED, align, (size_t align, nothrow_t n), (align, n))
NEW(_ZnamSt11align_val_tRKSt9nothrow_t, HP_NEW_ALIGNED, align, (size_t align, nothrow_t n), (align, n))

DELETE(_ZdlPv, HP_DELETE, 0, 0, (), ())
DELETE(_ZdaPv, HP_DELETE, 0, 0, (), ())
DELETE(_ZdlPvRKSt9nothrow_t, HP_DELETE, 0, 0, (nothrow_t n), (n))
DELETE(_ZdaPvRKSt9nothrow_t, HP_DELETE, 0, 0, (nothrow_t n), (n))
DELETE(_ZdlPvm, HP_DELETE_SIZED, bytes, 0, (size_t bytes), (bytes))
DELETE(_ZdaPvm, HP_DELETE_SIZED, bytes, 0, (size_t bytes), (bytes))
DELETE(_ZdlPvSt11align_val_t, HP_DELETE_ALIGNED, 0, align, (size_t align), (align))
DELETE(_ZdaPvSt11align_val_t, HP_DELETE_ALIGNED, 0, align, (size_t align), (align))
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, HP_DELETE_ALIGNED, 0, align, (size_t align, nothrow_t n), (align, n))
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, HP_DELETE_ALIGNED, 0, align, (size_t align, nothrow_t n), (align, n))
DELETE(_ZdlPvmSt11align_val_t, HP_DELETE_ALIGNED, bytes, align, (size_t bytes, size_t align), (bytes, align))
DELETE(_ZdaPvmSt11align_val_t, HP_DELETE_ALIGNED, bytes, align, (size_t bytes, size_t align), (bytes, align))
