/* objects.h - a sample of a trace's objects with every call on each, by the phase of the trace in which they begin.
 *
 * An object begins with a call that names no earlier block: an allocation, one that fails, a free of NULL. The calls on its
 * block follow (realloc, malloc_usable_size), up to its free. Phases are equal shares of the operations. Memory is
 * bounded by the sample, however long the trace is. Owned by cmd_fit.c. */
#ifndef HP_OBJECTS_H
#define HP_OBJECTS_H

#include "trace/trace.h"

#define HP_PHASES_MAX     128u
#define HP_PHASE_OBJECTS  4096u         /* of one phase, at most */
#define HP_OBJECT_CALLS   4096u         /* of one object; what is between them and its free is left out */

struct hp_object_call {
    uint64_t size, count, wait;         /* wait: operations since the call before it on this object */
    uint32_t thread;
    uint8_t kind, align_class;          /* align_class: 0 none, else 1 + log2 of the alignment */
    bool made;                          /* it returned a block */
};

struct hp_object {
    struct hp_object_call *calls;
    uint32_t count, room, generation;   /* generation: objects that held this place before */
    uint64_t last;                      /* operation of its newest call */
};

struct hp_phase {
    struct hp_object *objects;
    uint32_t count;
    uint64_t begun;                     /* objects that began in it, kept or not */
};

struct hp_objects {
    struct hp_phase phases[HP_PHASES_MAX];
    uint32_t phase_count;
    uint64_t operations;                /* of the whole trace */
    uint64_t random;
};

/* Reads the trace twice, so path is a file. False: the reason was printed. Free it in either case. */
bool     hp_objects_learn(struct hp_objects *objects, const char *tool, const char *path);
void     hp_objects_free(struct hp_objects *objects);
uint64_t hp_objects_random(struct hp_objects *objects, uint64_t below);

#endif
