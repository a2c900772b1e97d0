/* derive.h - traces made from traces: opening both, and keeping what is written consistent. Used by the cmd_*.c of the tools. */
#ifndef HP_DERIVE_H
#define HP_DERIVE_H

#include "cli/output.h"
#include "trace/trace.h"

/* What the command line of a tool names: one input ("-" is standard input) and the output. */
struct hp_derive_files {
    const char *in, *out;
};
/* Takes the input or "-o OUT" at argv[*i], which it moves to the last word taken; false: it is neither. */
bool hp_derive_take_file(struct hp_derive_files *files, int argc, char **argv, int *i);
/* False: one of the two is missing or both are one file, which was printed. */
bool hp_derive_has_files(const struct hp_derive_files *files, const char *tool, const char *usage);
/* False: writing `out` would destroy `in`, which was printed. */
bool hp_derive_is_apart(const char *tool, const char *in, const char *out);
/* Prints that `argument` cannot be taken, and the usage; returns HP_EXIT_USAGE. */
int  hp_derive_refuse(const char *tool, const char *argument, const char *usage);

struct hp_derive_entry {
    uint64_t id, value;         /* id 0: empty */
};

/* A hash from the ids of the input to those of the output, live blocks only. */
struct hp_derive_map {
    struct hp_derive_entry *slots;
    size_t room, count;
};
bool     hp_derive_put(struct hp_derive_map *map, uint64_t id, uint64_t value);     /* false: out of memory */
uint64_t hp_derive_get(const struct hp_derive_map *map, uint64_t id);               /* 0: not there */
uint64_t hp_derive_take(struct hp_derive_map *map, uint64_t id);                    /* and takes it out */

struct hp_derive {
    const char *tool;
    hp_writer *writer;
    struct hp_output out;
    struct hp_derive_map ids, threads;      /* input thread + 1 -> output thread + 1 */
    uint64_t next_id, first_ns;
    uint32_t thread_count, flags;
    bool failed, unwanted;      /* unwanted: what was written is not to be kept */
};

hp_reader *hp_derive_read(const char *tool, const char *path);     /* NULL: the reason was printed */
/* Opens the output with the input's times and flags and origin "derived:TOOL"; "synthetic:derived:TOOL" when the input
 * is synthetic, "synthetic:TOOL" when its origin is the bare word. */
bool hp_derive_begin(struct hp_derive *d, const char *tool, const char *path, const struct hp_meta *meta);
/* Writes an event of the input under the ids and threads of the output. An old block that was left out makes a free vanish
 * and a realloc an allocation; the first event of a thread is its start. */
void hp_derive_put_event(struct hp_derive *d, const struct hp_event *event);
/* Returns the exit code for `code` of the reader; both are closed. The output takes its name only when all went well. */
int  hp_derive_end(struct hp_derive *d, hp_reader *reader, int code);

#endif
