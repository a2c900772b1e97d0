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
#include <stdio.h>

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

/* Bytes that may be used in a block (at least what was asked for, 0 for NULL), and that malloc(size) would give at least. */
CELL_EXPORT size_t cell_usable_size(const void *block);
CELL_EXPORT size_t cell_good_size(size_t size);

/* ---- tuning ------------------------------------------------------------------------------------------------------
 * Names, ranges and defaults: CELLMALLOC_CONF=help prints them; the environment variable CELLMALLOC_CONF="name:value,..."
 * sets them at the start of a program. */
/* 0, or -1 with errno ENOENT (no such name), ERANGE (value), EBUSY (only before the first allocation). */
CELL_EXPORT int    cell_option_set(const char *name, size_t value);
CELL_EXPORT int    cell_option_get(const char *name, size_t *value);
/* glibc's mallopt: 1 on success, 0 when the value is out of range; unknown parameters are accepted, as glibc does.
 *   M_MXFAST (cache_limit, at most 160), M_MMAP_THRESHOLD, M_MMAP_MAX, M_TOP_PAD, M_TRIM_THRESHOLD (purge_min;
 *   -1: purge_share 0), M_PERTURB (perturb): set the tunable named, to its nearest allowed value.
 *   M_ARENA_MAX, M_ARENA_TEST, M_CHECK_ACTION: accepted without effect (threads share one heap; checks are always on). */
CELL_EXPORT int    cell_mallopt(int parameter, int value);
/* Gives free memory back to the system but for `pad` bytes; 1 when there was some, else 0. */
CELL_EXPORT int    cell_trim(size_t pad);

/* All memory from the system: now, at most so far, and the limit beyond which requests fail with ENOMEM. 0 for no limit; setting
 * returns the limit now in force. */
CELL_EXPORT size_t cell_footprint(void);
CELL_EXPORT size_t cell_max_footprint(void);
CELL_EXPORT size_t cell_footprint_limit(void);
CELL_EXPORT size_t cell_set_footprint_limit(size_t bytes);

/* ---- several blocks at once, and resizing where a block lies (dlmalloc's) -----------------------------------------------
 * independent_*: `count` blocks that lie side by side and are freed one by one; calloc's are zeroed and `size` bytes each,
 * comalloc's have the size at their place in `sizes`. Their addresses go to `blocks`, which is returned, or, when that is
 * NULL, to an array of the heap's that is to be freed too (also for a count of 0). NULL and ENOMEM: none was made. With
 * harden:2 and count_requests:1 they do not lie side by side. */
CELL_EXPORT void **cell_independent_calloc(size_t count, size_t size, void **blocks);
CELL_EXPORT void **cell_independent_comalloc(size_t count, const size_t *sizes, void **blocks);
/* Frees the blocks (NULL is skipped) and sets the array to NULL; returns how many could not be freed: always 0. */
CELL_EXPORT size_t cell_bulk_free(void **blocks, size_t count);
/* The block itself, with room for `size` bytes (0 does not free it), or NULL and ENOMEM when it cannot have them without
 * moving: it is then left as it was. A NULL block gives NULL. What shrinks gives back what it can do without: a chunk its
 * tail, a mapped block its pages. A chunk does not grow to mmap_threshold and beyond; with harden:2 and count_requests:1 a
 * block grows within its rounding alone. What has been resized here is no longer to be freed by its size, unless that is
 * cell_usable_size(). */
CELL_EXPORT void  *cell_realloc_in_place(void *block, size_t size);

/* ---- separate heaps (dlmalloc's mspaces) ------------------------------------------------------------------------------
 * Each has its own memory, lock and structures, and no thread caches. `capacity` bounds its footprint in bytes, 0 does not.
 * A block belongs to the heap that made it and to no other function than these. destroy gives all of it back at once. */
struct cell_heap;
CELL_EXPORT struct cell_heap *cell_heap_create(size_t capacity);        /* NULL, ENOMEM: no address space */
CELL_EXPORT void   cell_heap_destroy(struct cell_heap *heap);           /* NULL: nothing happens */
CELL_EXPORT void  *cell_heap_malloc(struct cell_heap *heap, size_t size);
CELL_EXPORT void  *cell_heap_calloc(struct cell_heap *heap, size_t count, size_t size);
CELL_EXPORT void  *cell_heap_realloc(struct cell_heap *heap, void *block, size_t size);
CELL_EXPORT void  *cell_heap_memalign(struct cell_heap *heap, size_t alignment, size_t size);
CELL_EXPORT void   cell_heap_free(struct cell_heap *heap, void *block);
CELL_EXPORT size_t cell_heap_usable_size(struct cell_heap *heap, const void *block);

/* ---- looking inside ---------------------------------------------------------------------------------------------------
 * Where a heap is an argument, NULL means the one behind malloc. The bytes a program asked for are known only with
 * harden:2 or count_requests:1. Blocks in other threads' caches and in the depot count as live. */
