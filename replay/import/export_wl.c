/* export_wl.c - a trace as a workload of glibc's trace_run: one stream of opcodes for each thread. import/wl.c reads it again.
 *
 * Ids are slots that are used again, by the thread that emptied them. A block, or a slot, that passes from one thread to
 * another is preceded by a sync: the former thread writes it behind its last use, the latter waits for it. A sync
 * that an earlier one implies is left out. Streams wait in temporary files until all lengths are known.
 */
#include "import/import.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { DONE = 1, MALLOC = 2, CALLOC, REALLOC, FREE, SYNC_W, SYNC_R, ALLOC_PTRS, ALLOC_SYNCS, NTHREADS, START_THREAD, MEMALIGN,
       VALLOC, PVALLOC };

struct stream {
    FILE *file;
    uint64_t bytes;
    uint64_t unused;            /* slot emptied by this thread, 0: none; the slot's `next` leads on */
    uint64_t *synced;           /* of each thread: the last event of it that is known to be before what comes */
    uint32_t synced_room;
};

struct slot {
    uint64_t next, event;       /* in the list of empty slots; the last event that used it */
    uint32_t thread;
};

struct place {
    uint64_t id, slot;          /* id 0: empty */
};

struct wl {
    struct stream *streams;
    struct slot *slots;         /* from 1 */
    struct place *places;       /* hash from live id to slot, linear probing */
    size_t place_room, live;
    uint32_t threads, thread_room;
    uint64_t slot_count, slot_room, syncs, event;
    const char *failed;
};

static void put(struct wl *w, uint32_t thread, unsigned opcode, const uint64_t *numbers, unsigned count)
{
    struct stream *s = &w->streams[thread];

    fputc((int)opcode, s->file);
    s->bytes++;
    for (unsigned i = 0; i < count; i++)
        for (int shift = numbers[i] ? (63 - __builtin_clzll(numbers[i])) / 7 * 7 : 0; shift >= 0; shift -= 7, s->bytes++)
            fputc((int)(numbers[i] >> shift & 127) | (shift ? 128 : 0), s->file);
}

static bool widen(void **array, size_t count, size_t *room, size_t size)
{
    size_t wanted = *room ? *room * 2 : 64;
    void *wider;

    while (wanted <= count)
        wanted *= 2;
    if (count < *room)
        return true;
    wider = realloc(*array, wanted * size);
    if (!wider)
        return false;
    memset((char *)wider + *room * size, 0, (wanted - *room) * size);
    *array = wider;
    *room = wanted;
    return true;
}

static struct place *place_of(const struct wl *w, uint64_t id)
{
    size_t at = (size_t)(id * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (w->place_room - 1);

    while (w->places[at].id && w->places[at].id != id)
        at = (at + 1) & (w->place_room - 1);
    return &w->places[at];
}

static bool remember(struct wl *w, uint64_t id, uint64_t slot)
{
    if ((w->live + 1) * 2 > w->place_room) {
        struct wl wider = { .place_room = w->place_room ? w->place_room * 2 : 1024 };
        wider.places = calloc(wider.place_room, sizeof *wider.places);
        if (!wider.places)
            return false;
        for (size_t i = 0; i < w->place_room; i++)
            if (w->places[i].id)
                *place_of(&wider, w->places[i].id) = w->places[i];
        free(w->places);
        w->places = wider.places;
        w->place_room = wider.place_room;
    }
    *place_of(w, id) = (struct place){ id, slot };
    w->live++;
    return true;
}

static uint64_t forget(struct wl *w, uint64_t id)
{
    struct place *place = place_of(w, id);
    uint64_t slot = place->slot;
    size_t mask = w->place_room - 1, hole = (size_t)(place - w->places);

    for (size_t at = (hole + 1) & mask; w->places[at].id; at = (at + 1) & mask) {
        size_t home = (size_t)(w->places[at].id * UINT64_C(0x9e3779b97f4a7c15) >> 20) & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            w->places[hole] = w->places[at];
            hole = at;
        }
    }
    w->places[hole].id = 0;
    w->live--;
    return slot;
}

/* Orders this thread's next event after the last use of the slot, and makes it the last use. */
static void use(struct wl *w, uint32_t thread, uint64_t which)
{
    struct slot *slot = &w->slots[which];
    struct stream *s = &w->streams[thread];
    size_t room = s->synced_room;

    if (slot->event && slot->thread != thread) {
        if (!widen((void **)&s->synced, slot->thread, &room, sizeof *s->synced)) {
            w->failed = "out of memory for the order of threads";
            return;
        }
        s->synced_room = (uint32_t)room;
        if (s->synced[slot->thread] < slot->event) {
            uint64_t sync = ++w->syncs;
            put(w, slot->thread, SYNC_W, &sync, 1);
            put(w, thread, SYNC_R, &sync, 1);
            s->synced[slot->thread] = w->event;
        }
    }
    slot->thread = thread;
    slot->event = w->event;
}

static uint64_t new_slot(struct wl *w, uint32_t thread)
{
    struct stream *s = &w->streams[thread];
    uint64_t which = s->unused;

    if (which) {
        s->unused = w->slots[which].next;
        return which;
    }
    if (!widen((void **)&w->slots, w->slot_count + 1, &w->slot_room, sizeof *w->slots)) {
        w->failed = "out of memory for the blocks";
        return 0;
    }
    return ++w->slot_count;
}

