/* compile_file.h - the file that a plan is written to, section by section. Owned and called by compile.c.
 *
 * It begins in memory (memfd). When the plan outgrows `memory_bytes` it moves to an unlinked file in `directory`, and what
 * has been written is dropped from the page cache, so that a long trace's plan takes disk and nothing else. */
#ifndef HP_COMPILE_FILE_H
#define HP_COMPILE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "engine/plan.h"

struct hp_plan_file {
    int         fd;
    bool        on_disk;
    uint64_t    memory_bytes;           /* 0: no limit */
    const char *directory;
    uint64_t    offset;                 /* of what comes next, page-aligned */
    uint64_t    dropped;                /* below it nothing is left in the page cache */
    struct hp_section *section;
    size_t      sections, section_room;
    struct hp_stream  *stream;
    size_t      streams, stream_room;
    char       *error;                  /* of the caller: a sentence when a function returns false */
    size_t      error_size;
};

bool hp_plan_file_open(struct hp_plan_file *f, uint64_t memory_bytes, const char *directory, char *error,
                       size_t error_size);
void hp_plan_file_release(struct hp_plan_file *f);      /* all but fd */

/* A section is its streams in the order of threads, then the participants of its epochs. `s->first` is the caller's. */
bool hp_plan_file_begin_section(struct hp_plan_file *f);
bool hp_plan_file_add_stream(struct hp_plan_file *f, const struct hp_op *op, struct hp_stream s);
bool hp_plan_file_end_section(struct hp_plan_file *f, const uint32_t *participants, uint64_t epochs);
/* Sets `hi` of an operation in a section that has been written. */
bool hp_plan_file_patch(struct hp_plan_file *f, uint32_t section, uint32_t thread, uint32_t position, uint16_t hi);

/* Last of all: the drain, the tables, the head. Fills what the head says of them. */
bool hp_plan_file_add_drain(struct hp_plan_file *f, struct hp_plan *plan, const struct hp_op *op, size_t count);
bool hp_plan_file_finish(struct hp_plan_file *f, struct hp_plan *plan);

#endif
