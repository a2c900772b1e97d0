/* analyze.h - what a trace is like: counts, sizes, lifetimes, live bytes over time, bounds of footprint. */
#ifndef HP_ANALYZE_H
#define HP_ANALYZE_H

#include "trace/trace.h"

#define HP_CURVE_POINTS 200u
#define HP_COMMON_SIZES 10u
#define HP_COMMON_BELOW 65536u          /* sizes from here on are not counted one by one */
#define HP_CLASSES      65u             /* class 0: zero; class c: 2^(c-1) to 2^c - 1 */

struct hp_bounds {                      /* bytes that live blocks need at least, under five ways of keeping them */
    uint64_t requested;
    uint64_t rounded_16;                /* each rounded up to 16 */
    uint64_t header;                    /* round16(size + 8), at least 32: a header word before each */
    uint64_t cells;                     /* rounded_16 up to 64 bytes (no header in a pool), header above */
    uint64_t below_page, own_pages;     /* rounded_16 of those below 4 KiB; others rounded up to whole pages */
};
uint64_t hp_bounds_pages(const struct hp_bounds *bounds);      /* pages of 4 KiB touched, small blocks packed, in bytes */

struct hp_common {
    uint64_t size, count;
};

struct hp_point {
    uint64_t operation, time_ns, live_bytes, live_blocks;
};

struct hp_analysis {
    uint64_t operations;                /* events but thread_start and thread_end */
    uint64_t by_kind[HP_KIND_COUNT];
    uint64_t allocations, frees, failed, null_frees, never_freed, requested_bytes;
    uint64_t peak_live_bytes, peak_live_blocks, peak_operation;
    uint64_t cross_thread_frees;
    uint64_t reallocs_moved, realloc_chains, longest_chain;     /* a chain: one block through one or more reallocs */
    uint64_t size_count[HP_CLASSES], size_bytes[HP_CLASSES];
    uint64_t size_live[HP_CLASSES], size_most_live[HP_CLASSES]; /* blocks: at the end, and at most at one time */
    uint64_t lifetime_count[HP_CLASSES];                        /* in operations */
    struct hp_common common[HP_COMMON_SIZES];                   /* the most frequent sizes, most frequent first; count 0: none */
    uint64_t resident_of, resident;     /* HP_HAS_RESIDENT: bytes of blocks that were freed, and what of them was resident */
    struct hp_bounds now, at_peak;
    struct hp_point curve[HP_CURVE_POINTS];
    uint32_t curve_points, threads;
    uint64_t curve_step;
    uint64_t duration_ns;
    char     text[512];
};

/* 0, or the hp_error that ended the reading: what was read until then is in the result. */
int hp_analyze(hp_reader *reader, struct hp_analysis *result);
unsigned hp_class_of(uint64_t v);

#endif
