/* worker_verify.c - does the library keep the contract? Every block is stamped over its usable size, looked at when it is
 * resized or freed, and entered in a shadow map of the address space. One violation ends the run.
 *
 * Invariants: the shadow has a bit for each 8 bytes of the address space, set while a live block covers them; the
 * stamp of a block is a function of its slot and of the call that made it, kept in block_info. */
#include "engine/worker.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/worker_execute.h"

enum { GRAIN = 8, LEAF_BITS = 24, ERRNO_MARK = 4711 };
#define ADDRESS_LIMIT ((uint64_t)1 << 47)
#define LEAF_GRAINS   ((uint64_t)1 << LEAF_BITS)          /* a leaf covers 128 MiB with 2 MiB of bits */

struct block_info {
    uint64_t requested, usable, made_by;
};

static struct block_info *info;
static uint64_t **leaf_of;
static uint64_t call;           /* number of the call that is checked */
static const char *kind;

static const char *const name_of[OP_CODE_CALLS] = {
    "malloc", "calloc", "calloc", "realloc", "realloc", "realloc", "reallocarray", "free", "free_sized",
    "free_aligned_sized", "aligned_alloc", "posix_memalign", "memalign", "valloc", "pvalloc", "malloc_usable_size",
    "operator new", "operator new", "operator delete", "operator delete", "operator delete",
};

#define VIOLATION(...) hp_worker_stop(HP_WORKER_WRONG, call, __VA_ARGS__)

static uint64_t *shadow_word(uint64_t grain)
{
    uint64_t **leaf = &leaf_of[grain >> LEAF_BITS];

    if (!*leaf) {
        *leaf = mmap(NULL, LEAF_GRAINS / 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (*leaf == MAP_FAILED)
            hp_worker_stop(HP_WORKER_SYSTEM, UINT64_MAX, "no memory for the shadow map");
    }
    return &(*leaf)[(grain & (LEAF_GRAINS - 1)) / 64];
}

/* Sets or clears the bits of a block; returns false when a bit was there already. */
static bool shadow_mark(const char *p, uint64_t bytes, bool live)
{
    uint64_t first = (uint64_t)(uintptr_t)p / GRAIN, last = ((uint64_t)(uintptr_t)p + bytes - 1) / GRAIN;
    bool clean = true;

    for (uint64_t g = first; g <= last;) {
        uint64_t from = g % 64, to = last - g + from < 63 ? last - g + from : 63;
        uint64_t bits = (~0ull >> (63 - to)) & (~0ull << from);
        uint64_t *word = shadow_word(g);
        clean &= !live || (*word & bits) == 0;
        *word = live ? *word | bits : *word & ~bits;
        g += to - from + 1;
    }
    return clean;
}

static uint64_t stamp_of(uint32_t slot)
{
    return (info[slot].made_by + 1) * 0x9e3779b97f4a7c15u ^ slot;
}

static void stamp(char *p, uint32_t slot)
{
    uint64_t value = stamp_of(slot), n = info[slot].usable;

    for (uint64_t i = 0; i + 8 <= n; i += 8)
        memcpy(p + i, &value, 8);
    memcpy(p + (n & ~7ull), &value, n & 7);
}

/* Offset of the first byte among the first n that is not the stamp's; n: all are. */
static uint64_t stamp_broken_at(const char *p, uint32_t slot, uint64_t n)
{
    uint64_t value = stamp_of(slot);
    char bytes[8];

    memcpy(bytes, &value, 8);
    for (uint64_t i = 0; i < n; i++) {
        if (i % 8 == 0 && i + 8 <= n && memcmp(p + i, bytes, 8) == 0) {
            i += 7;
            continue;
        }
        if (p[i] != bytes[i % 8])
            return i;
    }
    return n;
}

static uint64_t alignment_of(const struct hp_op *op, uint64_t size)
{
    switch (op->code) {
    case OP_ALIGNED_ALLOC: case OP_POSIX_MEMALIGN: case OP_MEMALIGN: case OP_NEW_ALIGNED:
        return (uint64_t)1 << op->aux;
    case OP_VALLOC: case OP_PVALLOC:
        return HP_PAGE;
    default:    /* for small sizes: what an object of that size can need */
        return size >= 16 ? 16 : size >= 8 ? 8 : size >= 4 ? 4 : size >= 2 ? 2 : 1;
    }
}

static void check_zeroed(const char *p, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++)
        if (p[i] != 0)
            VIOLATION("%s of %llu bytes: byte %llu is %d, not 0", kind, (unsigned long long)size,
                      (unsigned long long)i, p[i]);
}

