/* cmd_slice.c - heaplay slice, head and tail: a part of a trace that is a trace of its own.
 *
 * The part is given by operations, by times or by one thread. Blocks that live at its start are allocated first, in the order of
 * their ids, each on the thread that made it and by the kind of call that made it (malloc, if it was moved since); of another thread's blocks (--thread) those that the thread frees or moves
 * without having made them are left out. tail reads the trace twice to know its length. */
#include "cli/arguments.h"
#include "cli/commands.h"
#include "cli/derive.h"
#include "trace/live.h"
#include "trace/validate.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct range {
    uint64_t from_op, to_op, from_ns, to_ns, thread;    /* up to but not including; thread UINT64_MAX: all */
};

static int by_id(const void *a, const void *b)
{
    const struct hp_live_block *x = a, *y = b;

    return (x->id > y->id) - (x->id < y->id);
}

/* What made the block, without any block before it. */
static struct hp_event maker_of(const struct hp_live_block *b, uint64_t time_ns)
{
    bool moved = hp_kind_frees(b->kind), counted = b->kind == HP_CALLOC;

    return (struct hp_event){ .kind = moved ? HP_MALLOC : (uint8_t)b->kind, .thread = b->thread, .time_ns = time_ns, .id = b->id,
                              .size = b->size, .count = counted, .alignment = b->align_class ? UINT64_C(1) << (b->align_class - 1) : 0 };
}

/* Allocates what is live; the table is emptied into order. */
static void allocate_live(struct hp_derive *d, struct hp_live *live, uint64_t time_ns)
{
    size_t n = 0;

    for (size_t i = 0; i < live->room; i++)
        if (live->slots[i].id)
            live->slots[n++] = live->slots[i];
    qsort(live->slots, n, sizeof *live->slots, by_id);
    for (size_t i = 0; i < n && !d->failed; i++) {
        struct hp_event e = maker_of(&live->slots[i], time_ns);
        hp_derive_put_event(d, &e);
    }
    live->count = 0;
}

static bool follow(struct hp_live *live, const struct hp_event *e)
{
    struct hp_live_block block = { .id = e->id, .size = hp_event_bytes(e), .thread = e->thread, .kind = e->kind,
                                   .align_class = e->alignment ? 64u - (unsigned)__builtin_clzll(e->alignment) : 0 }, *old;

    if (hp_event_consumes(e) && (old = hp_live_find(live, e->old_id)))
        hp_live_remove(live, old);
    return !e->id || hp_live_add(live, &block) == 0;
}

static int copy(const struct range *r, hp_reader *reader, struct hp_derive *d)
{
    struct hp_event e;
    struct hp_live live;
    uint64_t operations = 0;
    bool begun = false;
    int got = 0;

    if (hp_live_init(&live)) {
        d->failed = true;
        return 0;
    }
    /* Not one event further: what follows the part need not be there. */
    while (!d->failed && operations < r->to_op && (got = hp_reader_next(reader, &e)) == 1 && e.time_ns < r->to_ns) {
        bool mine = r->thread == UINT64_MAX || e.thread == r->thread;
        if (!begun && operations >= r->from_op && e.time_ns >= r->from_ns) {
            begun = true;
            allocate_live(d, &live, e.time_ns);
        }
        if (begun && mine)
            hp_derive_put_event(d, &e);
        else if (!begun && mine)
            d->failed |= !follow(&live, &e);
        else if (begun && hp_event_consumes(&e) && hp_derive_get(&d->ids, e.old_id)) {
            /* Another thread takes the block away: its owner frees it. */
            hp_derive_put_event(d, &(struct hp_event){ .kind = HP_FREE, .thread = (uint32_t)r->thread,
                                                       .time_ns = e.time_ns, .old_id = e.old_id });
        }
        operations += e.kind < HP_THREAD_START;
    }
    hp_live_free(&live);
    return got < 0 ? got : 0;
}

static int slice(const char *tool, const struct range *r, const char *path, const char *to)
{
    hp_reader *reader = hp_derive_read(tool, path);
    struct hp_derive d;
    bool empty;
    int code;

    if (!reader)
        return HP_EXIT_BAD_INPUT;
    if (!(hp_reader_meta(reader)->flags & HP_HAS_TIME) && (r->from_ns || r->to_ns != UINT64_MAX)) {
        fprintf(stderr, "heaplay %s: %s has no times; cut it with --ops\n", tool, path);
        hp_reader_close(reader);
        return HP_EXIT_BAD_INPUT;
    }
    if (!hp_derive_begin(&d, tool, to, hp_reader_meta(reader))) {
        hp_reader_close(reader);
        return HP_EXIT_BAD_INPUT;
    }
    code = copy(r, reader, &d);
    empty = !code && !d.failed && d.next_id == 1;
    if (empty)
        fprintf(stderr, "heaplay %s: nothing of %s lies in this part; 'heaplay info' says how long it is\n", tool, path);
    d.unwanted = empty;
    code = hp_derive_end(&d, reader, code);
    return empty ? HP_EXIT_BAD_INPUT : code;
}

