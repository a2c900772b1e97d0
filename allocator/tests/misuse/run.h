/* run.h - what the misuse programs share. Each program's first comment names the text it must end with and when: `always`,
 * or `at flush` (when the batch with the block goes back to the heap; the program then calls for that itself). A program
 * that comes to the end of main exits with 0 and has not been caught. test_misuse.sh runs them.
 */
#ifndef CELL_TEST_MISUSE_H
#define CELL_TEST_MISUSE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cellmalloc.h"

/* A block with guards on both sides, so that it does not merge with anything. */
static inline void *apart(size_t size)
{
    cell_malloc(600);
    void *block = cell_malloc(size);
    cell_malloc(600);
    if (block == NULL)
        exit(3);
    memset(block, 0x11, size);
    return block;
}

/* The address, hidden from a compiler that would see through the misuse. */
static inline void *hidden(void *block)
{
    __asm__ volatile("" : "+r"(block));
    return block;
}

#endif
