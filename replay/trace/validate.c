/* validate.c - the consistency of a trace, event by event. Called by `heaplay check` and by tests.
 *
 * Rules
 *   1 An old id names a block that is live.
 *   2 A new id is the next number; the reader and the writer keep to that too.
 *   3 An alignment is 0 or a power of two, times do not decrease.
 *   4 A thread that says thread_start says so first and once; nothing follows its thread_end. In a trace with
 *     HP_HAS_THREADS every thread but 0 starts that way.
 *   5 Thread numbers are dense, and the trailer counts what is there.
 */
#include "trace/validate.h"
#include "trace/format.h"
#include "trace/live.h"
#include "trace/threads.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool hp_event_consumes(const struct hp_event *event)
{
    if (!event->old_id || !hp_kind_frees(event->kind))
        return false;
    return !hp_kind_allocates(event->kind) || event->id || hp_event_bytes(event) == 0;
}

uint64_t hp_event_bytes(const struct hp_event *event)
{
    uint64_t bytes;

    if (!(hp_kind_fields(event->kind) & HP_F_COUNT))
        return event->size;
    return __builtin_mul_overflow(event->count, event->size, &bytes) ? UINT64_MAX : bytes;
}

struct state {
    hp_reader *reader;
    struct hp_validation *result;
    struct hp_live live;
    struct hp_threads threads;
    uint64_t next_id;
};

static int fault(struct state *s, const struct hp_event *e, const char *what)
{
    snprintf(s->result->text, sizeof s->result->text,
             "event %" PRIu64 " (block at byte %" PRIu64 "), %s by thread %" PRIu32 " with id %" PRIu64 ", old id %"
             PRIu64 ", size %" PRIu64 ": %s; the program that wrote the trace is at fault",
             s->result->events, hp_reader_position(s->reader), hp_kind_name(e->kind), e->thread, e->id, e->old_id,
             e->size, what);
    return HP_E_INVALID;
}

static const char *thread_fault(struct state *s, const struct hp_event *e)
{
    bool known = hp_reader_meta(s->reader)->flags & HP_HAS_THREADS;
    unsigned char *state = hp_threads_see(&s->threads, e->thread), before;

    if (!state)
        return "the thread's number is beyond any bound";
    before = *state;
    if (before & HP_THREAD_ENDED)
        return "the thread has ended before";
    if (e->kind == HP_THREAD_START && before & HP_THREAD_STARTED)
        return "the thread was in use before it started";
    if (e->kind != HP_THREAD_START && known && e->thread != 0 && !(before & HP_THREAD_STARTED))
        return "the thread has not started";
    *state |= HP_THREAD_STARTED;
    if (e->kind == HP_THREAD_END)
        *state |= HP_THREAD_ENDED;
    return NULL;
}

static int check_event(struct state *s, const struct hp_event *e)
{
    const char *what = thread_fault(s, e);
    struct hp_live_block *old = NULL;

    if (what)
        return fault(s, e, what);
    if (e->time_ns < s->result->last_ns)
        return fault(s, e, "time decreases");
    if (e->alignment & (e->alignment - 1))
        return fault(s, e, "the alignment is not a power of two");
    if (e->old_id && !(old = hp_live_find(&s->live, e->old_id)))
        return fault(s, e, e->old_id < s->next_id ? "the block was freed before" : "the block does not exist yet");
    if (old && hp_event_consumes(e))
        hp_live_remove(&s->live, old);
    if (e->id) {
        struct hp_live_block block = { .id = e->id, .size = hp_event_bytes(e), .born = s->result->operations,
                                       .thread = e->thread };
        if (e->id != s->next_id++)
            return fault(s, e, "the id is not the next one");
        if (hp_live_add(&s->live, &block)) {
            snprintf(s->result->text, sizeof s->result->text, "out of memory for %zu live blocks", s->live.count);
            return HP_E_IO;
        }
    }
    return 0;
}

static int check_trailer(struct hp_validation *r, const struct hp_threads *threads, const struct hp_trailer *t)
{
    const struct { const char *name; uint64_t said, found; } counts[] = {
        { "events", t->events, r->events },
        { "allocations", t->allocations, r->allocations },
        { "frees", t->frees, r->frees },
        { "threads", t->threads, threads->count },
    };

    if (threads->count != threads->limit) {
        snprintf(r->text, sizeof r->text, "thread numbers are not dense: the highest is %" PRIu32 ", but there are only %"
                 PRIu32 " threads; the program that wrote the trace is at fault", threads->limit - 1, threads->count);
        return HP_E_INVALID;
    }
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        if (counts[i].said == counts[i].found)
            continue;
        snprintf(r->text, sizeof r->text, "trailer: %" PRIu64 " %s stated, %" PRIu64
                 " found; the program that wrote the trace is at fault", counts[i].said, counts[i].name, counts[i].found);
        return HP_E_INVALID;
    }
    if (t->end_ns < r->last_ns) {
        snprintf(r->text, sizeof r->text, "trailer: end at %" PRIu64 " ns, but the last event is at %" PRIu64
                 " ns; the program that wrote the trace is at fault", t->end_ns, r->last_ns);
        return HP_E_INVALID;
    }
    return 0;
}

int hp_validate(hp_reader *reader, struct hp_validation *result)
{
    struct state s = { .reader = reader, .result = result, .next_id = 1 };
    struct hp_event event;
    int got, error = 0;

    memset(result, 0, sizeof *result);
    if (hp_live_init(&s.live)) {
        snprintf(result->text, sizeof result->text, "out of memory for the table of live blocks");
        return HP_E_IO;
    }
    while (!error && (got = hp_reader_next(reader, &event)) == 1) {
        error = check_event(&s, &event);
        if (error)
            break;
        result->events++;
        result->operations += event.kind < HP_THREAD_START;
        result->allocations += event.id != 0;
        result->frees += event.old_id && hp_kind_frees(event.kind);
        result->made += event.id && !event.old_id;
        result->moved += event.id && event.old_id;
        result->freed += !event.id && hp_event_consumes(&event);
        result->last_ns = event.time_ns;
    }
    if (!error && got < 0) {
        error = got;
        snprintf(result->text, sizeof result->text, "%s", hp_reader_error(reader));
    } else if (!error) {
        error = check_trailer(result, &s.threads, hp_reader_trailer(reader));
    }
    result->live_at_end = s.live.count;
    result->threads = s.threads.count;
    hp_live_free(&s.live);
    hp_threads_free(&s.threads);
    return error;
}
