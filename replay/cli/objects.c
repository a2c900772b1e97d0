/* objects.c - see objects.h. The sample of a phase is a reservoir: an object takes its place when it begins. */
#include "cli/objects.h"
#include "cli/derive.h"
#include "trace/validate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PHASE_LEAST 2048u               /* operations */
#define PLACE_BITS  12u                 /* of HP_PHASE_OBJECTS */
#define PHASE_BITS  7u                  /* of HP_PHASES_MAX */

_Static_assert(HP_PHASE_OBJECTS == 1u << PLACE_BITS && HP_PHASES_MAX == 1u << PHASE_BITS, "places fit into their bits");

uint64_t hp_objects_random(struct hp_objects *o, uint64_t below)
{
    o->random ^= o->random << 13;
    o->random ^= o->random >> 7;
    o->random ^= o->random << 17;
    return (o->random >> 11) % below;
}

/* What the table of live ids keeps of an object; the highest bit tells it from nothing. */
static uint64_t place_of(const struct hp_objects *o, const struct hp_phase *phase, const struct hp_object *object)
{
    return UINT64_C(1) << 63 | (uint64_t)object->generation << (PHASE_BITS + PLACE_BITS)
        | (uint64_t)(phase - o->phases) << PLACE_BITS | (uint64_t)(object - phase->objects);
}

/* NULL: never kept, or another object has its place by now. */
static struct hp_object *object_at(struct hp_objects *o, uint64_t place)
{
    struct hp_phase *phase = &o->phases[place >> PLACE_BITS & (HP_PHASES_MAX - 1)];
    struct hp_object *object = &phase->objects[place & (HP_PHASE_OBJECTS - 1)];

    return place && place_of(o, phase, object) == place ? object : NULL;
}

static bool add_call(struct hp_object *object, const struct hp_event *e, uint64_t now)
{
    bool ends = hp_event_consumes(e) && !e->id;
    struct hp_object_call call = { .size = e->size, .count = e->count, .wait = object->count ? now - object->last : 0,
                                   .thread = e->thread, .kind = e->kind, .made = e->id != 0,
                                   .align_class = e->alignment ? (uint8_t)(64 - __builtin_clzll(e->alignment)) : 0 };

    if (object->count >= HP_OBJECT_CALLS && !ends)
        return true;
    if (object->count == object->room) {
        uint32_t room = object->room ? object->room * 2 : 2;
        struct hp_object_call *wider = realloc(object->calls, room * sizeof *wider);
        if (!wider)
            return false;
        object->calls = wider;
        object->room = room;
    }
    object->calls[object->count++] = call;
    object->last = now;
    return true;
}

/* *object is NULL when the sample goes on without it. */
static bool begin_object(struct hp_objects *o, uint64_t now, struct hp_phase **phase, struct hp_object **object)
{
    struct hp_phase *p = *phase = &o->phases[(uint64_t)((double)now / (double)o->operations * o->phase_count)];
    uint64_t at = p->begun < HP_PHASE_OBJECTS ? p->begun : hp_objects_random(o, p->begun + 1);

    *object = NULL;
    p->begun++;
    if (!p->objects && !(p->objects = calloc(HP_PHASE_OBJECTS, sizeof *p->objects)))
        return false;
    if (at >= HP_PHASE_OBJECTS)
        return true;
    p->count += at == p->count;
    *object = &p->objects[at];
    (*object)->count = 0;
    (*object)->generation++;
    return true;
}

static bool take_event(struct hp_objects *o, struct hp_derive_map *live, const struct hp_event *e, uint64_t now)
{
    struct hp_phase *phase;
    struct hp_object *object;
    uint64_t place;

    if (e->old_id) {
        place = hp_event_consumes(e) ? hp_derive_take(live, e->old_id) : hp_derive_get(live, e->old_id);
        object = object_at(o, place);
    } else {
        if (!begin_object(o, now, &phase, &object))
            return false;
        place = object ? place_of(o, phase, object) : 0;
    }
    return !object || (add_call(object, e, now) && (!e->id || hp_derive_put(live, e->id, place)));
}

/* Every operation of the trace goes to `take` (NULL: they are counted only). */
static bool pass(struct hp_objects *o, const char *tool, const char *path,
                 bool (*take)(struct hp_objects *, struct hp_derive_map *, const struct hp_event *, uint64_t))
{
    hp_reader *reader = hp_derive_read(tool, path);
    struct hp_derive_map live = { 0 };
    struct hp_event e;
    uint64_t now = 0;
    bool good = true;
    int got = 0;

    if (!reader)
        return false;
    while (good && (got = hp_reader_next(reader, &e)) == 1)
        if (e.kind < HP_THREAD_START) {
            good = !take || (now < o->operations && take(o, &live, &e, now));
            now++;
        }
    if (got < 0 || !good)
        fprintf(stderr, "heaplay %s: %s\n", tool, got < 0 ? hp_reader_error(reader) : "out of memory for the sample");
    if (!take)
        o->operations = now;
    free(live.slots);
    hp_reader_close(reader);
    return good && got == 0;
}

bool hp_objects_learn(struct hp_objects *o, const char *tool, const char *path)
{
    if (!pass(o, tool, path, NULL))
        return false;
    if (!o->operations) {
        fprintf(stderr, "heaplay %s: %s holds no call to learn from\n", tool, path);
        return false;
    }
    o->phase_count = o->operations / PHASE_LEAST < HP_PHASES_MAX ? (uint32_t)(o->operations / PHASE_LEAST) : HP_PHASES_MAX;
    o->phase_count += o->phase_count == 0;
    return pass(o, tool, path, take_event);
}

void hp_objects_free(struct hp_objects *o)
{
    for (uint32_t p = 0; p < o->phase_count; p++) {
        for (uint32_t i = 0; i < o->phases[p].count; i++)
            free(o->phases[p].objects[i].calls);
        free(o->phases[p].objects);
    }
}
