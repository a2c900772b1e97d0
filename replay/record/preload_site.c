/* preload_site.c - record --sites DEPTH: which code asked for a block. Called by hp_preload_log() before it logs an allocation.
 *
 * The stack is unwound by libgcc's unwinder, which is linked in. A site is a list of return addresses; its number is its place in
 * a table of hashes that all threads share. Whoever meets a site first also sends its addresses, and the modules that are new.
 */
#include <errno.h>
#include <link.h>
#include <string.h>
#include <unistd.h>
#include <unwind.h>

#include "record/preload.h"

enum { PROBES = 64, BETWEEN = 2, MAX_MODULES = 256 };   /* BETWEEN: frames of operator new between two of ours */

struct walk {
    uintptr_t pc[HP_SITE_DEPTH + BETWEEN];
    unsigned count, room;
};

uint32_t hp_site_depth;
static _Atomic uint64_t hashes[HP_SITE_COUNT];
static struct {
    uintptr_t begin, end;
} modules[MAX_MODULES];
static unsigned module_count;
static _Atomic uint32_t module_lock;

extern const char __ehdr_start[] __attribute__((visibility("hidden"))), _end[] __attribute__((visibility("hidden")));

/* Another recording, or a forked child: its trace knows nothing yet. */
void hp_preload_sites(uint32_t depth)
{
    hp_site_depth = depth;
    if (!depth)
        return;
    memset(hashes, 0, sizeof hashes);
    module_count = 0;
    atomic_store(&module_lock, 0);
}

static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *argument)
{
    struct walk *w = argument;
    uintptr_t pc = _Unwind_GetIP(context);

    if (!pc)
        return _URC_END_OF_STACK;
    if (pc - (uintptr_t)__ehdr_start < (uintptr_t)(_end - __ehdr_start)) {
        w->count = 0;                   /* all until here was called by ours */
        return _URC_NO_REASON;
    }
    w->pc[w->count++] = pc;
    return w->count == w->room ? _URC_END_OF_STACK : _URC_NO_REASON;
}

static bool is_known(uintptr_t pc)
{
    for (unsigned i = 0; i < module_count; i++)
        if (pc - modules[i].begin < modules[i].end - modules[i].begin)
            return true;
    return false;
}

/* Base address and path of a module: 16 bytes of the path a record. */
static void send_module(uintptr_t base, uintptr_t end, const char *path)
{
    size_t length = strnlen(path, HP_PATH_BYTES - 1);

    hp_preload_put(HP_RAW_MODULE, (void *)base, end - base, length);
    for (size_t at = 0; at < length; at += 16) {
        uint64_t part[2] = {0, 0};

        memcpy(part, path + at, length - at < 16 ? length - at : 16);
        hp_preload_put(HP_RAW_PATH, NULL, part[0], part[1]);
    }
}

static int take_module(struct dl_phdr_info *info, size_t size, void *unused)
{
    uintptr_t begin = UINTPTR_MAX, end = 0;
    char program[HP_PATH_BYTES];
    const char *path = info->dlpi_name;
    ssize_t n;

    (void)size, (void)unused;
    for (unsigned i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD) {
            uintptr_t at = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;

            begin = at < begin ? at : begin;
            end = at + info->dlpi_phdr[i].p_memsz > end ? at + info->dlpi_phdr[i].p_memsz : end;
        }
    if (end <= begin || module_count == MAX_MODULES || is_known(begin))
        return 0;
    if (!*path) {
        n = readlink("/proc/self/exe", program, sizeof program - 1);
        program[n > 0 ? n : 0] = '\0';
        path = program;
    }
    modules[module_count].begin = begin;
    modules[module_count].end = end;
    module_count++;
    send_module(begin, end, path);
    return 0;
}

static void send_site(uint64_t number, const struct walk *w)
{
    bool known = true;
    uint32_t expected = 0;

    for (unsigned i = 0; i < w->count; i++)
        known &= is_known(w->pc[i]);
    if (!known && atomic_compare_exchange_strong(&module_lock, &expected, 1)) {
        dl_iterate_phdr(take_module, NULL);
        atomic_store(&module_lock, 0);
    }
    for (unsigned i = 0; i < w->count; i++)
        hp_preload_put(HP_RAW_FRAME, (void *)w->pc[i], number, 0);
}

/* 0: the table is full around this hash. */
static uint64_t number_of(uint64_t hash, bool *is_new)
{
    for (uint64_t i = 0; i < PROBES; i++) {
        uint64_t number = (hash + i) % HP_SITE_COUNT, held = 0;

        if (number == 0)
            continue;
        if (atomic_compare_exchange_strong(&hashes[number], &held, hash)) {
            *is_new = true;
            return number;
        }
        if (held == hash)
            return number;
    }
    return 0;
}

void hp_preload_log_site(void)
{
    struct hp_self *self = &hp_self;
    struct walk w = {.room = hp_site_depth + BETWEEN};
    uint64_t hash = 0x9e3779b97f4a7c15ull, number;
    uintptr_t guard = self->guard;
    int saved_errno = errno;
    bool is_new = false;

    self->guard = (uintptr_t)__builtin_frame_address(0);
    _Unwind_Backtrace(step, &w);
    if (w.count > hp_site_depth)
        w.count = hp_site_depth;
    for (unsigned i = 0; i < w.count; i++)
        hash = (hash ^ w.pc[i]) * 0xff51afd7ed558ccdull, hash ^= hash >> 32;
    number = number_of(hash | UINT64_C(1) << 63, &is_new);
    if (is_new)
        send_site(number, &w);
    hp_preload_put(HP_RAW_SITE, NULL, number, 0);
    self->guard = guard;
    errno = saved_errno;
}
