/* text.c - digits and buffer of text.h. */
#include "text.h"

#include <string.h>

#include "os.h"

void cell_text_start(struct cell_text *text, cell_text_sink sink, void *target)
{
    text->sink = sink;
    text->target = target;
    text->error = 0;
    text->used = 0;
}

static int write_to_fd(void *target, const char *text, size_t length)
{
    return cell_os_write((int)(intptr_t)target, text, length);
}

void cell_text_start_fd(struct cell_text *text, int fd)
{
    cell_text_start(text, write_to_fd, (void *)(intptr_t)fd);
}

static void empty(struct cell_text *text)
{
    if (text->error == 0 && text->used != 0)
        text->error = text->sink(text->target, text->bytes, text->used);
    text->used = 0;
}

void cell_text_add(struct cell_text *text, const char *bytes, size_t length)
{
    while (length != 0) {
        if (text->used == sizeof text->bytes)
            empty(text);
        size_t space = sizeof text->bytes - text->used;
        size_t part = length < space ? length : space;
        memcpy(text->bytes + text->used, bytes, part);
        text->used += part;
        bytes += part;
        length -= part;
    }
}

void cell_text_string(struct cell_text *text, const char *string)
{
    cell_text_add(text, string, strlen(string));
}

/* Writes the digits of `number` to the end of the buffer; returns how many. */
static size_t digits(char end[20], uint64_t number, unsigned base)
{
    size_t count = 0;

    do {
        end[20 - ++count] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    return count;
}

void cell_text_number(struct cell_text *text, uint64_t number)
{
    cell_text_number_wide(text, number, 0);
}

void cell_text_number_wide(struct cell_text *text, uint64_t number, size_t width)
{
    char buffer[20];
    size_t count = digits(buffer, number, 10);

    for (size_t column = count; column < width; column++)
        cell_text_add(text, " ", 1);
    cell_text_add(text, buffer + sizeof buffer - count, count);
}

int cell_text_finish(struct cell_text *text)
{
    empty(text);
    return text->error;
}
