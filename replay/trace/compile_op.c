/* compile_op.c - one event as one operation; see compile_op.h. */
#include "trace/compile_op.h"

static unsigned log2_of(uint64_t alignment)
{
    return alignment ? 63u - (unsigned)__builtin_clzll(alignment) : 0;
}

/* The old block's size, rounded down so that it fits 24 bits. */
static void pack_old_size(struct hp_op *op, uint64_t size)
{
    while ((size >> op->aux) > UINT16_MAX)
        op->aux++;
    op->hi = (uint16_t)(size >> op->aux);
}

static bool resizes(unsigned kind)
{
    return kind == HP_REALLOC || kind == HP_REALLOCARRAY;
}

void hp_compile_op_expect_touched(struct hp_op *op, const struct hp_compile_block *old)
{
    if (op->code == OP_REALLOC || op->code == OP_REALLOCARRAY)
        op->aux = old->size ? (uint8_t)(log2_of(old->size) + 1) : 0;
    op->hi = HP_TOUCHED_WHOLE;
}

/* Codes of the kinds whose translation needs no look at the arguments; OP_CODE_COUNT: it does. */
static const uint8_t code_of[HP_KIND_COUNT] = {
    [HP_MALLOC] = OP_MALLOC, [HP_CALLOC] = OP_CALLOC, [HP_REALLOC] = OP_REALLOC,
    [HP_REALLOCARRAY] = OP_REALLOCARRAY, [HP_FREE] = OP_FREE, [HP_FREE_SIZED] = OP_FREE_SIZED,
    [HP_FREE_ALIGNED_SIZED] = OP_FREE_ALIGNED_SIZED, [HP_ALIGNED_ALLOC] = OP_ALIGNED_ALLOC,
    [HP_POSIX_MEMALIGN] = OP_POSIX_MEMALIGN, [HP_MEMALIGN] = OP_MEMALIGN, [HP_VALLOC] = OP_VALLOC,
    [HP_PVALLOC] = OP_PVALLOC, [HP_USABLE_SIZE] = OP_USABLE_SIZE, [HP_NEW] = OP_NEW,
    [HP_NEW_ALIGNED] = OP_NEW_ALIGNED, [HP_DELETE] = OP_DELETE, [HP_DELETE_SIZED] = OP_DELETE_SIZED,
    [HP_DELETE_ALIGNED] = OP_DELETE_ALIGNED,
};

/* A call that made nothing and freed nothing: the recorded program was told no, or asked for nothing. */
bool hp_compile_op_failed(const struct hp_event *e, uint64_t bytes)
{
    if (resizes(e->kind))
        return e->id == 0 && (e->old_id == 0 || bytes != 0);
    return hp_kind_allocates(e->kind) && e->id == 0;
}

/* With an alignment, the recorder has no room for it. */
bool hp_compile_op_says_touched(unsigned kind)
{
    return kind == HP_FREE || kind == HP_FREE_SIZED || kind == HP_DELETE || kind == HP_DELETE_SIZED;
}

struct hp_op hp_compile_op(const struct hp_event *e, uint64_t bytes, const struct hp_compile_block *old)
{
    struct hp_op op = { .code = code_of[e->kind], .size = e->size };

    if (resizes(e->kind)) {
        if (!old)
            op = (struct hp_op){ .code = OP_REALLOC_NEW, .size = bytes };
        else if (e->id == 0)
            op = (struct hp_op){ .code = OP_REALLOC_FREE, .size = 0 };
        else if (e->kind == HP_REALLOCARRAY && e->size <= UINT32_MAX && e->count <= UINT32_MAX)
            op.size = e->count << 32 | e->size;
        else
            op = (struct hp_op){ .code = OP_REALLOC, .size = bytes };
        if (old)
            pack_old_size(&op, old->size);
        return op;
    }
    if (e->kind == HP_CALLOC) {
        if (e->size <= UINT32_MAX && e->count <= UINT32_MAX)
            op.size = e->count << 32 | e->size;
        else
            op = (struct hp_op){ .code = OP_CALLOC_ONE, .size = bytes };
        return op;
    }
    op.aux = (uint8_t)log2_of(e->alignment);
    return op;
}
