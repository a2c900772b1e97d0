/* compile.h - from a trace to a plan (engine/plan.h): dense slots, one stream per thread, ordering only where a block
 * crosses threads. Called by the commands that replay; the plan is the only thing the worker sees of a trace. */
#ifndef HP_COMPILE_H
#define HP_COMPILE_H

#include <stddef.h>
#include <stdint.h>
#include "engine/plan.h"
#include "trace/trace.h"

struct hp_compile_options {
    int      serial;            /* one stream in recorded order */
    int64_t  window;            /* epoch length in calls; 0: no limit to how far threads may run ahead; -1: chosen */
    double   pace;              /* 0: flat out; k: the recorded times divided by k */
    int      touch_recorded;    /* the plan says of each block how much of it was resident when it was freed */
    uint64_t idle_limit_ns;     /* with pace: a gap longer than this is cut to it; 0: none */
    uint64_t memory_bytes;      /* that compiling and replaying may take for the plan; 0: no limit */
    const char *directory;      /* with memory_bytes: where a plan goes that is too large for that */
};

struct hp_compiled {
    int             fd;         /* memfd or unlinked file, inherited by workers */
    struct hp_plan *plan;       /* mapped read-only, the whole plan; reading operations of one on disk brings them to memory */
    uint64_t        operations; /* events of the trace other than thread start and end */
    uint64_t        failed;     /* recorded allocations that failed: not replayed */
    uint64_t        by_kind[HP_KIND_COUNT];
    uint32_t        recorded_threads;
    char           *command, *origin;
    uint32_t        sample;     /* one object of so many is in the trace; 0: all */
    int             cut_off;    /* the trace ended early; what was there is compiled */
    double          compile_s;  /* wall time that it took */
};

/* Returns 0, or a negative hp_error with a sentence in error: HP_E_NO_ROOM when memory or the directory has no place for the
 * plan, else it is the trace's fault. */
int  hp_compile_file(const char *path, const struct hp_compile_options *options, struct hp_compiled *out,
                     char *error, size_t error_size);
void hp_compile_release(struct hp_compiled *c);

#endif
