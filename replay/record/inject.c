/* inject.c - see inject.h. */
#include "record/inject.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "record/image.h"
#include "record/tracee.h"

enum { STACK_BYTES = 256 * 1024, MAX_FUNCTIONS = 64, DLOPEN_FROM_OUTSIDE = (int)0x80000000 };

/* One of ours, and the program's own of the same name. */
struct function {
    char name[HP_SYMBOL_NAME];
    uint64_t ours, theirs;
};

struct slot {
    uint64_t entry;             /* of its object */
    uint64_t address;
    uint64_t before;            /* what it held; 0: it is not ours yet */
    unsigned function;
    bool is_data;
};

struct known {
    uint64_t entry, base;
};

struct hp_inject {
    struct hp_tracee tracee;
    char *library;
    uint64_t library_entry;
    struct hp_image image;                      /* of the library */
    struct function functions[MAX_FUNCTIONS];
    unsigned function_count;
    struct slot *slots;
    size_t slot_count, slot_room;
    struct known *known;
    size_t known_count;
    pid_t tid;                                  /* the thread that calls for us */
    int target_fd;
    bool out_of_memory;
    bool gone;
    uint64_t scanning;                          /* entry of the object whose slots are being noted */
};

/* Walks the loader's list; `visit` false ends it. */
typedef bool visitor(struct hp_inject *i, const struct hp_image *image, void *context);
static bool walk(struct hp_inject *i, visitor *visit, void *context)
{
    static struct hp_image image;
    unsigned state = 1;
    uint64_t at = hp_image_first(i->tracee.memory, i->tracee.pid, &state);

    if (!at || state != 0)
        return false;
    for (; at; at = image.next)
        if (!hp_image_load(i->tracee.memory, at, &image))
            return false;
        else if (!visit(i, &image, context))
            break;
    return true;
}

struct wanted {
    const char *name;
    const char *object;         /* part of its object's name; NULL: any */
    uint64_t address;
};

static bool look_for(struct hp_inject *i, const struct hp_image *image, void *context)
{
    struct wanted *w = context;

    if (image->entry != i->library_entry && (!w->object || strstr(image->name, w->object)))
        w->address = hp_image_symbol(i->tracee.memory, image, w->name);
    return !w->address;
}

/* The first definition in the order of loading, as the loader would choose. 0: none. */
static uint64_t symbol(struct hp_inject *i, const char *object, const char *name)
{
    struct wanted w = {name, object, 0};

    walk(i, look_for, &w);
    return w.address;
}

/* Where the loader's code lies. */
static void find_loader(pid_t pid, struct hp_entries *entries)
{
    char path[64], line[PATH_MAX + 128], *name;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        name = strrchr(line, '/');
        if (!name || strncmp(name, "/ld", 3) != 0)
            continue;
        if (!entries->loader)
            entries->loader = strtoull(line, NULL, 16);
        entries->loader_end = strtoull(strchr(line, '-') + 1, NULL, 16);
    }
    if (f)
        fclose(f);
}

/* False: it failed, or returned what `good` does not allow; the error is written. */
static bool call(struct hp_inject *i, uint64_t function, uint64_t stack, uint64_t *result, uint64_t a, uint64_t b, uint64_t c,
                 uint64_t d)
{
    const uint64_t arguments[6] = {a, b, c, d, (uint64_t)-1, 0};

    return hp_tracee_call(&i->tracee, i->tid, function, arguments, stack, result);
}

/* What dlerror says, in the program's own words. */
static bool explain(struct hp_inject *i, uint64_t stack)
{
    uint64_t dlerror = symbol(i, NULL, "dlerror"), text = 0;
    char words[400] = "";

    if (dlerror && call(i, dlerror, stack, &text, 0, 0, 0, 0) && text) {
        ssize_t n = pread(i->tracee.memory, words, sizeof words - 1, (off_t)text);
        words[n > 0 ? n : 0] = '\0';
    }
    return hp_tracee_fail(&i->tracee, "cannot be recorded because it cannot load the recorder%s%s", *words ? ": " : "", words);
}

