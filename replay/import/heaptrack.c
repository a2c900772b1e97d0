/* heaptrack.c - raw files of heaptrack (heaptrack --raw): "+ SIZE TRACE PTR", "- PTR", "c MS", all hexadecimal.
 * Interpreted files have no pointers, so that lifetimes cannot be told: they are refused as a whole. */
#include "import/import.h"

#include <string.h>

static int detect(const unsigned char *bytes, size_t size)
{
    return size > 4 && bytes[0] == 'v' && bytes[1] == ' ' && memchr(bytes, '\n', size) ? 2 : 0;
}

static uint32_t flags(const unsigned char *bytes, size_t size)
{
    (void)bytes;
    (void)size;
    return HP_HAS_TIME;
}

static void parse(hp_import *import, hp_source *source)
{
    const char *line;
    uint64_t time_ns = 0;

    hp_import_assume(import, "all calls are malloc and free of one thread; times are right to 10 ms");
    while (!hp_import_failed(import) && (line = hp_source_line(source))) {
        struct hp_call call = { .kind = *line == '+' ? HP_MALLOC : HP_FREE, .time_ns = time_ns };
        const char *at = line + 1;
        uint64_t site, ms;
        hp_import_at(import, source);
        if (*line == 'c' && hp_take_number(&at, 16, &ms) && ms < UINT64_C(1) << 40) {
            time_ns = ms * 1000000;
        } else if (*line == '+') {
            if (hp_take_number(&at, 16, &call.size) && hp_take_number(&at, 16, &site)
                && hp_take_number(&at, 16, &call.made))
                hp_import_call(import, &call);
            else
                hp_import_offence(import, "an allocation without size, site and pointer: interpreted by heaptrack? Record with --raw");
        } else if (*line == '-') {
            if (hp_take_number(&at, 16, &call.old))
                hp_import_call(import, &call);
            else
                hp_import_offence(import, "a free without a pointer");
        } else if (*line == 'a') {
            hp_import_offence(import, "interpreted by heaptrack, which drops the pointers: record with heaptrack --raw");
        }
    }
}

const struct hp_importer hp_import_heaptrack = { "heaptrack", "raw files of heaptrack --raw", detect, flags, parse };
