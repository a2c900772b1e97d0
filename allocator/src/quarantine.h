/* quarantine.h - freed blocks that wait, first in, first out, before their memory is used again (`harden:2`).
 *
 *      ring: | - | oldest | ... | youngest | - |       quarantine_blocks entries, mapped when the first block comes
 *
 * A block of the heap was zeroed when it came; when it leaves it must still be zero. A mapping waits without access and is
 * unmapped. Has a lock of its own, which is taken before those of heaps and never held with one.
 *
 * Invariants: Q1 at most quarantine_blocks wait, and at most quarantine_bytes of memory; Q2 the chain of a bucket holds
 * exactly the waiting mappings whose block's address falls to it.
 */
#ifndef CELL_QUARANTINE_H
#define CELL_QUARANTINE_H

#include "heap.h"

/* A block of the heap of which `size` bytes are zero. */
void cell_quarantine_add(void *block, size_t size);
/* A block in a mapping without access, which no longer belongs to the heap. */
void cell_quarantine_add_unmapped(void *block, struct cell_extent mapping);
bool cell_quarantine_has_unmapped(const void *block);
/* Lets all go. */
void cell_quarantine_empty(void);
/* Whether every block of the heap that waits is still zero. */
bool cell_quarantine_is_intact(void);
/* How many wait, and their bytes of memory. */
void cell_quarantine_count(uint64_t *blocks, uint64_t *bytes);

/* Around fork(), as in heap.h. */
void cell_quarantine_lock(void);
void cell_quarantine_unlock(void);
void cell_quarantine_reset_lock(void);

#endif