/* A(:B), in the unit `scale`; A or B may be left out. */
static bool take_range(const char *text, double scale, uint64_t *from, uint64_t *to)
{
    char low[64], *colon;
    double a = 0, b = INFINITY;

    snprintf(low, sizeof low, "%s", text);
    colon = strchr(low, ':');
    if (!colon || strlen(text) >= sizeof low)
        return false;
    *colon = 0;
    if ((*low && !hp_arg_real(low, 0, 1e15, &a)) || (colon[1] && !hp_arg_real(colon + 1, 0, 1e15, &b)) || b < a)
        return false;
    *from = (uint64_t)(a * scale);
    *to = b * scale < 1.8e19 ? (uint64_t)(b * scale) : UINT64_MAX;
    return true;
}

static const char usage[] =
    "usage: heaplay slice [--ops FROM:TO] [--time FROM:TO] [--thread N] IN.hpt -o OUT.hpt      (times in seconds)\n"
    "       heaplay head [-n OPERATIONS] IN.hpt -o OUT.hpt      heaplay tail [-n OPERATIONS] IN.hpt -o OUT.hpt\n"
    "Blocks that live where the part begins are allocated first. FROM or TO may be left out; TO does not belong to it.\n";

/* take_range, with the reason when it refuses. */
static bool take(const char *option, const char *text, double scale, uint64_t *from, uint64_t *to)
{
    if (take_range(text, scale, from, to))
        return true;
    fprintf(stderr, "heaplay slice: %s %s is not FROM:TO, two numbers of which the second is not the smaller one\n%s", option,
            text, usage);
    return false;
}

static bool count_operations(const char *tool, const char *path, uint64_t *operations)
{
    hp_reader *reader = hp_derive_read(tool, path);
    struct hp_event e;
    int got;

    if (!reader)
        return false;
    for (*operations = 0; (got = hp_reader_next(reader, &e)) == 1;)
        *operations += e.kind < HP_THREAD_START;
    if (got < 0)
        fprintf(stderr, "heaplay %s: %s\n", tool, hp_reader_error(reader));
    hp_reader_close(reader);
    return got == 0;
}

int hp_cmd_slice(int argc, char **argv)
{
    struct range r = { 0, UINT64_MAX, 0, UINT64_MAX, UINT64_MAX };
    bool is_slice = !strcmp(argv[0], "slice"), is_tail = !strcmp(argv[0], "tail");
    struct hp_derive_files files = { NULL, NULL };
    uint64_t count = 1000, total;

    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc, good = true;
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h")) {
            fputs(usage, stdout);
            return HP_EXIT_OK;
        }
        if (is_slice && !strcmp(argv[i], "--ops") && more) {
            if (!take("--ops", argv[++i], 1, &r.from_op, &r.to_op))
                return HP_EXIT_USAGE;
        } else if (is_slice && !strcmp(argv[i], "--time") && more) {
            if (!take("--time", argv[++i], 1e9, &r.from_ns, &r.to_ns))
                return HP_EXIT_USAGE;
        } else if (is_slice && !strcmp(argv[i], "--thread") && more) {
            good = hp_arg_whole(argv[++i], 0, UINT32_MAX - 1, &r.thread);
        } else if (!is_slice && !strcmp(argv[i], "-n") && more) {
            good = hp_arg_whole(argv[++i], 1, UINT64_MAX, &count);
        } else {
            good = hp_derive_take_file(&files, argc, argv, &i);
        }
        if (!good)
            return hp_derive_refuse(argv[0], argv[i], usage);
    }
    if (!hp_derive_has_files(&files, argv[0], usage))
        return HP_EXIT_USAGE;
    if (is_tail && !strcmp(files.in, "-")) {
        fprintf(stderr, "heaplay tail: tail reads its input twice, so it must be a file\n%s", usage);
        return HP_EXIT_USAGE;
    }
    if (!is_slice && !is_tail)
        r.to_op = count;
    if (is_tail && !count_operations(argv[0], files.in, &total))
        return HP_EXIT_BAD_INPUT;
    if (is_tail)
        r.from_op = total > count ? total - count : 0;
    return slice(argv[0], &r, files.in, files.out);
}
