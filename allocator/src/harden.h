/* harden.h - what `harden:2` and `count_requests:1` add to the checks that are always on.
 *
 * Caches are off then, so that every malloc and free takes the slow path in api.c, which comes here. Each block has a record
 * of the bytes asked for, sealed, and canary bytes up to it:
 *
 *        block -> | asked for | canary | record |                            a cell, a chunk, or a mapping
 *      record | mapping's header | block -> | asked for | canary | page without access     guard_min and larger
 *
 * A freed block is zeroed and waits in the quarantine; one with a guard page waits without access. With count_requests alone
 * there are records and canaries only.
 *
 * Invariants: K1 while this is on, every live block has a record: both tunables are fixed before the first block; K2 the
 * record of a block says live from the call that hands it out to the one that frees it, and dead after that.
 */
#ifndef CELL_HARDEN_H
#define CELL_HARDEN_H

#include "heap.h"
#include "tunables.h"

/* The caller of free() does not say. */
#define CELL_SIZE_UNKNOWN  SIZE_MAX

struct cell_harden_census {
    uint64_t requested_bytes, guard_blocks;
};

/* Whether the calls below replace the usual ones; known once cell_tcache_start() has been called. */
static inline bool cell_harden_is_on(void)
{
    return CELL_UNLIKELY(cell_option.count_requests != 0);
}

/* `alignment` is a power of two; `clear` zeroes the block. NULL: no memory. */
void *cell_harden_alloc(size_t size, size_t alignment, bool clear);
/* All of these end the program when the block is not live, or when its canary has changed. `size`: as free_sized has it. */
void  cell_harden_free(void *block, size_t size);
void *cell_harden_realloc(void *block, size_t size);
/* The block with its new size where it lies, or NULL. */
void *cell_harden_resize(void *block, size_t size);
/* Bytes asked for. */
size_t cell_harden_requested(const void *block);

/* Whether the record of a block of the segment says dead. */
bool  cell_harden_is_freed(const void *block, size_t usable);
/* Whether a block that a walk met is as it should be, live or freed; callable while no other thread allocates. */
bool  cell_harden_is_intact(const void *block);
void  cell_harden_count(struct cell_harden_census *census);

#endif
