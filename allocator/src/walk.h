/* walk.h - visits every block of a heap, for statistics and dumps.
 *
 *      base                                                                top
 *       | chunk | chunk |        pool         | free chunk | chunk |        | ... mapped blocks, kept mappings
 *                        [cell][cell][free]...
 */
#ifndef CELL_WALK_H
#define CELL_WALK_H

#include "cellmalloc.h"
#include "heap.h"

typedef int (*cell_walk_visit)(void *context, const struct cell_block *block);

/* Lock held. Reads no byte of a live block, so that cached blocks count as live. Returns what ended it, or 0. */
int cell_walk_locked(struct cell_heap *heap, cell_walk_visit visit, void *context);

#endif
