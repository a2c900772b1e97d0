/* lineage.c - the processes of a recording: adopted when they register, given their parent's blocks when forked, and
 * their traces closed when they are dead or replaced by exec.
 */
#include "record/collector.h"

#include <errno.h>
#include <gnu/libc-version.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

enum { MAX_SNAPSHOTS = 256 };

struct hp_process *hp_lineage_find(struct hp_collector *c, uint64_t serial)
{
    struct hp_process *p = c->processes;

    while (p && p->serial != serial)
        p = p->next;
    return p;
}

/* f.hpt for the program, f.1.hpt, f.2.hpt, ... for the others in the order in which their traces begin. */
static char *trace_path(struct hp_collector *c, const struct hp_process *p)
{
    const char *output = c->options->output;
    size_t length = strlen(output);
    char *path = NULL;

    if (p->first)
        return strdup(output);
    if (length > 4 && strcmp(output + length - 4, ".hpt") == 0)
        length -= 4;
    if (asprintf(&path, "%.*s.%u%s", (int)length, output, ++c->files, output[length] ? ".hpt" : "") < 0)
        return NULL;
    return path;
}

static bool open_writer(struct hp_process *p)
{
    struct hp_collector *c = p->collector;
    struct utsname kernel;
    char host[HP_PATH_BYTES + 256];
    struct hp_meta meta = {
        .command = p->slot->command, .origin = (char *)(uintptr_t)"recorded", .host = host,
        .start_unix_ns = p->slot->start_unix_ns, .pid = p->pid, .parent_pid = p->parent_pid, .flags = p->flags,
        .sample = c->options->sample,
    };

    uname(&kernel);
    snprintf(host, sizeof host, "%s %s %s, glibc %s, allocator %s", kernel.sysname, kernel.release, kernel.machine,
             gnu_get_libc_version(), p->slot->allocator[0] ? p->slot->allocator : "unknown");
    p->path = trace_path(c, p);
    p->writer = p->path ? hp_writer_open(p->path, &meta, p->error, sizeof p->error) : NULL;
    return p->writer != NULL;
}

static void adopt(struct hp_collector *c, struct hp_process_slot *slot)
{
    struct hp_process *p = calloc(1, sizeof *p);

    if (!p || !hp_table_open(&p->live)) {
        fprintf(stderr, "heaplay: out of memory: process %u is not recorded\n", slot->pid);
        free(p);
        c->failed = true;
        return;
    }
    p->collector = c;
    p->open_writer = open_writer;
    p->slot = slot;
    p->serial = slot->serial;
    p->parent_serial = slot->parent_serial;
    p->fork_number = slot->fork_number;
    p->start_ticks = slot->start_ticks;
    p->adopted_ticks = hp_collector_ticks(c);
    p->pid = slot->pid;
    p->parent_pid = slot->parent_pid;
    p->first = slot->serial == 1;
    p->exit_status = p->pid == (uint32_t)c->program && !c->child ? c->exit_status : -1;
    p->next_id = 1;
    p->ns_per_tick = c->ns_per_tick;
    p->flags = HP_HAS_TIME | HP_HAS_THREADS | (c->options->touch ? HP_HAS_RESIDENT : 0) |
               (c->options->sample ? HP_SAMPLED : 0) | (c->options->sites ? HP_HAS_SITES : 0);
    p->sites = c->options->sites ? hp_sites_new() : NULL;
    p->waits_for_parent = slot->parent_serial != 0;
    p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    if (p->pidfd < 0 && errno == ESRCH)
        hp_collector_gone(c, p);
    for (struct hp_process *old = c->processes; old; old = old->next)
        if (old->pid == p->pid)
            hp_collector_gone(c, old);           /* replaced by exec */
    c->own_malloc |= slot->own_malloc && p->first;
    c->processes_seen++;
    p->next = c->processes;
    c->processes = p;
}

/* In the order of their serials, so that an exec'ed image comes after the one it replaces. */
void hp_lineage_adopt(struct hp_collector *c)
{
    uint32_t used = atomic_load(&c->shared->processes_used);

    for (;;) {
        struct hp_process_slot *oldest = NULL;

        for (uint32_t i = 0; i < used; i++) {
            struct hp_process_slot *slot = &c->shared->processes[i];

            if (atomic_load(&slot->state) == HP_PROCESS_READY &&
                (!oldest || slot->serial < oldest->serial))
                oldest = slot;
        }
        if (!oldest)
            return;
        if (c->stopped) {
            atomic_store(&oldest->state, HP_PROCESS_FREE);
            continue;
        }
        adopt(c, oldest);
        atomic_store(&oldest->state, HP_PROCESS_ADOPTED);
    }
}