static bool load(struct hp_inject *i)
{
    uint64_t map = symbol(i, "libc.so", "mmap"), unmap = symbol(i, "libc.so", "munmap");
    uint64_t open_library = symbol(i, "libc.so", "dlopen");
    uint64_t mode = 2 /* RTLD_NOW */, stack = 0, handle = 0, fd = 0, function;
    bool good;

    if (!open_library) {                        /* before glibc 2.34 */
        open_library = symbol(i, "libc.so", "__libc_dlopen_mode");
        mode |= (uint64_t)(uint32_t)DLOPEN_FROM_OUTSIDE;
    }
    if (!map || !unmap || !open_library)
        return hp_tracee_fail(&i->tracee, "cannot be recorded because it has no glibc; start it by heaplay record");
    if (!call(i, map, 0, &stack, 0, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS))
        return false;
    if (stack > UINT64_MAX - 4096)
        return hp_tracee_fail(&i->tracee, "cannot be recorded because it has no memory left for a stack; raise its limit");
    good = hp_tracee_write(&i->tracee, stack, i->library, strlen(i->library) + 1) &&
           call(i, open_library, stack + STACK_BYTES, &handle, stack, mode, 0, 0);
    if (good && !handle)
        good = explain(i, stack + STACK_BYTES);
    if (good) {
        good = hp_image_load(i->tracee.memory, handle, &i->image) &&
               (function = hp_image_symbol(i->tracee.memory, &i->image, "heaplay_record_memory")) &&
               call(i, function, stack + STACK_BYTES, &fd, 0, 0, 0, 0);
        i->library_entry = handle;
        i->target_fd = (int)fd;
    }
    if (good && i->target_fd < 0)
        good = hp_tracee_fail(&i->tracee, "cannot make shared memory: %s", strerror(-i->target_fd));
    if (i->tracee.count)
        call(i, unmap, 0, &fd, stack, STACK_BYTES, 0, 0);
    return good;
}

static void take_function(void *context, const char *name, uint64_t address)
{
    struct hp_inject *i = context;
    struct function *f = &i->functions[i->function_count];

    if (i->function_count == MAX_FUNCTIONS || !strncmp(name, "heaplay_", 8))
        return;
    snprintf(f->name, sizeof f->name, "%s", name);
    f->ours = address;
    f->theirs = symbol(i, NULL, name);
    i->function_count++;
}

static void take_slot(void *context, const struct hp_slot_use *use)
{
    struct hp_inject *i = context;
    struct slot slot = {.entry = i->scanning, .address = use->address, .is_data = use->is_data};

    while (slot.function < i->function_count && strcmp(i->functions[slot.function].name, use->symbol) != 0)
        slot.function++;
    if (slot.function == i->function_count)
        return;
    if (i->slot_count == i->slot_room) {
        size_t room = i->slot_room ? 2 * i->slot_room : 256;
        struct slot *slots = realloc(i->slots, room * sizeof *slots);

        if (!slots) {
            i->out_of_memory = true;
            return;
        }
        i->slots = slots;
        i->slot_room = room;
    }
    i->slots[i->slot_count++] = slot;
}

struct seen {
    struct known *objects;
    size_t count, room;
    bool own;                   /* our library is among them */
};

/* Notes the slots of an object that is new. */
static bool see(struct hp_inject *i, const struct hp_image *image, void *context)
{
    struct seen *s = context;
    bool old = false;

    if (s->count == s->room) {
        size_t room = s->room ? 2 * s->room : 64;
        struct known *objects = realloc(s->objects, room * sizeof *objects);

        if (!objects)
            return !(i->out_of_memory = true);
        s->objects = objects;
        s->room = room;
    }
    s->objects[s->count++] = (struct known){image->entry, image->base};
    s->own |= image->entry == i->library_entry && image->base == i->image.base;
    for (size_t k = 0; k < i->known_count && !old; k++)
        old = i->known[k].entry == image->entry && i->known[k].base == image->base;
    if (!old && !hp_image_symbol(i->tracee.memory, image, "heaplay_record_begin")) {
        i->scanning = image->entry;
        hp_image_slots(i->tracee.memory, image, take_slot, i);
    }
    return true;
}

/* Slots of objects that were unloaded are somebody else's memory now. */
static void drop_unloaded(struct hp_inject *i, const struct seen *s)
{
    size_t kept = 0;

    for (size_t k = 0; k < i->slot_count; k++) {
        bool loaded = false;

        for (size_t o = 0; o < s->count && !loaded; o++)
            loaded = s->objects[o].entry == i->slots[k].entry;
        if (loaded)
            i->slots[kept++] = i->slots[k];
    }
    i->slot_count = kept;
}

/* Brings the lists up to date. False: the loader is at work, or the process is gone. */
static bool survey(struct hp_inject *i)
{
    struct seen s = {0};

    if (!walk(i, see, &s) || !s.own) {
        i->gone |= s.count > 0 && !s.own;
        free(s.objects);
        return false;
    }
    drop_unloaded(i, &s);
    free(i->known);
    i->known = s.objects;
    i->known_count = s.count;
    return true;
}

/* Is it to be written? A slot that a thread was binding when we wrote it holds the program's function again. */
static bool wants(struct hp_inject *i, const struct slot *slot, uint64_t *held)
{
    const struct function *f = &i->functions[slot->function];

    if (!hp_image_read(i->tracee.memory, slot->address, held, sizeof *held) || *held == f->ours || *held == 0)
        return false;
    return slot->before || slot->is_data ? *held == f->theirs : true;
}

/* All threads are stopped. */
static void patch(struct hp_inject *i)
{
    uint64_t held;

    for (size_t k = 0; k < i->slot_count; k++)
        if (wants(i, &i->slots[k], &held) &&
            hp_tracee_write(&i->tracee, i->slots[k].address, &i->functions[i->slots[k].function].ours, sizeof held))
            i->slots[k].before = held;
}

