/* counters.c - see counters.h. */
#include "measure/counters.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

const struct hp_counter_event hp_hardware_events[HP_HARDWARE_EVENTS] = {
    { "cycles", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES },
    { "instructions", PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS },
    { "cache_misses", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES },
    { "dtlb_misses", PERF_TYPE_HW_CACHE, PERF_COUNT_HW_CACHE_DTLB | PERF_COUNT_HW_CACHE_OP_READ << 8 |
                                         PERF_COUNT_HW_CACHE_RESULT_MISS << 16 },
};

void hp_counters_open(struct hp_counters *c, const struct hp_counter_event *event, unsigned count)
{
    c->count = count;
    for (unsigned i = 0; i < count; i++) {
        struct perf_event_attr a = { .type = event[i].type, .size = sizeof a, .config = event[i].config,
                                     .read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING,
                                     .disabled = 1, .inherit = 1, .exclude_kernel = 1, .exclude_hv = 1 };
        c->fd[i] = (int)syscall(SYS_perf_event_open, &a, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
        c->error[i] = c->fd[i] < 0 ? errno : 0;
    }
}

static void all(const struct hp_counters *c, unsigned long request)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->fd[i] >= 0)
            ioctl(c->fd[i], request, 0);
}

void hp_counters_start(const struct hp_counters *c)
{
    all(c, PERF_EVENT_IOC_ENABLE);
}

void hp_counters_stop(const struct hp_counters *c)
{
    all(c, PERF_EVENT_IOC_DISABLE);
}

void hp_counters_read(struct hp_counters *c, uint64_t value[])
{
    for (unsigned i = 0; i < c->count; i++) {
        uint64_t read_out[3] = { 0 };   /* value, time enabled, time running */
        value[i] = 0;
        if (c->fd[i] < 0)
            continue;
        if (read(c->fd[i], read_out, sizeof read_out) != (ssize_t)sizeof read_out)
            c->error[i] = errno;
        else if (read_out[2] == 0)
            c->error[i] = EBUSY;
        else
            value[i] = (uint64_t)((double)read_out[0] * (double)read_out[1] / (double)read_out[2]);
    }
}

void hp_counters_close(struct hp_counters *c)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->fd[i] >= 0)
            close(c->fd[i]);
    memset(c->fd, -1, sizeof c->fd);
}