#define CELL_NOT_COUNTED UINT64_MAX
struct cell_stats {
    uint64_t heap_bytes;          /* of address range in use, base to top */
    uint64_t resident_bytes;      /* of these, with memory behind them */
    uint64_t live_blocks;         /* handed out, mapped ones included */
    uint64_t live_bytes;          /* usable bytes of these */
    uint64_t requested_bytes;     /* asked for by live blocks; CELL_NOT_COUNTED */
    uint64_t overhead_bytes;      /* header words of live chunks, rests of pools */
    uint64_t free_chunks;         /* between base and top */
    uint64_t free_chunk_bytes;
    uint64_t free_cells;          /* of pools, those never carved included */
    uint64_t free_cell_bytes;
    uint64_t free_bytes;          /* in free chunks and free cells */
    uint64_t largest_free_bytes;  /* largest free chunk: what external fragmentation leaves */
    uint64_t cached_blocks;       /* freed, kept by the calling thread's cache */
    uint64_t cached_bytes;
    uint64_t depot_bytes;         /* freed, waiting for any thread */
    uint64_t quarantine_blocks;   /* harden:2: freed, waiting to be checked */
    uint64_t quarantine_bytes;
    uint64_t guard_blocks;        /* harden:2: live, ending at a page without access */
    uint64_t dirty_bytes;         /* free, with memory behind them: what cell_trim could give back, estimated */
    uint64_t top_bytes;           /* above the last chunk, with memory behind them */
    uint64_t mapped_blocks;       /* with a mapping of their own */
    uint64_t mapped_bytes;
    uint64_t map_cached_bytes;    /* in mappings kept for reuse */
    uint64_t pool_bytes;          /* in pools of small cells */
    uint64_t pool_live_bytes;     /* of live_bytes: in cells, in chunks, in mappings */
    uint64_t chunk_live_bytes;
    uint64_t mapped_live_bytes;
    uint64_t metadata_bytes;      /* tables and caches */
    uint64_t cache_metadata_bytes;/* of these, the caches */
    uint64_t footprint_bytes;     /* all memory from the system */
    uint64_t footprint_peak_bytes;/* the largest so far; with several arenas the sum of theirs */
    uint64_t arenas;              /* heaps that share the blocks of the process: all figures are of all */
    /* Events since the start; refills and flushes of the calling thread's cache. */
    uint64_t splits, merges, pool_adds, pool_removes, grows, refills, flushes, purges, purged_bytes, populates;
    uint64_t populated_pages, faults_avoided, maps, unmaps, remaps, map_reuses;
};
CELL_EXPORT void   cell_stats_get(struct cell_stats *stats);
CELL_EXPORT void   cell_heap_stats(struct cell_heap *heap, struct cell_stats *stats);
/* The same as text and as one JSON object, written to a file descriptor without allocating. 0, or -1 with errno. */
CELL_EXPORT int    cell_stats_text(int fd);
CELL_EXPORT int    cell_stats_json(int fd);
/* Walks the whole heap; 0 when every structure is sound, else -1 with the reason in *why (may be NULL). */
CELL_EXPORT int    cell_check(const char **why);
CELL_EXPORT int    cell_heap_check(struct cell_heap *heap, const char **why);

/* The heap walk visits everything between base and top in the order of addresses, then the mapped blocks, and the same of each
 * further arena. A pool comes before its cells. Cached ones are told from live ones by their contents, reliably while no other thread allocates. */
enum cell_kind {
    CELL_KIND_CHUNK,            /* live, with its header word */
    CELL_KIND_CHUNK_CACHED,     /* freed, in a thread's cache */
    CELL_KIND_CHUNK_FREE,
    CELL_KIND_POOL,             /* a page of cells, with its header word */
    CELL_KIND_CELL,
    CELL_KIND_CELL_CACHED,
    CELL_KIND_CELL_FREE,
    CELL_KIND_TOP,              /* behind the last chunk, as far as it has memory */
    CELL_KIND_MAPPED,
    CELL_KIND_MAPPED_CACHED,    /* a mapping kept for reuse, or with its block in quarantine */
    CELL_KIND_COUNT
};
struct cell_block {
    const void *start;          /* of the extent: for a chunk, its header word */
    size_t size;                /* of the extent: these add up */
    const void *block;          /* what malloc returned, or would return */
    size_t usable;
    enum cell_kind kind;
};
CELL_EXPORT const char *cell_kind_name(enum cell_kind kind);
/* Returns 0, or what `visit` returned when it was not 0, which ends the walk. `visit` must not call the allocator. */
CELL_EXPORT int    cell_heap_walk(struct cell_heap *heap, int (*visit)(void *context, const struct cell_block *),
                                  void *context);
/* The heap as JSON: {"version", "base", "page", "stats", "blocks": [[kind, offset, size], ...]}, offsets from base. The heap is locked
 * while it is written: where `fd` is a pipe, its reader must not wait for this heap. */
CELL_EXPORT int    cell_dump_json(int fd);
/* dlmalloc's: chunks and cells, not mapped blocks; `used` is 0 for free ones. */
CELL_EXPORT void   cell_inspect_all(void (*handler)(void *start, void *end, size_t used, void *argument), void *argument);

/* glibc's: cell_malloc_info writes XML in the shape of glibc's (options other than 0: EINVAL), cell_malloc_stats text to
 * stderr. mallinfo, mallinfo2: see malloc(3); libcellmalloc.so defines them, and the two functions here, by those names. */
CELL_EXPORT int    cell_malloc_info(int options, FILE *stream);
CELL_EXPORT void   cell_malloc_stats(void);

#ifdef __cplusplus
}
#endif

#endif
