/* model.c - from foreign names of blocks and threads to ids and dense numbers, and the account of what went wrong.
 *
 * Called by importers only. A name stands for one live block at a time: an allocation onto a name that is live means
 * that its free was not seen, so one is added (and counted). A free of an unknown name is skipped and counted.
 */
#include "import/import.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pair {
    uint64_t name, value;               /* value 0: empty */
};

struct map {
    struct pair *slots;
    size_t room, count;
};

struct hp_import {
    hp_writer *writer;
    uint32_t flags;
    struct map blocks, threads;         /* name -> id; foreign number -> dense number + 1 */
    uint64_t next_id, time_ns, line, offset;
    uint32_t thread_count;              /* numbers given out, those of threads that ended included */
    bool failed;
    struct hp_import_report report;
};

static size_t home_of(const struct map *m, uint64_t name)
{
    return (size_t)(name * UINT64_C(0x9e3779b97f4a7c15) >> 24) & (m->room - 1);
}

static struct pair *map_slot(const struct map *m, uint64_t name)
{
    size_t at = home_of(m, name);

    while (m->slots[at].value && m->slots[at].name != name)
        at = (at + 1) & (m->room - 1);
    return &m->slots[at];
}

static bool map_put(struct map *m, uint64_t name, uint64_t value)
{
    if ((m->count + 1) * 2 > m->room) {
        struct map wider = { NULL, m->room ? m->room * 2 : 1024, m->count };
        wider.slots = calloc(wider.room, sizeof *wider.slots);
        if (!wider.slots)
            return false;
        for (size_t i = 0; i < m->room; i++)
            if (m->slots[i].value)
                *map_slot(&wider, m->slots[i].name) = m->slots[i];
        free(m->slots);
        *m = wider;
    }
    *map_slot(m, name) = (struct pair){ name, value };
    m->count++;
    return true;
}

/* Takes the name out and returns what it stood for, 0: nothing. */
static uint64_t map_take(struct map *m, uint64_t name)
{
    struct pair *slot = m->room ? map_slot(m, name) : NULL;
    uint64_t value = slot ? slot->value : 0;
    size_t mask = m->room - 1, hole;

    if (!value)
        return 0;
    hole = (size_t)(slot - m->slots);
    for (size_t at = (hole + 1) & mask; m->slots[at].value; at = (at + 1) & mask)
        if (((at - home_of(m, m->slots[at].name)) & mask) >= ((at - hole) & mask)) {
            m->slots[hole] = m->slots[at];
            hole = at;
        }
    m->slots[hole].value = 0;
    m->count--;
    return value;
}

hp_import *hp_import_begin(hp_writer *writer, uint32_t flags)
{
    struct hp_import *import = calloc(1, sizeof *import);

    if (import) {
        import->writer = writer;
        import->flags = flags;
        import->next_id = 1;
    }
    return import;
}

int hp_import_end(hp_import *import, struct hp_import_report *report)
{
    bool failed = import->failed;

    import->report.live_at_end = import->blocks.count;
    *report = import->report;
    free(import->blocks.slots);
    free(import->threads.slots);
    free(import);
    return failed ? HP_E_IO : 0;
}

bool hp_import_failed(const hp_import *import)
{
    return import->failed;
}

void hp_import_assume(hp_import *import, const char *sentence)
{
    char *all = import->report.assumed;
    size_t used = strlen(all);

    if (!strstr(all, sentence))
        snprintf(all + used, sizeof import->report.assumed - used, "%s%s", used ? "; " : "", sentence);
}

void hp_import_at(hp_import *import, const hp_source *source)
{
    import->line = hp_source_lines(source);
    import->offset = hp_source_offset(source);
}

void hp_import_at_line(hp_import *import, uint64_t line, uint64_t offset)
{
    import->line = line;
    import->offset = offset;
}

void hp_import_at_byte(hp_import *import, uint64_t offset)
{
    import->line = 0;
    import->offset = offset;
}

void hp_import_inversion(hp_import *import)
{
    import->report.inversions++;
}

bool hp_import_live(const hp_import *import, uint64_t name)
{
    return import->blocks.room && map_slot(&import->blocks, name)->value;
}

void hp_import_offence(hp_import *import, const char *what)
{
    struct hp_import_report *r = &import->report;
    size_t reason = 0;

    while (reason < HP_IMPORT_REASONS - 1 && r->reasons[reason].what && strcmp(r->reasons[reason].what, what))
        reason++;
    if (!r->reasons[reason].what)
        r->reasons[reason].what = reason < HP_IMPORT_REASONS - 1 ? what : "of other kinds";
    r->reasons[reason].count++;
    if (r->offences++ == 0 && import->line)
        snprintf(r->first, sizeof r->first, "line %" PRIu64 " (before byte %" PRIu64 "): %s", import->line,
                 import->offset, what);
    else if (r->offences == 1)
        snprintf(r->first, sizeof r->first, "byte %" PRIu64 ": %s", import->offset, what);
}

static void put(struct hp_import *import, const struct hp_event *event)
{
    import->failed |= hp_writer_append(import->writer, event) != 0;
}

static uint32_t thread_of(struct hp_import *import, uint64_t foreign)
{
    struct pair *slot = import->threads.room ? map_slot(&import->threads, foreign) : NULL;
    struct hp_event start = { .kind = HP_THREAD_START, .time_ns = import->time_ns };

    if (slot && slot->value)
        return (uint32_t)(slot->value - 1);
    start.thread = import->thread_count++;
    if (!map_put(&import->threads, foreign, start.thread + UINT64_C(1))) {
        import->failed = true;
        return 0;
    }
    if (import->flags & HP_HAS_THREADS)
        put(import, &start);
    return start.thread;
}

