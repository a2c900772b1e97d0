/* chunk.h - the header word and the boundary tag; nobody else touches their bits.
 *
 *       chunk -> +---------------------------------------------+
 *                | size of the previous chunk, if that is free | <- the previous chunk's last word while it is in use
 *                +---------------------------------------------+
 *                | header word: size | status bits | seal      | <- the hidden word before every block
 *        user -> +---------------------------------------------+
 *                | in use: the program's bytes                 |
 *                | free:   links of a bin or of the fit index  |
 *                |                                             |
 *        next -> +---------------------------------------------+
 *                | in use: the program's last word             |
 *                | free:   size of this chunk (footer)         |
 *                +---------------------------------------------+
 *
 * Invariants
 *   C1  A chunk's size is a multiple of CELL_ALIGN and at least CELL_CHUNK_MIN; user addresses are multiples of CELL_ALIGN.
 *   C2  No two neighbouring chunks are both free, and none that borders on the top is free.
 *   C3  The footer holds the size exactly while the chunk is free; then the next chunk's PREV_INUSE is clear.
 *   C4  On 64-bit machines the header's upper 16 bits are a seal over address, size and CELL_INUSE, so that an overflow shows.
 *   C5  Header words are written under the heap's lock only; the owner of a block may read its own without it (relaxed),
 *       since a neighbour can flip nothing but PREV_INUSE.
 */
#ifndef CELL_CHUNK_H
#define CELL_CHUNK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "assert.h"

#define CELL_ALIGN       16u
#define CELL_WORD        sizeof(size_t)
#define CELL_PAGE_SHIFT  12
#define CELL_PAGE        ((size_t)1 << CELL_PAGE_SHIFT)

/* Links of a circular doubly linked list; the list's head is such a link itself. */
struct cell_link {
    struct cell_link *next, *prev;
};

struct cell_chunk {
    size_t prev_size;
    size_t head;
    struct cell_link link;      /* only while free */
};

#define CELL_CHUNK_USER  offsetof(struct cell_chunk, link)
/* From an aligned address to the first chunk there whose user address is aligned: 0 where two words make a CELL_ALIGN. */
#define CELL_CHUNK_FIRST (-CELL_CHUNK_USER & (CELL_ALIGN - 1))
#define CELL_CHUNK_MIN   ((4 * sizeof(size_t) + CELL_ALIGN - 1) & ~(size_t)(CELL_ALIGN - 1))

#define CELL_INUSE       ((size_t)1)
#define CELL_PREV_INUSE  ((size_t)2)
#define CELL_MAPPED      ((size_t)4)
#define CELL_STATUS      ((size_t)15)

#if SIZE_MAX > UINT32_MAX
#define CELL_SEAL_SHIFT  48
#define CELL_SIZE_MASK   ((((size_t)1 << CELL_SEAL_SHIFT) - 1) & ~CELL_STATUS)
#else
#define CELL_SIZE_MASK   (~CELL_STATUS)
#endif

_Static_assert(CELL_ALIGN >= _Alignof(max_align_t), "blocks must suit any object");
_Static_assert(CELL_CHUNK_USER == 2 * sizeof(size_t), "the header is the word before the block");

/* Secret of the process, set once before the first chunk exists. */
extern uint64_t cell_chunk_secret;

/* `inuse` is CELL_INUSE or 0: no seal of a free chunk is that of one in use. */
static inline size_t cell_chunk_seal(const struct cell_chunk *c, size_t size, size_t inuse)
{
#if SIZE_MAX > UINT32_MAX && !defined CELL_UNCHECKED
    uint64_t mixed = ((uintptr_t)c ^ size ^ inuse ^ CELL_INUSE ^ cell_chunk_secret) * UINT64_C(0x9E3779B97F4A7C15);
    return mixed >> CELL_SEAL_SHIFT << CELL_SEAL_SHIFT;
#else
    (void)c;
    (void)size;
    (void)inuse;
    return 0;
#endif
}

static inline struct cell_chunk *cell_chunk_of_user(const void *user)
{
    return (struct cell_chunk *)((uintptr_t)user - CELL_CHUNK_USER);
}

