/* import.h - formats of other tools: one file and one struct hp_importer each, and what they share.
 *
 * Owned by import/, called by cli/cmd_import.c. An importer knows its text or records and calls the hp_import_*
 * functions of model.c, which turn foreign names of blocks (addresses or numbers that are used again) into ids.
 */
#ifndef HP_IMPORT_H
#define HP_IMPORT_H

#include "trace/trace.h"

#include <stdio.h>

/* A stream of bytes, unpacked by libarchive when it is packed (any filter; of an archive its first entry). */
typedef struct hp_source hp_source;
hp_source *hp_source_open(const char *path, char *error, size_t error_size);       /* "-" is stdin */
void       hp_source_close(hp_source *source);
/* Up to `want` bytes that are next, without taking them; fewer only at the end. want <= HP_SOURCE_PEEK. */
#define HP_SOURCE_PEEK 65536u
size_t     hp_source_peek(hp_source *source, const unsigned char **bytes, size_t want);
void       hp_source_skip(hp_source *source, size_t bytes);                         /* at most what was peeked */
/* The next line without its end, terminated; NULL at the end of the input. A line longer than HP_LINE_MAX is cut. */
#define HP_LINE_MAX 4096u
char      *hp_source_line(hp_source *source);
uint64_t   hp_source_offset(const hp_source *source);                               /* of the next byte */
uint64_t   hp_source_lines(const hp_source *source);                                /* taken so far */
const char *hp_source_error(const hp_source *source);                               /* "" when all is well */

typedef struct hp_import hp_import;
struct hp_importer {
    const char *name, *help;
    /* How sure it is that the input is in this format, from its first bytes: 0 no, 1 perhaps, 2 yes. */
    int  (*detect)(const unsigned char *bytes, size_t size);
    /* HP_HAS_* that the input will fill, from its first bytes. */
    uint32_t (*flags)(const unsigned char *bytes, size_t size);
    /* Takes the input to its end. Offences are reported with hp_import_offence and skipped. */
    void (*parse)(hp_import *import, hp_source *source);
};
extern const struct hp_importer hp_import_android, hp_import_rep, hp_import_csv, hp_import_mtrace, hp_import_valgrind,
                                hp_import_heaptrack;
const struct hp_importer *hp_importer_find(const char *name);                       /* NULL: no such format */
const struct hp_importer *hp_importer_detect(hp_source *source);             /* NULL: no format matches */
void hp_importer_list(void (*each)(const struct hp_importer *importer));

/* What came of it. */
struct hp_import_report {
    uint64_t operations, offences, unknown_frees, replaced, live_at_end;
    char     first[300];            /* the first offence, with its place */
    char     assumed[600];          /* sentences */
};

hp_import *hp_import_begin(hp_writer *writer, uint32_t flags);
/* Ends threads that are known, fills report, frees the import; 0 or the writer's error. */
int        hp_import_end(hp_import *import, struct hp_import_report *report);
bool       hp_import_failed(const hp_import *import);       /* the writer refused: stop parsing */
void       hp_import_assume(hp_import *import, const char *sentence);       /* once each */
void       hp_import_at(hp_import *import, const hp_source *source);       /* where offences are from now on */
void       hp_import_offence(hp_import *import, const char *what);

/* Calls. `thread` is the foreign number. Names are the foreign addresses or numbers; 0 is NULL. */
struct hp_call {
    uint8_t  kind;
    uint64_t thread, time_ns, made, old, size, count, alignment;
};
void hp_import_call(hp_import *import, const struct hp_call *call);
void hp_import_thread_end(hp_import *import, uint64_t thread, uint64_t time_ns);

/* Text: a number in base 10 or 16 (0x allowed), spaces before it skipped; false and *at unmoved when there is none. */
bool hp_take_number(const char **at, int base, uint64_t *v);
bool hp_take_word(const char **at, const char *word);
bool hp_at_end(const char *at);                             /* only spaces follow */

/* The other way: writes a trace in another tool's format. */
struct hp_exporter {
    const char *name, *help;
    void (*begin)(FILE *out, const struct hp_trailer *counts, uint64_t most_ids);
    bool (*event)(FILE *out, const struct hp_event *event);     /* false: the format has no such call */
};
const struct hp_exporter *hp_exporter_find(const char *name);
void hp_exporter_list(void (*each)(const struct hp_exporter *exporter));

#endif