static bool see_thread(struct wl *w, uint32_t thread)
{
    size_t room = w->thread_room;

    if (!widen((void **)&w->streams, thread, &room, sizeof *w->streams)) {
        w->failed = "out of memory for the threads";
        return false;
    }
    w->thread_room = (uint32_t)room;
    for (; w->threads <= thread; w->threads++)
        if (!(w->streams[w->threads].file = tmpfile())) {
            w->failed = "no temporary file for a thread; raise 'ulimit -n'";
            return false;
        }
    return true;
}

static unsigned opcode_of(const struct hp_event *e)
{
    switch (e->kind) {
    case HP_CALLOC:                                 return CALLOC;
    case HP_REALLOC: case HP_REALLOCARRAY:          return REALLOC;
    case HP_VALLOC:                                 return VALLOC;
    case HP_PVALLOC:                                return PVALLOC;
    case HP_ALIGNED_ALLOC: case HP_POSIX_MEMALIGN: case HP_MEMALIGN: case HP_NEW_ALIGNED: return MEMALIGN;
    case HP_USABLE_SIZE: case HP_THREAD_START: case HP_THREAD_END: return 0;
    default:                                        return hp_kind_allocates(e->kind) ? MALLOC : FREE;
    }
}

static void *begin(FILE *out, char *error, size_t error_size)
{
    struct wl *w = calloc(1, sizeof *w);

    (void)out;
    if (!w)
        snprintf(error, error_size, "out of memory");
    return w;
}

static bool event(void *state, FILE *out, const struct hp_event *e)
{
    struct wl *w = state;
    unsigned opcode = opcode_of(e), n = 0;
    uint64_t old = 0, made = 0, numbers[3];

    (void)out;
    if (w->failed || !see_thread(w, e->thread))
        return false;
    w->event++;
    if (!opcode)
        return e->kind != HP_USABLE_SIZE;
    if (e->old_id && w->place_room && place_of(w, e->old_id)->id)
        old = place_of(w, e->old_id)->slot;
    if (old)
        use(w, e->thread, old);
    if (old && hp_export_consumes(e))
        forget(w, e->old_id);
    if (e->id) {
        made = old ? old : new_slot(w, e->thread);
        if (made && !old)
            use(w, e->thread, made);
        if (!made || !remember(w, e->id, made)) {
            w->failed = "out of memory for the blocks";
            return false;
        }
    } else if (old && hp_export_consumes(e)) {
        w->slots[old].next = w->streams[e->thread].unused;
        w->streams[e->thread].unused = old;
    }
    if (opcode != FREE)
        numbers[n++] = made;
    if (opcode == FREE || opcode == REALLOC)
        numbers[n++] = old;
    if (opcode == MEMALIGN)
        numbers[n++] = e->alignment;
    if (opcode != FREE)
        numbers[n++] = hp_export_bytes(e);
    put(w, e->thread, opcode, numbers, n);
    return true;
}

static uint64_t length_of(uint64_t v)
{
    return v ? (63 - (unsigned)__builtin_clzll(v)) / 7 + 1 : 1;
}

/* The main program names offsets behind itself, whose lengths depend on its own: repeat until it stands still. */
static void write_head(struct wl *w, FILE *out)
{
    struct stream head = { .file = out }, *streams = w->streams;
    struct wl writer = { .streams = &head };
    uint64_t counts[] = { w->slot_count + 1, w->syncs + 1, w->threads }, size = 0, before;

    do {
        uint64_t offset = before = size;
        size = 4 + length_of(counts[0]) + length_of(counts[1]) + length_of(counts[2]);
        for (uint32_t t = 0; t < w->threads; t++) {
            size += 1 + length_of(offset);
            offset += streams[t].bytes;
        }
    } while (size != before);
    for (unsigned i = 0; i < 3; i++)
        put(&writer, 0, ALLOC_PTRS + i, &counts[i], 1);
    for (uint32_t t = 0; t < w->threads; t++) {
        put(&writer, 0, START_THREAD, &size, 1);
        size += streams[t].bytes;
    }
    put(&writer, 0, DONE, NULL, 0);
}

static bool end(void *state, FILE *out, char *error, size_t error_size)
{
    struct wl *w = state;

    for (uint32_t t = 0; t < w->threads && w->streams[t].file; t++)
        put(w, t, DONE, NULL, 0);
    if (!w->failed)
        write_head(w, out);
    for (uint32_t t = 0; t < w->threads; t++) {
        if (!w->failed && !hp_export_copy(w->streams[t].file, out))
            w->failed = "a temporary file could not be written or read; make room in /tmp";
        fclose(w->streams[t].file);
        free(w->streams[t].synced);
    }
    if (w->failed)
        snprintf(error, error_size, "%s", w->failed);
    bool done = !w->failed;
    free(w->streams);
    free(w->slots);
    free(w->places);
    free(w);
    return done;
}

const struct hp_exporter hp_export_wl = {
    "wl", "workload of glibc's trace_run",
    "times; C++, sized and aligned calls become malloc, free and memalign, calloc one element; the order of threads but "
    "where a block passes from one to another; malloc_usable_size is left out", begin, event, end
};