void hp_lineage_watch(struct hp_collector *c)
{
    for (struct hp_process *p = c->processes; p; p = p->next) {
        struct pollfd fd = {.fd = p->pidfd, .events = POLLIN};

        if (p->gone || p->pid == (uint32_t)c->child)
            continue;
        if (p->pidfd >= 0 ? poll(&fd, 1, 0) > 0 : kill((pid_t)p->pid, 0) != 0 && errno == ESRCH)
            hp_collector_gone(c, p);
    }
}

void hp_lineage_forget(struct hp_collector *c)
{
    while (c->snapshots) {
        struct hp_snapshot *s = c->snapshots;

        c->snapshots = s->next;
        free(s->blocks);
        free(s);
    }
}

static void drop_oldest_snapshot(struct hp_collector *c)
{
    struct hp_snapshot **at = &c->snapshots, *s;
    unsigned count = 0;

    for (s = c->snapshots; s; s = s->next)
        count++;
    if (count < MAX_SNAPSHOTS)
        return;
    while ((*at)->next)
        at = &(*at)->next;
    free((*at)->blocks);
    free(*at);
    *at = NULL;
}

/* A process is about to fork: keep its live blocks for the child. */
void hp_lineage_fork(struct hp_collector *c, struct hp_process *p, uint64_t fork_number)
{
    struct hp_snapshot *s = calloc(1, sizeof *s);
    struct hp_block *blocks = malloc((p->live.used + 1) * sizeof *blocks);

    drop_oldest_snapshot(c);
    if (!s || !blocks) {
        free(s);
        free(blocks);
        return;
    }
    s->serial = p->serial;
    s->fork_number = fork_number;
    s->blocks = blocks;
    for (uint64_t i = 0; i <= p->live.mask; i++)
        if (p->live.blocks[i].address)
            blocks[s->count++] = p->live.blocks[i];
    s->next = c->snapshots;
    c->snapshots = s;
}

static void inherit(struct hp_process *p, struct hp_snapshot *s)
{
    qsort(s->blocks, s->count, sizeof *s->blocks, hp_resolve_by_age);
    for (size_t i = 0; i < s->count; i++) {
        s->blocks[i].id = p->next_id++;
        s->blocks[i].site = 0;                  /* a number of the parent's */
        if (p->sites)
            hp_sites_made(p->sites, 0, s->blocks[i].size);
        hp_table_insert(&p->live, &s->blocks[i]);
    }
    p->inherited = s->blocks;
    p->inherited_count = s->count;
}

/* A forked child is drained once its parent has come to the fork, or will never. */
bool hp_lineage_ready(struct hp_collector *c, struct hp_process *p)
{
    if (!p->waits_for_parent)
        return true;
    for (struct hp_snapshot **at = &c->snapshots; *at; at = &(*at)->next) {
        struct hp_snapshot *s = *at;

        if (s->serial != p->parent_serial || s->fork_number != p->fork_number)
            continue;
        inherit(p, s);
        *at = s->next;
        free(s);
        p->waits_for_parent = false;
        return true;
    }
    p->waits_for_parent = p->fork_number != 0 && hp_lineage_find(c, p->parent_serial) &&
                          hp_collector_ticks(c) < p->adopted_ticks + 1000 * c->ticks_per_ms;
    return !p->waits_for_parent;
}