/* Times of other tools can go back a little between threads: they stand still then. */
static void set_time(struct hp_import *import, uint64_t time_ns)
{
    if (!(import->flags & HP_HAS_TIME))
        return;
    if (time_ns < import->time_ns)
        hp_import_assume(import, "times that went back stand still");
    else
        import->time_ns = time_ns;
}

/* Gives the made block its id; a live block of the same name is freed first. */
static void make(struct hp_import *import, struct hp_event *event, uint64_t name)
{
    uint64_t before = map_take(&import->blocks, name);

    if (before) {
        struct hp_event lost = { .kind = HP_FREE, .thread = event->thread, .time_ns = event->time_ns, .old_id = before };
        hp_import_offence(import, "allocation of a block that is live; a free was put before it");
        import->report.replaced++;
        put(import, &lost);
    }
    event->id = import->next_id++;
    import->failed |= !map_put(&import->blocks, name, event->id);
}

static unsigned bit(unsigned kind)
{
    return 1u << kind;
}

/* Clears what calls of this kind do not have: the writer refuses it. False: something was there. */
static bool clear_foreign_fields(struct hp_call *c)
{
    const unsigned counted = bit(HP_CALLOC) | bit(HP_REALLOCARRAY), unsized = bit(HP_FREE) | bit(HP_DELETE),
                   aligned = bit(HP_ALIGNED_ALLOC) | bit(HP_POSIX_MEMALIGN) | bit(HP_MEMALIGN) | bit(HP_NEW_ALIGNED)
                           | bit(HP_FREE_ALIGNED_SIZED) | bit(HP_DELETE_ALIGNED);
    struct hp_call before = *c;

    if (bit(c->kind) & unsized)
        c->size = 0;
    if (!(bit(c->kind) & counted))
        c->count = 0;
    if (!(bit(c->kind) & aligned))
        c->alignment = 0;
    if (!hp_kind_allocates(c->kind))
        c->made = 0;
    if (!hp_kind_frees(c->kind) && c->kind != HP_USABLE_SIZE)
        c->old = 0;
    return c->size == before.size && c->count == before.count && c->alignment == before.alignment
        && c->made == before.made && c->old == before.old;
}

void hp_import_call(hp_import *import, const struct hp_call *foreign)
{
    struct hp_call mended = *foreign;
    const struct hp_call *call = &mended;
    bool clean = clear_foreign_fields(&mended);
    struct hp_event event = { .kind = call->kind, .size = call->size, .count = call->count,
                              .alignment = call->alignment };
    bool gone;

    if (import->failed)
        return;
    if (!clean)
        hp_import_offence(import, "the call has a number that calls of its kind do not have; it was left out");
    if (event.alignment & (event.alignment - 1)) {
        hp_import_offence(import, "alignment is not a power of two");
        return;
    }
    set_time(import, call->time_ns);
    event.time_ns = import->time_ns;
    event.thread = thread_of(import, call->thread);
    if (call->kind == HP_THREAD_START)
        return;
    gone = call->old && hp_kind_frees(call->kind)
        && (!hp_kind_allocates(call->kind) || call->made || !call->size
            || (call->kind == HP_REALLOCARRAY && !call->count));
    if (call->old) {
        struct pair *slot = import->blocks.room ? map_slot(&import->blocks, call->old) : NULL;
        event.old_id = slot ? slot->value : 0;
        if (!event.old_id) {
            hp_import_offence(import, "free or realloc of a block that is not live");
            import->report.unknown_frees++;
            if (!call->made)
                return;
            event.kind = call->kind == HP_REALLOCARRAY ? HP_CALLOC : HP_MALLOC;
        } else if (gone) {
            map_take(&import->blocks, call->old);
        }
    }
    if (call->made)
        make(import, &event, call->made);
    put(import, &event);
    import->report.operations++;
}

void hp_import_thread_end(hp_import *import, uint64_t thread, uint64_t time_ns)
{
    struct hp_event event = { .kind = HP_THREAD_END };

    if (import->failed || !(import->flags & HP_HAS_THREADS))
        return;
    set_time(import, time_ns);
    event.thread = thread_of(import, thread);
    event.time_ns = import->time_ns;
    put(import, &event);
    /* The system may give its number to a new thread: that one gets a number of its own. */
    map_take(&import->threads, thread);
}

bool hp_take_number(const char **at, int base, uint64_t *v)
{
    const char *p = *at + strspn(*at, " \t");
    uint64_t value = 0;
    bool any = false;

    if (base == 16 && p[0] == '0' && (p[1] | 32) == 'x')
        p += 2;
    for (;; p++, any = true) {
        int c = *p | 32, digit = *p >= '0' && *p <= '9' ? *p - '0' : base == 16 && c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (digit < 0)
            break;
        if (__builtin_mul_overflow(value, (uint64_t)base, &value) || __builtin_add_overflow(value, (uint64_t)digit, &value))
            return false;
    }
    if (any) {
        *v = value;
        *at = p;
    }
    return any;
}

bool hp_take_any(const char **at, uint64_t *v)
{
    const char *p = *at + strspn(*at, " \t");

    return hp_take_number(at, p[0] == '0' && (p[1] | 32) == 'x' ? 16 : 10, v);
}

bool hp_take_word(const char **at, const char *word)
{
    const char *p = *at + strspn(*at, " \t");
    size_t n = strlen(word);

    if (strncmp(p, word, n))
        return false;
    *at = p + n;
    return true;
}

bool hp_at_end(const char *at)
{
    return at[strspn(at, " \t")] == 0;
}
