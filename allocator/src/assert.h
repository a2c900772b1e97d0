/* assert.h - three levels of assertion, by cost.
 *
 *   CELL_CHECK(cond, kind)   always on: guards against misuse by the program; ends in cell_fatal(kind)
 *   CELL_MISUSED(cond)       the same where the caller ends it: true when the program has made `cond` true
 *   CELL_ASSERT(cond)        on unless NDEBUG: our own invariants, constant time
 *   CELL_ASSERT_SLOW(cond)   on with CELL_PARANOID: our own invariants, any cost
 *
 * CELL_UNCHECKED leaves CELL_CHECK, the seals of headers and the tags of freed blocks out: `make checks-cost` measures what they
 * cost by such a build. It is good for nothing else: heap walks and harden:2 need them.
 */
#ifndef CELL_ASSERT_H
#define CELL_ASSERT_H

#include "fatal.h"

#define CELL_LIKELY(x)   __builtin_expect(!!(x), 1)
#define CELL_UNLIKELY(x) __builtin_expect(!!(x), 0)

#ifdef CELL_UNCHECKED
#define CELL_CHECK(cond, kind) ((void)sizeof(cond), (void)sizeof(kind))
#define CELL_MISUSED(cond)     ((void)sizeof(cond), 0)
#else
#define CELL_MISUSED(cond)     CELL_UNLIKELY(cond)
#define CELL_CHECK(cond, kind) \
    do { if (CELL_UNLIKELY(!(cond))) cell_fatal(kind); } while (0)
#endif

#ifdef NDEBUG
#define CELL_ASSERT(cond) ((void)0)
#else
#define CELL_ASSERT(cond) CELL_CHECK(cond, CELL_FATAL_INVARIANT)
#endif

#ifdef CELL_PARANOID
#define CELL_ASSERT_SLOW(cond) CELL_CHECK(cond, CELL_FATAL_INVARIANT)
#else
#define CELL_ASSERT_SLOW(cond) ((void)0)
#endif

#endif
