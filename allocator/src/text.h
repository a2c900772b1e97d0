/* text.h - text output without stdio and without allocation: a buffer on the caller's stack, emptied into a sink. */
#ifndef CELL_TEXT_H
#define CELL_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* 0, or the errno of what failed. */
typedef int (*cell_text_sink)(void *target, const char *text, size_t length);

struct cell_text {
    cell_text_sink sink;
    void *target;
    int error;              /* of the first write that failed; later ones are skipped */
    size_t used;
    char bytes[1000];
};

void cell_text_start(struct cell_text *text, cell_text_sink sink, void *target);
void cell_text_start_fd(struct cell_text *text, int fd);
void cell_text_add(struct cell_text *text, const char *bytes, size_t length);
void cell_text_string(struct cell_text *text, const char *string);
void cell_text_number(struct cell_text *text, uint64_t number);
/* Right-aligned in `width` columns. */
void cell_text_number_wide(struct cell_text *text, uint64_t number, size_t width);
/* Empties the buffer; 0, or the errno of the first write that failed. */
int  cell_text_finish(struct cell_text *text);

#endif
