/* cellmalloc.h - a general purpose allocator: small cells without headers, best fit above, lean and fast.
 *
 * Under its prefixed names (this header, libcellmalloc.a) it lives beside the C library's allocator; libcellmalloc.so also
 * defines malloc and its family and the C++ operators, for LD_PRELOAD or linking. All functions are safe in threads
 * and around fork(). Sizes are bytes. Every block is aligned to alignof(max_align_t), 16 on common machines.
 */
#ifndef CELLMALLOC_H
#define CELLMALLOC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CELLMALLOC_VERSION "0.1.0"

#if defined(__GNUC__)
#define CELL_EXPORT __attribute__((visibility("default")))
#else
#define CELL_EXPORT
#endif

/* ---- the standard family --------------------------------------------------------------------------------------
 * Semantics are glibc's. A request beyond PTRDIFF_MAX or what the system has gives NULL with errno ENOMEM. A request of
 * 0 bytes gives a unique block that can be freed. cell_free keeps errno. */
CELL_EXPORT void  *cell_malloc(size_t size);
CELL_EXPORT void  *cell_calloc(size_t count, size_t size);
CELL_EXPORT void  *cell_realloc(void *block, size_t size);     /* size 0 frees a block and gives NULL */
CELL_EXPORT void  *cell_reallocarray(void *block, size_t count, size_t size);
CELL_EXPORT void   cell_free(void *block);
CELL_EXPORT void   cell_free_sized(void *block, size_t size);
CELL_EXPORT void   cell_free_aligned_sized(void *block, size_t alignment, size_t size);

/* Alignments that are not powers of two: EINVAL. memalign rounds them up instead, as glibc does. */
CELL_EXPORT void  *cell_aligned_alloc(size_t alignment, size_t size);
CELL_EXPORT void  *cell_memalign(size_t alignment, size_t size);
CELL_EXPORT int    cell_posix_memalign(void **block, size_t alignment, size_t size);
CELL_EXPORT void  *cell_valloc(size_t size);                   /* aligned to a page */
CELL_EXPORT void  *cell_pvalloc(size_t size);                  /* the same, size rounded up to pages */

/* Bytes that may be used in a block (at least what was asked for, 0 for NULL), and in the block malloc(size) would give. */
CELL_EXPORT size_t cell_usable_size(const void *block);
CELL_EXPORT size_t cell_good_size(size_t size);

/* ---- tuning ------------------------------------------------------------------------------------------------------
 * Names, ranges and defaults: CELLMALLOC_CONF=help prints them; the environment variable CELLMALLOC_CONF="name:value,..."
 * sets them at the start of a program. */
/* 0, or -1 with errno ENOENT (no such name), ERANGE (value), EBUSY (only before the first allocation). */
CELL_EXPORT int    cell_option_set(const char *name, size_t value);
CELL_EXPORT int    cell_option_get(const char *name, size_t *value);
/* glibc's mallopt: 1 on success, 0 otherwise. M_MXFAST, M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX. */
CELL_EXPORT int    cell_mallopt(int parameter, int value);
/* Gives free memory back to the system but for `pad` bytes; 1 when there was some, else 0. */
CELL_EXPORT int    cell_trim(size_t pad);

/* ---- looking inside ------------------------------------------------------------------------------------------- */
struct cell_stats {
    size_t heap_bytes;          /* of address range in use, base to top */
    size_t resident_bytes;      /* of these, with memory behind them */
    size_t free_bytes;          /* in free chunks and free cells */
    size_t cached_bytes;        /* freed, kept by the calling thread's cache */
    size_t dirty_bytes;         /* free, with memory behind them: what cell_trim could give back, estimated */
    size_t mapped_bytes;        /* in blocks with a mapping of their own */
    size_t map_cached_bytes;    /* in mappings kept for reuse */
    size_t pool_bytes;          /* in pools of small cells */
    size_t metadata_bytes;      /* tables and caches */
    size_t footprint_bytes;     /* all memory from the system */
    uint64_t splits, merges, refills, flushes, purges, purged_bytes, populates, populated_pages, maps, unmaps, remaps;
};
CELL_EXPORT void   cell_stats_get(struct cell_stats *stats);
/* Walks the whole heap; 0 when every structure is sound, else -1 with the reason in *why (may be NULL). */
CELL_EXPORT int    cell_check(const char **why);

#ifdef __cplusplus
}
#endif

#endif
