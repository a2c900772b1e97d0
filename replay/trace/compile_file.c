/* compile_file.c - see compile_file.h. */
#include "trace/compile_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, COPY_BYTES = 1 << 20 };

static uint64_t page_up(uint64_t n)
{
    return (n + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

static bool refuse(struct hp_plan_file *f)
{
    int why = errno;

    if (f->on_disk)
        snprintf(f->error, f->error_size, "cannot write the compiled trace to %s after %llu MiB: %s: name a directory with "
                 "room by --plan-dir", f->directory, (unsigned long long)(f->offset >> 20), strerror(why));
    else
        snprintf(f->error, f->error_size, "cannot keep %llu MiB of the compiled trace in memory: %s: give less memory by "
                 "--plan-memory", (unsigned long long)(f->offset >> 20), strerror(why));
    return false;
}

static bool write_all(struct hp_plan_file *f, const void *data, size_t size, uint64_t offset)
{
    const char *p = data;

    while (size) {
        ssize_t n = pwrite(f->fd, p, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return refuse(f);
        p += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return true;
}

static bool append(struct hp_plan_file *f, const void *data, size_t size)
{
    uint64_t at = f->offset;

    f->offset = page_up(at + size);
    return size == 0 || write_all(f, data, size, at);
}

static void *one_more(void *array, size_t element, size_t used, size_t *room)
{
    if (used < *room)
        return array;
    void *bigger = realloc(array, (*room * 2 + 16) * element);
    if (bigger)
        *room = *room * 2 + 16;
    return bigger;
}

bool hp_plan_file_open(struct hp_plan_file *f, uint64_t memory_bytes, const char *directory, char *error,
                       size_t error_size)
{
    *f = (struct hp_plan_file){ .memory_bytes = memory_bytes, .directory = directory, .offset = page_up(sizeof(struct hp_plan)),
                                .error = error, .error_size = error_size };
    f->fd = memfd_create("heaplay-plan", 0);
    return f->fd >= 0 || refuse(f);
}

void hp_plan_file_release(struct hp_plan_file *f)
{
    free(f->section);
    free(f->stream);
    f->section = NULL;
    f->stream = NULL;
}

/* A file without a name: it is gone with the last process that uses it. */
static int open_unlinked(const char *directory)
{
    char path[4096];
    int fd = open(directory, O_TMPFILE | O_RDWR, 0600);

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
        return fd;
    snprintf(path, sizeof path, "%s/heaplay-plan-XXXXXX", directory);   /* a file system without O_TMPFILE */
    fd = mkstemp(path);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static bool move_to_disk(struct hp_plan_file *f)
{
    char *piece = malloc(COPY_BYTES);
    int memory = f->fd;
    bool ok = piece != NULL;

    f->fd = open_unlinked(f->directory);
    f->on_disk = true;
    if (f->fd < 0) {
        int why = errno;
        f->fd = memory;
        free(piece);
        snprintf(f->error, f->error_size, "cannot write the compiled trace to a file in %s: %s: name another directory by "
                 "--plan-dir", f->directory, strerror(why));
        return false;
    }
    for (uint64_t at = 0; ok && at < f->offset; at += COPY_BYTES) {
        ssize_t n = pread(memory, piece, COPY_BYTES, (off_t)at);
        ok = n >= 0 ? write_all(f, piece, (size_t)n, at) : refuse(f);
    }
    close(memory);
    free(piece);
    return ok;
}

/* What was written before the last section is on its way to the disk: waits for it and drops it from the page cache. */
static void drop_written(struct hp_plan_file *f, uint64_t end)
{
    sync_file_range(f->fd, (off_t)f->dropped, (off_t)(end - f->dropped),
                    SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
    posix_fadvise(f->fd, (off_t)f->dropped, (off_t)(end - f->dropped), POSIX_FADV_DONTNEED);
    f->dropped = end;
    sync_file_range(f->fd, (off_t)end, (off_t)(f->offset - end), SYNC_FILE_RANGE_WRITE);
}

bool hp_plan_file_begin_section(struct hp_plan_file *f)
{
    struct hp_section *bigger = one_more(f->section, sizeof *bigger, f->sections, &f->section_room);

    if (!bigger)
        return refuse(f);
    f->section = bigger;
    f->section[f->sections++] = (struct hp_section){ .first = f->offset, .stream = (uint32_t)f->streams };
    return true;
}

bool hp_plan_file_add_stream(struct hp_plan_file *f, const struct hp_op *op, struct hp_stream s)
{
    struct hp_section *in = &f->section[f->sections - 1];
    struct hp_stream *bigger = one_more(f->stream, sizeof *bigger, f->streams, &f->stream_room);

    if (!bigger)
        return refuse(f);
    f->stream = bigger;
    s.first = f->offset;
    f->stream[f->streams++] = s;
    in->threads++;
    return append(f, op, s.count * sizeof *op);
}

bool hp_plan_file_end_section(struct hp_plan_file *f, const uint32_t *participants, uint64_t epochs)
{
    struct hp_section *in = &f->section[f->sections - 1];

    in->epoch_table = f->offset;
    in->epochs = epochs;
    if (!append(f, participants, epochs * sizeof *participants))
        return false;
    in->bytes = f->offset - in->first;
    if (!f->on_disk && f->memory_bytes && f->offset > f->memory_bytes && !move_to_disk(f))
        return false;
    if (f->on_disk)
        drop_written(f, in->first);
    return true;
}

bool hp_plan_file_patch(struct hp_plan_file *f, uint32_t section, uint32_t thread, uint32_t position, uint16_t hi)
{
    const struct hp_stream *s = &f->stream[f->section[section].stream + thread];

    return write_all(f, &hi, sizeof hi, s->first + position * sizeof(struct hp_op) + offsetof(struct hp_op, hi));
}

bool hp_plan_file_add_drain(struct hp_plan_file *f, struct hp_plan *plan, const struct hp_op *op, size_t count)
{
    plan->drain = (struct hp_stream){ .first = f->offset, .count = count, .calls = count };
    return append(f, op, count * sizeof *op);
}

bool hp_plan_file_finish(struct hp_plan_file *f, struct hp_plan *plan)
{
    plan->sections = (uint32_t)f->sections;
    plan->streamed = f->on_disk;
    plan->epochs_most = plan->section_most = 0;
    for (size_t i = 0; i < f->sections; i++) {
        plan->epochs_most = f->section[i].epochs > plan->epochs_most ? f->section[i].epochs : plan->epochs_most;
        plan->section_most = f->section[i].bytes > plan->section_most ? f->section[i].bytes : plan->section_most;
    }
    plan->section_table = f->offset;
    if (!append(f, f->section, f->sections * sizeof *f->section))
        return false;
    plan->stream_table = f->offset;
    if (!append(f, f->stream, f->streams * sizeof *f->stream))
        return false;
    plan->bytes = f->offset;
    if (ftruncate(f->fd, (off_t)plan->bytes) != 0)
        return refuse(f);
    return write_all(f, plan, sizeof *plan, 0);
}
