/* api.h - what the files of the public functions (api*.c) share. */
#ifndef CELL_API_H
#define CELL_API_H

#include "heap.h"

/* errno from glibc's manual: the block, or NULL with ENOMEM. */
void *cell_api_or_enomem(void *block);
/* -1 with errno. */
int   cell_api_fail(int error);
/* After an option has been set: for the calling thread it holds from here on. */
void  cell_api_follow_options(void);
/* malloc after cell_tcache_alloc() has found nothing. */
void *cell_api_malloc_beyond(size_t size) __attribute__((noinline));
/* The block itself with its new size, or as much of it as its kind allows; NULL: it would have to move. */
void *cell_api_resize_in_place(struct cell_heap *heap, void *block, size_t size) __attribute__((cold));
/* A block of `usable` bytes that is to have `size`, not more, where there is no memory to move it to: it stays, less what can be cut off.
 * Sized frees are no longer told by their size then. */
void *cell_api_keep(struct cell_heap *heap, void *block, size_t usable, size_t size) __attribute__((cold));
/* Zeroes what is not known to be zero in a fresh block. */
void *cell_api_clear(void *block, size_t bytes, struct cell_zero_run zero);
/* delete with a size: checked when harden.c is on. A program may name the size of a base class without a virtual destructor,
 * which is wrong and works elsewhere; so nothing is checked otherwise. */
void cell_api_delete_sized(void *block, size_t size);
/* The power of two that memalign takes for an alignment; 0: it is too large. */
size_t cell_api_round_alignment(size_t alignment);

/* Around fork(): the list of separate heaps, and their locks. */
void cell_api_heaps_lock(void);
void cell_api_heaps_unlock(void);
void cell_api_heaps_reset_lock(void);

#endif