static inline void *cell_chunk_user(struct cell_chunk *c)
{
    return (char *)c + CELL_CHUNK_USER;
}

static inline size_t cell_chunk_head(const struct cell_chunk *c)
{
    return __atomic_load_n(&c->head, __ATOMIC_RELAXED);
}

static inline size_t cell_chunk_size(const struct cell_chunk *c)
{
    return cell_chunk_head(c) & CELL_SIZE_MASK;
}

static inline bool cell_chunk_is_inuse(const struct cell_chunk *c)
{
    return (cell_chunk_head(c) & CELL_INUSE) != 0;
}

static inline bool cell_chunk_is_prev_inuse(const struct cell_chunk *c)
{
    return (cell_chunk_head(c) & CELL_PREV_INUSE) != 0;
}

static inline bool cell_chunk_is_mapped(const struct cell_chunk *c)
{
    return (cell_chunk_head(c) & CELL_MAPPED) != 0;
}

/* Size and seal agree, and the size is one that a chunk can have. */
static inline bool cell_chunk_is_sealed(const struct cell_chunk *c)
{
    size_t head = cell_chunk_head(c);
    size_t size = head & CELL_SIZE_MASK;

    return size >= CELL_CHUNK_MIN &&
           (head & ~(CELL_SIZE_MASK | CELL_STATUS)) == cell_chunk_seal(c, size, head & CELL_INUSE);
}

/* The same for a head that has been read, of a chunk in use. None in use is sealed with a size that is too small. */
static inline bool cell_chunk_is_sealed_inuse(const struct cell_chunk *c, size_t head)
{
#if SIZE_MAX > UINT32_MAX && !defined CELL_UNCHECKED
    return ((head ^ cell_chunk_seal(c, head & CELL_SIZE_MASK, CELL_INUSE)) >> CELL_SEAL_SHIFT) == 0;
#else
    (void)c;        /* no room for a seal in 32 bits */
    return (head & CELL_SIZE_MASK) >= CELL_CHUNK_MIN && (head & CELL_INUSE) != 0;
#endif
}

static inline void cell_chunk_set(struct cell_chunk *c, size_t size, size_t status)
{
    __atomic_store_n(&c->head, size | status | cell_chunk_seal(c, size, status & CELL_INUSE), __ATOMIC_RELAXED);
}

/* The header of a chunk that has been merged away: sealed with size 0, so that a second free of it is told apart. */
static inline void cell_chunk_erase(struct cell_chunk *c)
{
    __atomic_store_n(&c->head, cell_chunk_seal(c, 0, 0), __ATOMIC_RELAXED);
}

static inline bool cell_chunk_is_erased(const struct cell_chunk *c)
{
    return cell_chunk_head(c) == cell_chunk_seal(c, 0, 0);
}

static inline struct cell_chunk *cell_chunk_at(struct cell_chunk *c, size_t offset)
{
    return (struct cell_chunk *)((char *)c + offset);
}

static inline struct cell_chunk *cell_chunk_next(struct cell_chunk *c)
{
    return cell_chunk_at(c, cell_chunk_size(c));
}

/* Only when the previous chunk is free. */
static inline struct cell_chunk *cell_chunk_prev(struct cell_chunk *c)
{
    return (struct cell_chunk *)((char *)c - c->prev_size);
}

static inline void cell_chunk_set_footer(struct cell_chunk *c, size_t size)
{
    cell_chunk_at(c, size)->prev_size = size;
}

static inline void cell_chunk_set_prev_inuse(struct cell_chunk *c)
{
    __atomic_store_n(&c->head, cell_chunk_head(c) | CELL_PREV_INUSE, __ATOMIC_RELAXED);
}

static inline void cell_chunk_clear_prev_inuse(struct cell_chunk *c)
{
    __atomic_store_n(&c->head, cell_chunk_head(c) & ~CELL_PREV_INUSE, __ATOMIC_RELAXED);
}

/* Bytes a program may use in a chunk of the heap: it lends the next chunk's first word. */
static inline size_t cell_chunk_usable(const struct cell_chunk *c)
{
    return cell_chunk_size(c) - CELL_WORD;
}

#endif