static void check_made(const struct hp_op *op, char *p, uint64_t size)
{
    struct block_info *b = &info[op->slot];
    uint64_t alignment = alignment_of(op, size);

    if (!p && size)
        VIOLATION("%s of %llu bytes returned NULL", kind, (unsigned long long)size);
    if (!p) {
        *b = (struct block_info){ .made_by = call };
        return;
    }
    if ((uintptr_t)p & (alignment - 1))
        VIOLATION("%s of %llu bytes returned %p, not aligned to %llu", kind, (unsigned long long)size, (void *)p,
                  (unsigned long long)alignment);
    if ((uint64_t)(uintptr_t)p >= ADDRESS_LIMIT)
        VIOLATION("%s returned %p, outside the address space of a program", kind, (void *)p);
    uint64_t usable = hp_worker.calls.usable_size(p);
    if (usable < size)
        VIOLATION("%s of %llu bytes: malloc_usable_size is only %llu", kind, (unsigned long long)size,
                  (unsigned long long)usable);
    *b = (struct block_info){ .requested = size, .usable = usable, .made_by = call };
    if (!shadow_mark(p, usable ? usable : 1, true))
        VIOLATION("%s of %llu bytes returned %p, which overlaps a live block", kind, (unsigned long long)size,
                  (void *)p);
}

static void check_before_end(const struct hp_op *op, char *p)
{
    const struct block_info *b = &info[op->slot];

    if (!p)
        return;
    uint64_t at = stamp_broken_at(p, op->slot, b->usable);
    if (at < b->usable)
        VIOLATION("block of %llu bytes (%llu usable) made by operation %llu was overwritten at byte %llu before %s",
                  (unsigned long long)b->requested, (unsigned long long)b->usable, (unsigned long long)b->made_by,
                  (unsigned long long)at, kind);
    uint64_t usable = hp_worker.calls.usable_size(p);
    if (usable != b->usable)
        VIOLATION("malloc_usable_size of a block of %llu bytes changed from %llu to %llu before %s",
                  (unsigned long long)b->requested, (unsigned long long)b->usable, (unsigned long long)usable, kind);
    if (op->code != OP_USABLE_SIZE)
        shadow_mark(p, b->usable ? b->usable : 1, false);
}

static void end_block(const struct hp_op *op)
{
    check_before_end(op, hp_worker.slot[op->slot]);
    errno = ERRNO_MARK;
    hp_execute_end(&hp_worker.calls, hp_worker.slot, op);
    if (errno != ERRNO_MARK && op->code != OP_REALLOC_FREE && op->code != OP_USABLE_SIZE)
        VIOLATION("%s changed errno to %d", kind, errno);
}

static void make_block(const struct hp_op *op)
{
    bool resizes = op->code == OP_REALLOC || op->code == OP_REALLOCARRAY;
    uint64_t had = 0, made_by = 0;
    size_t from, size;

    if (resizes) {
        check_before_end(op, hp_worker.slot[op->slot]);
        had = hp_worker.slot[op->slot] ? info[op->slot].requested : 0;
        made_by = info[op->slot].made_by;
    }
    char *p = hp_execute_make(&hp_worker.calls, hp_worker.slot, op, &from, &size);
    check_made(op, p, size);
    if (op->code == OP_CALLOC || op->code == OP_CALLOC_ONE)
        check_zeroed(p, p ? size : 0);
    if (resizes && p) {
        uint64_t kept = had < size ? had : size, mine = info[op->slot].made_by;
        info[op->slot].made_by = made_by;
        uint64_t at = stamp_broken_at(p, op->slot, kept);
        info[op->slot].made_by = mine;
        if (at < kept)
            VIOLATION("%s from %llu to %llu bytes lost the content at byte %llu", kind, (unsigned long long)had,
                      (unsigned long long)size, (unsigned long long)at);
    }
    if (p)
        stamp(p, op->slot);
    hp_worker.slot[op->slot] = p;
}

static void step(const struct hp_op *op)
{
    kind = name_of[op->code];
    switch (op->code) {
    case OP_FREE: case OP_FREE_SIZED: case OP_FREE_ALIGNED_SIZED: case OP_DELETE: case OP_DELETE_SIZED:
    case OP_DELETE_ALIGNED: case OP_USABLE_SIZE: case OP_REALLOC_FREE:
        end_block(op);
        break;
    default:
        make_block(op);
    }
}

void hp_worker_verify(void)
{
    const struct hp_plan *plan = hp_worker.plan;
    const struct hp_op *drain = hp_plan_op(plan, plan->drain.first);
    uint64_t position = 0;

    info = hp_worker_map((size_t)plan->slots * sizeof *info);
    leaf_of = hp_worker_map((ADDRESS_LIMIT / GRAIN / LEAF_GRAINS) * sizeof *leaf_of);
    for (uint32_t section = 0; section < plan->sections; section++) {
        hp_plan_turn_to(section);
        const struct hp_stream s = hp_plan_stream_of(0);
        const struct hp_op *op = hp_plan_operations(&s);
        for (uint64_t i = 0; i < s.count; i++, position++)
            if (op[i].code < OP_CODE_CALLS) {
                call = position;
                step(&op[i]);
            }
    }
    for (uint64_t i = 0; i < plan->drain.count; i++) {
        call = position + i;
        step(&drain[i]);
    }
}
