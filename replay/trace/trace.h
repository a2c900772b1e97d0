/* trace.h - the one interface to .hpt trace files: events, writer, reader.
 *
 * A trace is one process's sequence of allocator calls in one total order. Blocks are named by object ids
 * (1, 2, 3, ... in order of allocation, never reused), never by address; id 0 is NULL. traces/FORMAT.md is the
 * format on disk; this header is the only way to it. Recorder and importers know hp_writer only, everything that
 * looks at traces hp_reader only.
 */
#ifndef HP_TRACE_H
#define HP_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Kinds of call. The numbers are part of the format: append only. */
enum hp_kind {
    HP_MALLOC = 0,          /* id = malloc(size)                                   */
    HP_CALLOC,              /* id = calloc(count, size)                            */
    HP_REALLOC,             /* id = realloc(old_id, size); id 0 and size 0: freed  */
    HP_REALLOCARRAY,        /* id = reallocarray(old_id, count, size)              */
    HP_FREE,                /* free(old_id)                                        */
    HP_FREE_SIZED,          /* free_sized(old_id, size)                            */
    HP_FREE_ALIGNED_SIZED,  /* free_aligned_sized(old_id, alignment, size)         */
    HP_ALIGNED_ALLOC,       /* id = aligned_alloc(alignment, size)                 */
    HP_POSIX_MEMALIGN,      /* posix_memalign(&id, alignment, size)                */
    HP_MEMALIGN,            /* id = memalign(alignment, size)                      */
    HP_VALLOC,              /* id = valloc(size)                                   */
    HP_PVALLOC,             /* id = pvalloc(size)                                  */
    HP_USABLE_SIZE,         /* malloc_usable_size(old_id) returned size            */
    HP_NEW,                 /* id = operator new(size) or new[]                    */
    HP_NEW_ALIGNED,         /* id = operator new(size, align_val_t(alignment))     */
    HP_DELETE,              /* operator delete(old_id) or delete[]                 */
    HP_DELETE_SIZED,        /* operator delete(old_id, size)                       */
    HP_DELETE_ALIGNED,      /* operator delete(old_id[, size], align_val_t)        */
    HP_THREAD_START,        /* the thread's first event                            */
    HP_THREAD_END,          /* the thread is gone; none of its events follow       */
    HP_KIND_COUNT
};

/* One call. Fields that the kind does not use are 0. A failed allocation has id 0 and still counts. */
struct hp_event {
    uint8_t  kind;          /* enum hp_kind */
    uint32_t thread;        /* dense, 0 is the thread that started the process */
    uint64_t time_ns;       /* since the start of the recording; never decreases in the file */
    uint64_t id;            /* object made, 0: none */
    uint64_t old_id;        /* object consumed or looked at, 0: NULL */
    uint64_t size;
    uint64_t count;         /* calloc, reallocarray: number of elements; size is the element's */
    uint64_t alignment;     /* bytes, power of two */
    uint64_t resident_bytes;/* of the old block when it was freed, if the trace has HP_HAS_RESIDENT */
};

/* Everything about a trace but its events; strings are UTF-8, may be empty, never NULL once read. */
struct hp_meta {
    char    *command;       /* command line, arguments separated by spaces */
    char    *origin;        /* "recorded", "imported:FORMAT", "synthetic:GENERATOR", "derived:TOOL" */
    char    *host;          /* kernel, libc and allocator the recording was made under */
    uint64_t start_unix_ns;
    uint32_t pid, parent_pid;
    uint32_t flags;         /* HP_HAS_* */
    uint32_t sample;        /* with HP_SAMPLED: one object of so many was recorded */
    uint64_t time_step_ns;  /* times are right to so much; 0: as right as a recorder can tell */
};
#define HP_HAS_TIME      1u
#define HP_HAS_THREADS   2u
#define HP_HAS_RESIDENT  4u
#define HP_SAMPLED       8u
#define HP_HAS_SITES     16u    /* a table of call sites stands before the trailer */

/* Known only when the recording ended; a file that was cut off has none. allocations: events with an id; frees: events
 * of a kind that frees whose old id is not 0 (a realloc that failed counts too); threads: distinct numbers used. */
struct hp_trailer {
    uint64_t events, allocations, frees, threads, lost_events, inversions;
    uint64_t end_ns;
    int32_t  exit_status;   /* as of wait(2); -1: unknown */
};

/* Errors: functions return 0 or a negative hp_error and leave one clear sentence (what, where, what to do). */
enum hp_error {
    HP_OK = 0,
    HP_E_IO = -1,           /* the system refused: errno is in the text */
    HP_E_NOT_A_TRACE = -2,
    HP_E_VERSION = -3,      /* newer than this reader */
    HP_E_CORRUPT = -4,      /* checksum or structure wrong at the stated byte offset */
    HP_E_CUT_OFF = -5,      /* whole up to the stated event; what was there has been delivered */
    HP_E_INVALID = -6,      /* events contradict each other, or an argument is out of range */
    HP_E_NO_ROOM = -7,      /* no memory or disk for what is made of the trace */
};

typedef struct hp_writer hp_writer;
typedef struct hp_reader hp_reader;

/* Writer. path "-" is stdout. hp_writer_close writes the trailer (NULL: none), frees the writer, and returns the first error
 * that any call met; hp_writer_error gives its text before that. Blocks are flushed as they fill, so that a
 * writer that is killed leaves a readable file. An event is refused (HP_E_INVALID) when its id is not the next one,
 * its old id not an earlier one, or its time decreases; times are kept in units of 64 ns, rounded down. */
hp_writer  *hp_writer_open(const char *path, const struct hp_meta *meta, char *error, size_t error_size);
int         hp_writer_append(hp_writer *w, const struct hp_event *event);
int         hp_writer_sites(hp_writer *w, const char *text);   /* the table of FORMAT.md's SITE; with HP_HAS_SITES, once, last */
int         hp_writer_flush(hp_writer *w);             /* ends the block early: what was appended is on disk */
const char *hp_writer_error(const hp_writer *w);
void        hp_writer_count(const hp_writer *w, struct hp_trailer *trailer);   /* fills what the writer saw itself:
                                                           events, allocations, frees, threads and end_ns */
int         hp_writer_close(hp_writer *w, const struct hp_trailer *trailer);

/* Reader. path "-" is stdin. hp_reader_next returns 1 with an event, 0 at the end, or an hp_error; it streams in
 * bounded memory. hp_reader_trailer is NULL until the end was reached (or when the file was cut off). */
hp_reader  *hp_reader_open(const char *path, int *error_code, char *error, size_t error_size);
int         hp_reader_next(hp_reader *r, struct hp_event *event);
const struct hp_meta    *hp_reader_meta(const hp_reader *r);
const struct hp_trailer *hp_reader_trailer(const hp_reader *r);
const char *hp_reader_sites(const hp_reader *r);       /* text of the table; NULL until the end, or when there is none */
const char *hp_reader_error(const hp_reader *r);
uint64_t    hp_reader_position(const hp_reader *r);    /* byte offset of the current block, for messages */
void        hp_reader_close(hp_reader *r);

const char *hp_kind_name(unsigned kind);               /* "malloc", ...; "?" when unknown */
bool        hp_kind_allocates(unsigned kind);
bool        hp_kind_frees(unsigned kind);              /* realloc does both */

#endif
