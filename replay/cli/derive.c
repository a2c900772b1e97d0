/* derive.c - see derive.h. */
#include "cli/derive.h"
#include "cli/arguments.h"
#include "cli/commands.h"
#include "trace/validate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool hp_derive_take_file(struct hp_derive_files *files, int argc, char **argv, int *i)
{
    if (!strcmp(argv[*i], "-o") && *i + 1 < argc) {
        files->out = argv[++*i];
        return true;
    }
    if (files->in || (argv[*i][0] == '-' && argv[*i][1]))
        return false;
    files->in = argv[*i];
    return true;
}

bool hp_derive_has_files(const struct hp_derive_files *files, const char *tool, const char *usage)
{
    if (files->in && files->out)
        return hp_derive_is_apart(tool, files->in, files->out);
    fprintf(stderr, "heaplay %s: %s\n%s", tool, files->in ? "no -o OUT.hpt given" : "no input given", usage);
    return false;
}

bool hp_derive_is_apart(const char *tool, const char *in, const char *out)
{
    if (!hp_arg_same_file(in, out))
        return true;
    fprintf(stderr, "heaplay %s: %s is also the input, which would be lost; name another output\n", tool, out);
    return false;
}

int hp_derive_refuse(const char *tool, const char *argument, const char *usage)
{
    fprintf(stderr, "heaplay %s: cannot take '%s'\n%s", tool, argument, usage);
    return HP_EXIT_USAGE;
}

static size_t home_of(const struct hp_derive_map *m, uint64_t id)
{
    return (size_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (m->room - 1);
}

static struct hp_derive_entry *slot_of(const struct hp_derive_map *m, uint64_t id)
{
    size_t at = home_of(m, id);

    while (m->slots[at].id && m->slots[at].id != id)
        at = (at + 1) & (m->room - 1);
    return &m->slots[at];
}

bool hp_derive_put(struct hp_derive_map *m, uint64_t id, uint64_t value)
{
    if ((m->count + 1) * 2 > m->room) {
        struct hp_derive_map wider = { NULL, m->room ? m->room * 2 : 1024, m->count };
        wider.slots = calloc(wider.room, sizeof *wider.slots);
        if (!wider.slots)
            return false;
        for (size_t i = 0; i < m->room; i++)
            if (m->slots[i].id)
                *slot_of(&wider, m->slots[i].id) = m->slots[i];
        free(m->slots);
        *m = wider;
    }
    m->count += slot_of(m, id)->id == 0;
    *slot_of(m, id) = (struct hp_derive_entry){ id, value };
    return true;
}

uint64_t hp_derive_get(const struct hp_derive_map *m, uint64_t id)
{
    return m->room && id ? slot_of(m, id)->value : 0;
}

uint64_t hp_derive_take(struct hp_derive_map *m, uint64_t id)
{
    struct hp_derive_entry *slot = m->room && id ? slot_of(m, id) : NULL;
    size_t mask = m->room - 1, hole;
    uint64_t value;

    if (!slot || !slot->id)
        return 0;
    value = slot->value;
    hole = (size_t)(slot - m->slots);
    for (size_t at = (hole + 1) & mask; m->slots[at].id; at = (at + 1) & mask)
        if (((at - home_of(m, m->slots[at].id)) & mask) >= ((at - hole) & mask)) {
            m->slots[hole] = m->slots[at];
            hole = at;
        }
    m->slots[hole] = (struct hp_derive_entry){ 0 };
    m->count--;
    return value;
}

hp_reader *hp_derive_read(const char *tool, const char *path)
{
    char error[512];
    int code;
    hp_reader *reader = hp_reader_open(path, &code, error, sizeof error);

    if (!reader)
        fprintf(stderr, "heaplay %s: %s\n", tool, error);
    return reader;
}

bool hp_derive_begin(struct hp_derive *d, const char *tool, const char *path, const struct hp_meta *meta)
{
    char origin[64], error[512];
    struct hp_meta out = *meta;

    *d = (struct hp_derive){ .tool = tool, .next_id = 1, .flags = (meta->flags | HP_HAS_THREADS) & ~HP_HAS_SITES };
    /* What was synthetic stays so, however often it is changed. */
    snprintf(origin, sizeof origin, strncmp(meta->origin, "synthetic", 9) ? "derived:%s"
             : meta->origin[9] ? "synthetic:derived:%s" : "synthetic:%s", tool);
    out.origin = origin;
    out.flags = d->flags;
    if (!hp_output_begin(&d->out, tool, path))
        return false;
    d->writer = hp_writer_open(d->out.path, &out, error, sizeof error);
    if (d->writer)
        return true;
    fprintf(stderr, "heaplay %s: %s\n", tool, error);
    hp_output_end(&d->out, tool, false);
    return false;
}

static void append(struct hp_derive *d, const struct hp_event *event)
{
    d->failed |= hp_writer_append(d->writer, event) != 0;
}

static uint32_t thread_of(struct hp_derive *d, const struct hp_event *event)
{
    uint64_t known = hp_derive_get(&d->threads, event->thread + UINT64_C(1));
    struct hp_event start = { .kind = HP_THREAD_START, .thread = d->thread_count, .time_ns = event->time_ns };

    if (known)
        return (uint32_t)(known - 1);
    d->failed |= !hp_derive_put(&d->threads, event->thread + UINT64_C(1), ++d->thread_count);
    append(d, &start);
    return start.thread;
}

void hp_derive_put_event(struct hp_derive *d, const struct hp_event *event)
{
    struct hp_event e = *event;

    e.old_id = hp_event_consumes(event) ? hp_derive_take(&d->ids, event->old_id) : hp_derive_get(&d->ids, event->old_id);
    if (event->old_id && !e.old_id) {
        if (!event->id)
            return;
        e.resident_bytes = 0;
    }
    e.thread = thread_of(d, event);
    if (e.kind == HP_THREAD_START)
        return;
    if (e.id) {
        e.id = d->next_id++;
        d->failed |= !hp_derive_put(&d->ids, event->id, e.id);
    }
    append(d, &e);
}

int hp_derive_end(struct hp_derive *d, hp_reader *reader, int code)
{
    struct hp_trailer trailer = { .exit_status = -1 };
    char error[512];
    bool written;

    if (code < 0)
        fprintf(stderr, "heaplay %s: %s\n", d->tool, hp_reader_error(reader));
    if (reader)
        hp_reader_close(reader);
    snprintf(error, sizeof error, "%s", *hp_writer_error(d->writer) ? hp_writer_error(d->writer) : "out of memory");
    hp_writer_count(d->writer, &trailer);
    free(d->ids.slots);
    free(d->threads.slots);
    written = (hp_writer_close(d->writer, &trailer) == 0) & !d->failed;
    if (!written)
        fprintf(stderr, "heaplay %s: %s\n", d->tool, error);
    written &= hp_output_end(&d->out, d->tool, written && code >= 0 && !d->unwanted);
    return code < 0 || !written ? HP_EXIT_BAD_INPUT : HP_EXIT_OK;
}
