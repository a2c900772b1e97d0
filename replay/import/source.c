/* source.c - bytes and lines of a file or of stdin, unpacked by libarchive. Used by every importer. */
#include "import/import.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK (1u << 18)

struct hp_source {
    struct archive *archive;
    unsigned char *buffer;              /* room for what was peeked and one chunk */
    size_t begin, end, room;
    uint64_t offset, lines;
    bool ended;
    void *spool;                        /* mapped, spool_size bytes */
    size_t spool_size;
    char line[HP_LINE_MAX + 1];
    char error[400];
};

hp_source *hp_source_open(const char *path, char *error, size_t error_size)
{
    struct hp_source *s = calloc(1, sizeof *s);
    const unsigned char *bytes;
    struct archive_entry *entry;
    struct stat st;
    int got;

    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        snprintf(error, error_size, "%s is a directory; name a file in it", path);
        hp_source_close(s);
        return NULL;
    }
    if (!s || !(s->archive = archive_read_new()) || !(s->buffer = malloc(s->room = HP_SOURCE_PEEK + CHUNK))) {
        snprintf(error, error_size, "%s: out of memory", path);
        hp_source_close(s);
        return NULL;
    }
    archive_read_support_filter_all(s->archive);
    archive_read_support_format_zip(s->archive);
    archive_read_support_format_tar(s->archive);
    archive_read_support_format_raw(s->archive);
    archive_read_support_format_empty(s->archive);
    got = archive_read_open_filename(s->archive, strcmp(path, "-") ? path : NULL, CHUNK);
    while (got == ARCHIVE_OK && (got = archive_read_next_header(s->archive, &entry)) == ARCHIVE_OK
           && archive_entry_filetype(entry) == AE_IFDIR)
        ;
    if (got == ARCHIVE_EOF)
        s->ended = true;
    else if (got < ARCHIVE_WARN) {
        const char *why = archive_error_string(s->archive);
        snprintf(error, error_size, "%s: cannot read: %s", path, why ? why : "unknown reason");
        hp_source_close(s);
        return NULL;
    }
    /* Editors and shells of other systems put a mark before text; no format's own first bytes are these three. */
    if (hp_source_peek(s, &bytes, 3) == 3 && !memcmp(bytes, "\xef\xbb\xbf", 3))
        hp_source_skip(s, 3);
    return s;
}

void hp_source_close(hp_source *s)
{
    if (!s)
        return;
    archive_read_free(s->archive);
    if (s->spool)
        munmap(s->spool, s->spool_size);
    free(s->buffer);
    free(s);
}

/* Reads until `want` bytes are there, or the input ends. */
static void fill(struct hp_source *s, size_t want)
{
    if (s->end - s->begin >= want || s->ended)
        return;
    memmove(s->buffer, s->buffer + s->begin, s->end - s->begin);
    s->end -= s->begin;
    s->begin = 0;
    while (s->end < want && !s->ended) {
        la_ssize_t n = archive_read_data(s->archive, s->buffer + s->end, s->room - s->end);
        if (n < 0 && n != ARCHIVE_RETRY) {
            const char *why = archive_error_string(s->archive);
            snprintf(s->error, sizeof s->error, "cannot read on at byte %llu: %s",
                     (unsigned long long)(s->offset + s->end), why ? why : "unknown reason");
        }
        if (n == 0 || s->error[0])
            s->ended = true;
        else if (n > 0)
            s->end += (size_t)n;
    }
}

size_t hp_source_peek(hp_source *s, const unsigned char **bytes, size_t want)
{
    fill(s, want);
    *bytes = s->buffer + s->begin;
    return s->end - s->begin < want ? s->end - s->begin : want;
}

void hp_source_skip(hp_source *s, size_t bytes)
{
    s->begin += bytes;
    s->offset += bytes;
}

char *hp_source_line(hp_source *s)
{
    size_t used = 0;
    bool any = false;

    for (;;) {
        const unsigned char *bytes, *newline;
        size_t n, keep;
        if (s->begin == s->end)
            fill(s, 1);
        bytes = s->buffer + s->begin;
        if (!(n = s->end - s->begin))
            break;
        any = true;
        newline = memchr(bytes, '\n', n);
        if (newline)
            n = (size_t)(newline - bytes);
        keep = n < HP_LINE_MAX - used ? n : HP_LINE_MAX - used;
        memcpy(s->line + used, bytes, keep);
        used += keep;
        hp_source_skip(s, n + (newline != NULL));
        if (newline)
            break;
    }
    if (!any)
        return NULL;
    if (used && s->line[used - 1] == '\r')
        used--;
    s->line[used] = 0;
    s->lines++;
    return s->line;
}

static bool spool_into(struct hp_source *s, FILE *file)
{
    const unsigned char *bytes;
    size_t n;

    while ((n = hp_source_peek(s, &bytes, HP_SOURCE_PEEK)) > 0) {
        if (fwrite(bytes, 1, n, file) != n)
            return false;
        s->spool_size += n;
        hp_source_skip(s, n);
    }
    if (fflush(file))
        return false;
    if (s->spool_size == 0)
        return true;
    s->spool = mmap(NULL, s->spool_size, PROT_READ, MAP_PRIVATE, fileno(file), 0);
    if (s->spool == MAP_FAILED)
        s->spool = NULL;
    return s->spool != NULL;
}

bool hp_source_spool(hp_source *s, const unsigned char **bytes, size_t *size)
{
    FILE *file = tmpfile();
    bool done = file && spool_into(s, file);

    if (!done && !s->error[0])
        snprintf(s->error, sizeof s->error, "cannot unpack into a temporary file: %s; make room in /tmp", strerror(errno));
    if (file)
        fclose(file);
    *bytes = s->spool;
    *size = s->spool_size;
    return done;
}

uint64_t hp_source_offset(const hp_source *s)
{
    return s->offset;
}

uint64_t hp_source_lines(const hp_source *s)
{
    return s->lines;
}

const char *hp_source_error(const hp_source *s)
{
    return s->error;
}
