/* freed.h - stacks of freed blocks: what a cell or a cached chunk holds while it waits to be handed out again.
 *
 *        block -> | address of the next one, mangled | tag of that word, this address and a secret | old contents ...
 *
 * Invariants: R1 the tag is right exactly while the block is freed (a program's data match by chance once in 2^64, copies of
 * old memory never, since they lie elsewhere), so that a second free and a write after free both show; R2 taking a block
 * off destroys its tag, and so does whatever else hands out memory that may have held one.
 */
#ifndef CELL_FREED_H
#define CELL_FREED_H

#include <stddef.h>
#include <stdint.h>

#include "assert.h"

struct cell_freed {
    uintptr_t next, tag;
};

/* Secrets of the process: [0] mangles links, [1] makes tags. Set once before the first block exists. */
extern uintptr_t cell_freed_secret[2];

/* What link and tag of a freed block come to; once for a look and a push, since the compiler must reload the secret. */
static inline uintptr_t cell_freed_mark(const void *block)
{
    return (uintptr_t)block ^ cell_freed_secret[1];
}

static inline int cell_freed_has_mark(const struct cell_freed *block, uintptr_t mark)
{
    return (block->next ^ block->tag) == mark;
}

static inline int cell_freed_is_tagged(const struct cell_freed *block)
{
    return cell_freed_has_mark(block, cell_freed_mark(block));
}

static inline void cell_freed_untag(void *block)
{
#ifdef CELL_UNCHECKED
    (void)block;
#else
    ((struct cell_freed *)block)->tag = 0;
#endif
}

static inline void cell_freed_set_next_marked(struct cell_freed *block, struct cell_freed *next, uintptr_t mark)
{
    uintptr_t mangled = (uintptr_t)next ^ cell_freed_secret[0];

    block->next = mangled;
#ifdef CELL_UNCHECKED
    (void)mark;
#else
    block->tag = mangled ^ mark;
#endif
}

static inline void cell_freed_set_next(struct cell_freed *block, struct cell_freed *next)
{
    cell_freed_set_next_marked(block, next, cell_freed_mark(block));
}

/* The block below `block`; ends the program when the block was written to after its free. */
static inline struct cell_freed *cell_freed_next(const struct cell_freed *block)
{
    CELL_CHECK(cell_freed_is_tagged(block), CELL_FATAL_FREE_LIST);
    return (struct cell_freed *)(block->next ^ cell_freed_secret[0]);
}

static inline void cell_freed_push(struct cell_freed **stack, struct cell_freed *block)
{
    cell_freed_set_next(block, *stack);
    *stack = block;
}

/* The stack must not be empty. */
static inline struct cell_freed *cell_freed_pop(struct cell_freed **stack)
{
    struct cell_freed *block = *stack;

    *stack = cell_freed_next(block);
    __builtin_prefetch(*stack);         /* the next pop reads it */
    cell_freed_untag(block);
    return block;
}

#endif