struct hp_inject *hp_inject_open(pid_t pid, const char *library, int *memory, char *error, size_t error_size)
{
    static const char *const entries[HP_ENTRIES] = {"malloc", "free", "_Znwm", "_ZdlPv"};
    struct hp_inject *i = calloc(1, sizeof *i);
    struct hp_entries at = {0};
    char path[64];

    if (!i || !(i->library = strdup(library)) || !hp_tracee_open(&i->tracee, pid, error, error_size)) {
        snprintf(error, error_size, "process %d cannot be recorded: its memory cannot be read: %s", (int)pid, strerror(errno));
        goto failed;
    }
    find_loader(pid, &at);
    if (!symbol(i, NULL, "malloc")) {
        hp_tracee_fail(&i->tracee, "cannot be recorded because it calls no malloc that can be found, "
                       "or is still being loaded; try again, or start it by heaplay record");
        goto failed;
    }
    for (unsigned e = 0; e < HP_ENTRIES; e++)
        at.address[e] = symbol(i, NULL, entries[e]);
    if (!hp_tracee_stop(&i->tracee) || !hp_tracee_safe_point(&i->tracee, &at, &i->tid))
        goto failed;
    hp_tracee_release(&i->tracee, i->tid);      /* dlopen may need a lock that another thread holds */
    if (!load(i))
        goto failed;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)pid, i->target_fd);
    *memory = open(path, O_RDWR | O_CLOEXEC);
    if (*memory >= 0) {
        hp_image_functions(i->tracee.memory, &i->image, take_function, i);
        survey(i);
        return i;
    }
    hp_tracee_fail(&i->tracee, "cannot be recorded: its shared memory cannot be opened: %s", strerror(errno));
failed:
    hp_inject_close(i);
    return NULL;
}

bool hp_inject_begin(struct hp_inject *i)
{
    uint64_t function = hp_image_symbol(i->tracee.memory, &i->image, "heaplay_record_begin"), result = 0;
    int code;

    if (!call(i, function, 0, &result, (uint64_t)i->target_fd, 0, 0, 0))
        return false;
    i->target_fd = -1;
    code = (int)result;
    if (code == -EBUSY)
        return hp_tracee_fail(&i->tracee, "cannot be recorded because another heaplay records it; end that recording first");
    if (code != 0)
        return hp_tracee_fail(&i->tracee, "cannot be recorded: the recorder was not accepted there: %s", strerror(-code));
    if (!hp_tracee_stop(&i->tracee))
        return false;
    survey(i);
    patch(i);
    hp_tracee_release(&i->tracee, 0);
    return !i->out_of_memory || hp_tracee_fail(&i->tracee, "cannot be recorded: out of memory for the list of its calls");
}

bool hp_inject_refresh(struct hp_inject *i)
{
    uint64_t held;
    bool needed = false;

    if (!hp_image_read(i->tracee.memory, i->image.base, &held, sizeof held))
        return false;
    if (!survey(i))
        return !i->gone;
    for (size_t k = 0; k < i->slot_count && !needed; k++)
        needed = wants(i, &i->slots[k], &held);
    if (needed && hp_tracee_stop(&i->tracee)) {
        if (survey(i))
            patch(i);
    }
    hp_tracee_release(&i->tracee, 0);
    return true;
}

/* A slot that does not hold our function is left alone: the object is gone, or the process has executed another image. */
void hp_inject_end(struct hp_inject *i, pid_t pid)
{
    struct hp_tracee child, *t = &i->tracee;
    char error[256];
    uint64_t held;
    bool stopped;

    if (pid != t->pid) {
        if (!hp_tracee_open(&child, pid, error, sizeof error))
            return;
        t = &child;
    }
    stopped = hp_tracee_stop(t);
    if (!stopped && !t->gone)
        fprintf(stderr, "heaplay: the recorder stays in place, idle, until the next recording ends: %s\n", t->error);
    if (stopped)
        for (size_t k = 0; k < i->slot_count; k++) {
            const struct slot *slot = &i->slots[k];
            const struct function *f = &i->functions[slot->function];
            const uint64_t *back = slot->before ? &slot->before : &f->theirs;   /* none: an earlier recording left ours there */

            if (hp_image_read(t->memory, slot->address, &held, sizeof held) && held == f->ours && *back != 0)
                hp_tracee_write(t, slot->address, back, sizeof held);
        }
    hp_tracee_release(t, 0);
    if (t == &child)
        hp_tracee_close(t);
}

void hp_inject_close(struct hp_inject *i)
{
    uint64_t result, closes;

    if (!i)
        return;
    if (i->target_fd > 0 && i->tracee.count && (closes = symbol(i, "libc.so", "close")))
        call(i, closes, 0, &result, (uint64_t)i->target_fd, 0, 0, 0);
    hp_tracee_release(&i->tracee, 0);
    hp_tracee_close(&i->tracee);
    free(i->library);
    free(i->slots);
    free(i->known);
    free(i);
}
