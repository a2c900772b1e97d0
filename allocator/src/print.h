/* print.h - the figures of stats.h and the heap's blocks, as text, JSON and glibc's XML. */
#ifndef CELL_PRINT_H
#define CELL_PRINT_H

#include "stats.h"
#include "text.h"

void cell_print_text(struct cell_text *text, const struct cell_census *census);
void cell_print_json(struct cell_text *text, const struct cell_census *census);
void cell_print_xml(struct cell_text *text, const struct cell_census *census);
/* The object of cell_dump_json. */
void cell_print_dump(struct cell_text *text);

#endif
