/* worker_execute.h - one operation, inlined into each loop. With constant `touch` and `null` the compiler keeps only what
 * that loop needs. */
#ifndef HP_WORKER_EXECUTE_H
#define HP_WORKER_EXECUTE_H

#include <string.h>
#include "engine/worker.h"

#define HP_INLINE static inline __attribute__((always_inline))

enum { HP_PAGE = 4096, HP_LINE = 64, HP_TOUCH_BYTE = 0x5a };

/* Writes to bytes from..size of a block as the program that owns it would. */
HP_INLINE void hp_touch(char *p, size_t from, size_t size, const int touch, uint64_t lines)
{
    volatile char *v = p;

    if (touch == HP_TOUCH_NONE || from >= size)
        return;
    if (touch == HP_TOUCH_FIRST) {
        if (from == 0)
            v[0] = HP_TOUCH_BYTE;
    } else if (touch == HP_TOUCH_RECORDED) {
        for (size_t i = from; i < size; i += HP_PAGE)
            v[i] = HP_TOUCH_BYTE;
    } else if (touch == HP_TOUCH_PAGE) {
        for (size_t i = from; i < size; i += HP_PAGE)
            v[i] = HP_TOUCH_BYTE;
        v[size - 1] = HP_TOUCH_BYTE;
    } else if (touch == HP_TOUCH_LINE) {
        size_t end = size < lines * HP_LINE ? size : lines * HP_LINE;
        for (size_t i = from; i < end; i += HP_LINE)
            v[i] = HP_TOUCH_BYTE;
    } else {
        memset(p + from, HP_TOUCH_BYTE, size - from);
    }
}

/* Under policy "recorded", what the plan says of a block: bytes from..size from its begin are to be touched. */
HP_INLINE void hp_touched_part(const struct hp_op *op, const int touch, size_t *from, size_t *size)
{
    unsigned code = op->code & ~OP_PUBLISH;
    size_t touched = hp_touched_unpack(op->hi);

    if (touch != HP_TOUCH_RECORDED)
        return;
    *from = (code == OP_REALLOC || code == OP_REALLOCARRAY) && op->aux ? (size_t)1 << (op->aux - 1) : 0;
    *size = touched < *size ? touched : *size;
}

__attribute__((cold, noreturn)) void hp_execute_refused(const struct hp_op *op);

HP_INLINE void *hp_execute_make(const struct hp_calls *f, void **slot, const struct hp_op *op, size_t *from,
                                size_t *size)
{
    void *p = NULL;

    *from = 0;
    *size = op->size;
    switch (op->code & ~OP_PUBLISH) {
    case OP_MALLOC:     return f->malloc(op->size);
    case OP_CALLOC:     *size = (op->size >> 32) * (op->size & UINT32_MAX);
                        return f->calloc(op->size >> 32, op->size & UINT32_MAX);
    case OP_CALLOC_ONE: return f->calloc(1, op->size);
    case OP_REALLOC:    *from = (size_t)op->hi << op->aux;
                        return f->realloc(slot[op->slot], op->size);
    case OP_REALLOC_NEW: return f->realloc(NULL, op->size);
    case OP_REALLOCARRAY: *from = (size_t)op->hi << op->aux;
                        *size = (op->size >> 32) * (op->size & UINT32_MAX);
                        return f->reallocarray(slot[op->slot], op->size >> 32, op->size & UINT32_MAX);
    case OP_ALIGNED_ALLOC: return f->aligned_alloc((size_t)1 << op->aux, op->size);
    case OP_POSIX_MEMALIGN: return f->posix_memalign(&p, (size_t)1 << op->aux, op->size) == 0 ? p : NULL;
    case OP_MEMALIGN:   return f->memalign((size_t)1 << op->aux, op->size);
    case OP_VALLOC:     return f->valloc(op->size);
    case OP_PVALLOC:    return f->pvalloc(op->size);
    case OP_NEW:        return f->new_(op->size);
    case OP_NEW_ALIGNED: return f->new_aligned(op->size, (size_t)1 << op->aux);
    default:            __builtin_unreachable();
    }
}

/* Returns false when the operation is not one that consumes or looks at a block. */
HP_INLINE bool hp_execute_end(const struct hp_calls *f, void **slot, const struct hp_op *op)
{
    void *p = slot[op->slot];

    switch (op->code & ~OP_PUBLISH) {
    case OP_FREE:               f->free(p); return true;
    case OP_FREE_SIZED:         f->free_sized(p, op->size); return true;
    case OP_FREE_ALIGNED_SIZED: f->free_aligned_sized(p, (size_t)1 << op->aux, op->size); return true;
    case OP_DELETE:             f->delete_(p); return true;
    case OP_DELETE_SIZED:       f->delete_sized(p, op->size); return true;
    case OP_DELETE_ALIGNED:     f->delete_aligned(p, (size_t)1 << op->aux); return true;
    case OP_USABLE_SIZE:        (void)f->usable_size(p); return true;
    case OP_REALLOC_FREE:       /* some libraries hand out an empty block here; it is given back at once */
                                p = f->realloc(p, 0);
                                if (p)
                                    f->free(p);
                                return true;
    default:                    return false;
    }
}

/* What the harness does when the allocator costs nothing: the same reads, stores and touching. */
HP_INLINE void hp_execute_null(char *buffer, void **slot, const struct hp_op *op, const int touch, uint64_t lines)
{
    size_t from = 0, size = op->size;

    switch (op->code & ~OP_PUBLISH) {
    case OP_FREE: case OP_FREE_SIZED: case OP_FREE_ALIGNED_SIZED: case OP_DELETE: case OP_DELETE_SIZED:
    case OP_DELETE_ALIGNED: case OP_USABLE_SIZE: case OP_REALLOC_FREE:
        __asm__ volatile("" : : "r"(slot[op->slot]));
        return;
    case OP_CALLOC:       size = (size >> 32) * (size & UINT32_MAX); break;
    case OP_REALLOCARRAY: size = (size >> 32) * (size & UINT32_MAX); /* fall through */
    case OP_REALLOC:      from = (size_t)op->hi << op->aux;
                          __asm__ volatile("" : : "r"(slot[op->slot]));
                          break;
    default:              break;
    }
    hp_touched_part(op, touch, &from, &size);
    char *p = buffer + (op->slot % HP_NULL_BLOCKS) * HP_NULL_STEP;
    if (size > HP_NULL_CLIP) {      /* only the end of a block that is larger than the buffer */
        from = from > size - HP_NULL_CLIP ? from - (size - HP_NULL_CLIP) : 0;
        size = HP_NULL_CLIP;
    }
    hp_touch(p, from, size, touch, lines);
    slot[op->slot] = p;
}

HP_INLINE void hp_execute(const struct hp_calls *f, void **slot, const struct hp_op *op, const int touch,
                          uint64_t lines)
{
    size_t from, size;

    if (hp_execute_end(f, slot, op))
        return;
    char *p = hp_execute_make(f, slot, op, &from, &size);
    if (__builtin_expect(p == NULL && size != 0, 0))
        hp_execute_refused(op);
    hp_touched_part(op, touch, &from, &size);
    hp_touch(p, from, size, touch, lines);
    slot[op->slot] = p;
}

#endif