static uint64_t file_bytes(const char *path)
{
    struct stat st;

    return path && stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

uint64_t hp_lineage_bytes(const struct hp_collector *c)
{
    uint64_t bytes = 0;

    for (const struct hp_process *p = c->processes; p; p = p->next)
        bytes += file_bytes(p->path);
    return bytes;
}

static const char *with_unit(uint64_t bytes, char *text, size_t size)
{
    if (bytes < 10000)
        snprintf(text, size, "%llu B", (unsigned long long)bytes);
    else
        snprintf(text, size, "%.1f KiB", (double)bytes / 1024);
    return text;
}

/* Why a trace may be empty. */
static void print_reason(const struct hp_process *p)
{
    const struct hp_record_options *o = p->collector->options;

    fprintf(stderr, "heaplay: %s holds no operation: %s\n", p->path,
            o->wait && !p->collector->began_ns ? "it waited for SIGUSR1, and none came"
            : o->sample ? "no object was drawn; record without --sample, or more of the program"
            : o->pid ? "the process called no allocator while it was recorded"
            : "the process called no allocator; programs that it executes are recorded only when they are linked dynamically "
              "and keep LD_PRELOAD (env -i does not)");
}

static void print_summary(const struct hp_process *p, const struct hp_trailer *t)
{
    char size[32];

    fprintf(stderr, "heaplay: %s: %llu operation%s, %llu thread%s, %s, %llu lost, %llu inversions repaired",
            p->path, (unsigned long long)p->counts.operations, p->counts.operations == 1 ? "" : "s", (unsigned long long)t->threads, t->threads == 1 ? "" : "s",
            with_unit(file_bytes(p->path), size, sizeof size),
            (unsigned long long)t->lost_events, (unsigned long long)t->inversions);
    if (p->counts.unknown_frees)
        fprintf(stderr, ", %llu frees of unknown blocks left out", (unsigned long long)p->counts.unknown_frees);
    if (p->counts.implied_frees)
        fprintf(stderr, ", %llu unseen frees implied", (unsigned long long)p->counts.implied_frees);
    if (p->counts.inherited)
        fprintf(stderr, ", %llu blocks inherited by fork", (unsigned long long)p->counts.inherited);
    if (p->collector->options->sample)
        fprintf(stderr, ", one object of %u", p->collector->options->sample);
    fprintf(stderr, "\n");
    if (p->first && p->counts.operations == 0)
        print_reason(p);
}

/* One line for the program, one for all of its children together: make -j can have thousands. */
static void note_summary(struct hp_collector *c, const struct hp_process *p, const struct hp_trailer *t)
{
    if (p->first || t->lost_events)
        print_summary(p, t);
    if (p->first)
        return;
    c->child_traces++;
    c->child_operations += p->counts.operations;
    if (p->counts.operations <= c->largest_operations && c->largest[0])
        return;
    c->largest_operations = p->counts.operations;
    snprintf(c->largest, sizeof c->largest, "%s: %.200s", p->path, p->slot->command);
}

void hp_lineage_print_children(const struct hp_collector *c)
{
    if (c->child_traces)
        fprintf(stderr, "heaplay: %u more trace%s of children: %llu operations; the largest has %llu: %s\n", c->child_traces,
                c->child_traces == 1 ? "" : "s", (unsigned long long)c->child_operations,
                (unsigned long long)c->largest_operations, c->largest);
    if (c->child_failures)
        fprintf(stderr, "heaplay: %u trace%s of children could not be written to the end\n", c->child_failures,
                c->child_failures == 1 ? "" : "s");
}

static void close_trace(struct hp_collector *c, struct hp_process *p)
{
    struct hp_trailer t = {.exit_status = p->exit_status};

    if (p->first)
        hp_resolve_open(p);
    t.events = p->counts.events;
    t.allocations = p->counts.allocations;
    t.frees = p->counts.frees;
    t.threads = p->counts.threads;
    t.lost_events = p->counts.lost + atomic_load(&p->slot->lost);
    t.inversions = p->counts.inversions;
    t.end_ns = p->last_ns;
    if (p->writer && p->sites && !p->write_failed) {
        char *text = hp_sites_text(p->sites);

        p->write_failed = !text || hp_writer_sites(p->writer, text) != 0;
        snprintf(p->error, sizeof p->error, "%s", text ? hp_writer_error(p->writer) : "out of memory for the call sites");
        free(text);
    }
    if (p->writer && hp_writer_close(p->writer, p->write_failed ? NULL : &t) != 0)
        p->write_failed = true;
    if (p->write_failed) {
        fprintf(stderr, "heaplay: the recording stopped: %s\n", p->error[0] ? p->error : "the trace could not be written");
        c->failed = true;
        c->child_failures += !p->first;
    } else if (p->writer) {
        note_summary(c, p, &t);
        c->closed_bytes += file_bytes(p->path);
        c->lost += t.lost_events;
    }
}

void hp_lineage_finish(struct hp_collector *c, struct hp_process *p)
{
    struct hp_process **at = &c->processes;

    close_trace(c, p);
    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    if (p->pidfd >= 0)
        close(p->pidfd);
    atomic_store(&p->slot->state, HP_PROCESS_FREE);
    hp_table_close(&p->live);
    hp_sites_free(p->sites);
    free(p->inherited);
    free(p->path);
    free(p);
}
