/* worker_plan.c - where the operations come from: a window that holds one section of the plan.
 *
 * A section is read with every thread at rest and the clocks stopped; of a plan on disk it is then dropped from the page
 * cache. So the plan takes the window and nothing else of this process's memory, and no time that is measured. The window
 * asks for huge pages: the loop reads it once, front to back, and should not spend itself on the TLB. */
#include "engine/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096 };

static void make_resident(uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to; at += PAGE)
        (void)*(const volatile char *)((const char *)hp_worker.plan + at);
}

static char *map_window(uint64_t bytes)
{
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        hp_worker_stop(HP_WORKER_SYSTEM, UINT64_MAX, "cannot map %llu bytes for the compiled trace",
                       (unsigned long long)bytes);
    madvise(p, bytes, MADV_HUGEPAGE);
    memset(p, 0, bytes);
    return p;
}

void hp_plan_open(int plan_fd)
{
    struct hp_worker *w = &hp_worker;
    struct hp_plan head;

    if (pread(plan_fd, &head, sizeof head, 0) != (ssize_t)sizeof head || head.magic != HP_PLAN_MAGIC ||
        head.version != HP_PLAN_VERSION)
        hp_worker_stop(HP_WORKER_SYSTEM, UINT64_MAX, "heaplay and heaplay-worker are not from the same build");
    void *plan = mmap(NULL, head.bytes, PROT_READ, MAP_SHARED, plan_fd, 0);
    if (plan == MAP_FAILED)
        hp_worker_stop(HP_WORKER_SYSTEM, UINT64_MAX, "cannot map the compiled trace of %llu bytes",
                       (unsigned long long)head.bytes);
    w->plan = plan;
    w->plan_fd = plan_fd;
    make_resident(0, sizeof head);
    make_resident(head.drain.first, head.bytes);
    w->window = map_window(head.section_most);
    hp_plan_turn_to(0);
}

static void read_window(const struct hp_section *s)
{
    struct hp_worker *w = &hp_worker;

    for (uint64_t done = 0; done < s->bytes;) {
        ssize_t n = pread(w->plan_fd, w->window + done, s->bytes - done, (off_t)(s->first + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            hp_worker_stop(HP_WORKER_SYSTEM, UINT64_MAX, "cannot read the compiled trace: %s",
                           n < 0 ? strerror(errno) : "it is shorter than it was");
        done += (uint64_t)n;
    }
    if (w->plan->streamed)
        posix_fadvise(w->plan_fd, (off_t)s->first, (off_t)s->bytes, POSIX_FADV_DONTNEED);
}

void hp_plan_turn_to(uint32_t section)
{
    const struct hp_section *s = hp_plan_section(hp_worker.plan, section);

    if (hp_worker.section != s)
        read_window(s);
    hp_worker.section = s;
}

struct hp_stream hp_plan_stream_of(uint32_t thread)
{
    const struct hp_worker *w = &hp_worker;

    return hp_plan_stream(w->plan, (uint32_t)(w->section - hp_plan_section(w->plan, 0)), thread);
}

const struct hp_op *hp_plan_operations(const struct hp_stream *s)
{
    return (const struct hp_op *)(hp_worker.window + (s->first - hp_worker.section->first));
}

const uint32_t *hp_plan_participants(void)
{
    const struct hp_section *s = hp_worker.section;

    return (const uint32_t *)(hp_worker.window + (s->epoch_table - s->first));
}
