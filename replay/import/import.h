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
/* All that is left, for formats that jump about: unpacked into a nameless file in /tmp and mapped until the source is
 * closed. False: the reason is in hp_source_error. An empty rest is size 0. */
bool       hp_source_spool(hp_source *source, const unsigned char **bytes, size_t *size);
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
    /* Nanoseconds between two times that the input can tell apart, from its first bytes; NULL: it tells them as finely as we. */
    uint64_t (*time_step)(const unsigned char *bytes, size_t size);
};
extern const struct hp_importer hp_import_android, hp_import_rep, hp_import_csv, hp_import_mtrace, hp_import_valgrind,
                                hp_import_heaptrack, hp_import_wl, hp_import_proto, hp_import_ltrace,
                                hp_import_glibc_trace, hp_import_utrace, hp_import_alk, hp_import_ctsrd,
                                hp_import_bpftrace;
const struct hp_importer *hp_importer_find(const char *name);                       /* NULL: no such format */
const struct hp_importer *hp_importer_detect(hp_source *source);             /* NULL: no format matches */
void hp_importer_list(void (*each)(const struct hp_importer *importer));

/* What came of it. */
#define HP_IMPORT_REASONS 16u
struct hp_import_report {
    uint64_t operations, offences, unknown_frees, replaced, live_at_end;
    uint64_t inversions;            /* allocations that were held back until the free before them was reported */
    struct {
        const char *what;           /* NULL: no more of them */
        uint64_t count;
    } reasons[HP_IMPORT_REASONS];   /* of offences, in the order in which they came; the last counts all further ones */
    char     first[300];            /* the first offence, with its place */
    char     assumed[600];          /* sentences */
};

hp_import *hp_import_begin(hp_writer *writer, uint32_t flags);
/* Ends threads that are known, fills report, frees the import; 0 or the writer's error. */
int        hp_import_end(hp_import *import, struct hp_import_report *report);
bool       hp_import_failed(const hp_import *import);       /* the writer refused: stop parsing */
void       hp_import_assume(hp_import *import, const char *sentence);       /* once each */
void       hp_import_at(hp_import *import, const hp_source *source);       /* where offences are from now on */
void       hp_import_at_line(hp_import *import, uint64_t line, uint64_t offset);   /* for calls that had to wait */
void       hp_import_at_byte(hp_import *import, uint64_t offset);          /* the same for formats without lines */
void       hp_import_offence(hp_import *import, const char *what);
void       hp_import_inversion(hp_import *import);
bool       hp_import_live(const hp_import *import, uint64_t name);          /* a block of this name is live */

/* Calls. `thread` is the foreign number. Names are the foreign addresses or numbers; 0 is NULL. */
struct hp_call {
    uint8_t  kind;
    uint64_t thread, time_ns, made, old, size, count, alignment;
};
void hp_import_call(hp_import *import, const struct hp_call *call);
void hp_import_thread_end(hp_import *import, uint64_t thread, uint64_t time_ns);

/* Functions by name. fields: s size, n count, a alignment, o old pointer, x what is no part of a call. */
struct hp_function {
    uint8_t kind;
    const char *fields;
};
bool hp_import_function(const char *name, size_t length, struct hp_function *function);     /* false: not of these */
uint64_t *hp_import_argument(struct hp_call *call, char field, uint64_t *ignored);          /* its place; x: ignored */

/* Text: a number in base 10 or 16 (0x allowed), spaces before it skipped; false and *at unmoved when there is none. */
bool hp_take_number(const char **at, int base, uint64_t *v);
bool hp_take_word(const char **at, const char *word);
bool hp_at_end(const char *at);                             /* only spaces follow */

/* The same, in the base that the text itself says: 16 after 0x, else 10. */
bool hp_take_any(const char **at, uint64_t *v);

/* The other way: writes a trace in another tool's format, in one pass. begin returns the exporter's state (NULL with the
 * reason in error); end writes what is left, frees the state, and is called whatever happened: false with the reason. */
struct hp_exporter {
    const char *name, *help, *loses;
    void *(*begin)(FILE *out, char *error, size_t error_size);
    bool  (*event)(void *state, FILE *out, const struct hp_event *event);       /* false: the format has no such call */
    bool  (*end)(void *state, FILE *out, char *error, size_t error_size);
};
extern const struct hp_exporter hp_export_android, hp_export_csv, hp_export_rep, hp_export_wl;
const struct hp_exporter *hp_exporter_find(const char *name);
void hp_exporter_list(void (*each)(const struct hp_exporter *exporter));
uint64_t hp_export_bytes(const struct hp_event *event);         /* asked for; a product that does not fit is UINT64_MAX */
bool     hp_export_copy(FILE *from, FILE *out);                 /* from its beginning to its end */
bool     hp_export_consumes(const struct hp_event *event);      /* the old block is gone afterwards */

#endif
