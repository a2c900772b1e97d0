/* output.h - files that appear whole or not at all: written beside the name that was asked for, and given it at the end. What
 * stood there before is lost only to what takes its place. Used by the commands that write a file. */
#ifndef HP_OUTPUT_H
#define HP_OUTPUT_H

#include <stdbool.h>

struct hp_output {
    char *path;         /* to be opened and written by the caller */
    char *name;         /* where it goes in the end; NULL: path is that already (standard output, a pipe, a device) */
};

/* Creates o->path, empty. False: it cannot be written, which was printed. */
bool hp_output_begin(struct hp_output *o, const char *tool, const char *name);
/* Moves what was written to its name, or removes it. False: it cannot be moved, which was printed. */
bool hp_output_end(struct hp_output *o, const char *tool, bool keep);

#endif
