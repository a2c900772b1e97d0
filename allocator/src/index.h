/* index.h - the free chunks of a heap: by size in bins or fit, and by age in the list of those worth purging.
 *
 * Called by space.c and heap.c with the heap's lock held. When pages go back to the system is decided here: when many
 * lie free, and when growing would set a new peak; oldest first, and not again what was wanted back at once.
 */
#ifndef CELL_INDEX_H
#define CELL_INDEX_H

#include "heap.h"

/* A chunk of `size` whose header says free; `dirty_bytes` of it are resident, as far as that is known. */
void cell_index_insert(struct cell_heap *heap, struct cell_chunk *c, size_t size, size_t dirty_bytes);
/* Takes it out again; returns its resident bytes, as far as they are known. */
size_t cell_index_remove(struct cell_heap *heap, struct cell_chunk *c);

/* Gives pages of free chunks back, oldest first, then of the top, until at most `limit` dirty bytes are left. */
void cell_index_purge_down_to(struct cell_heap *heap, size_t limit) __attribute__((noinline));
/* Gives back the pages of all free chunks, those too that were not worth it one by one; not of the top. Those of which less than
 * `dirty_bytes` are known to be resident stay as they are. */
void cell_index_purge_all(struct cell_heap *heap, size_t dirty_bytes) __attribute__((cold));
/* Gives pages of the top back, all but those of its first `keep` bytes. */
void cell_index_purge_top(struct cell_heap *heap, size_t keep);
/* After a free: when what lies free exceeds purge_share of the peak. */
void cell_index_purge_if_much(struct cell_heap *heap);
/* Before `bytes` more become resident: a new peak is worth giving the oldest free pages back first; `keep` dirty bytes stay, and
 * the share of keep_share. */
void cell_index_purge_before_growth(struct cell_heap *heap, size_t bytes, size_t keep);

#endif
