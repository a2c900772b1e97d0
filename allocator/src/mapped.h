/* mapped.h - blocks with a mapping of their own: from mmap_threshold on, and when the heap's range is used up.
 *
 *        start -> | ... | link | start | size | populated end | - | header word | user bytes ... | <- page end
 *
 * Called by heap.c, without the heap's lock unless said; system calls are made outside of it.
 */
#ifndef CELL_MAPPED_H
#define CELL_MAPPED_H

#include "heap.h"

/* zero == NULL: what the block holds does not matter. */
void *cell_mapped_alloc(struct cell_heap *heap, size_t request, size_t alignment, struct cell_zero_run *zero);
void  cell_mapped_free(struct cell_heap *heap, void *block);
/* Grown or shrunk by the system, perhaps moved; NULL when it would no longer deserve a mapping, or is refused. */
void *cell_mapped_resize(struct cell_heap *heap, void *block, size_t request);
/* The same without moving, down to a page; NULL: what lies behind it is taken, or a limit is reached. */
void *cell_mapped_resize_in_place(struct cell_heap *heap, void *block, size_t request);
size_t cell_mapped_usable(const void *block);
/* What is usable of a block that is mapped for `request` bytes. */
size_t cell_mapped_good_size(size_t request);

/* A mapping that the caller has made, with `guard` bytes without access behind `size`, becomes the heap's, with the block
 * that lies in it; false: a limit is reached. And back. */
bool  cell_mapped_adopt(struct cell_heap *heap, void *block, char *start, size_t size, size_t guard) __attribute__((cold));
struct cell_extent cell_mapped_disown(struct cell_heap *heap, void *block) __attribute__((cold));
/* Bytes without access behind a block. */
size_t cell_mapped_guard(const void *block);
/* Requests from here on are mapped. */
size_t cell_mapped_threshold(const struct cell_heap *heap);

void cell_mapped_unmap_all(const struct cell_extents *extents);

#endif
