/* counters.h - event counters of the kernel (perf_event_open) around a stretch of this process, its threads included. Called by
 * the worker: nothing here allocates.
 *
 * Only user space is counted (what a kernel with perf_event_paranoid 2 lets anyone see). Counters that have to share the
 * processor's registers are scaled up by the share of the time that they ran. */
#ifndef HP_COUNTERS_H
#define HP_COUNTERS_H

#include <stdint.h>

enum { HP_COUNTERS_MOST = 8 };

struct hp_counter_event { const char *name; uint32_t type; uint64_t config; };

/* cycles, instructions, cache_misses, dtlb_misses */
enum { HP_HARDWARE_EVENTS = 4 };
extern const struct hp_counter_event hp_hardware_events[HP_HARDWARE_EVENTS];

struct hp_counters {
    unsigned count;
    int      fd[HP_COUNTERS_MOST];      /* -1: missing */
    int      error[HP_COUNTERS_MOST];   /* errno of what is missing, else 0 */
};

/* Counters that stand still, of this process and the threads it starts from now on. */
void hp_counters_open(struct hp_counters *c, const struct hp_counter_event *event, unsigned count);
void hp_counters_start(const struct hp_counters *c);
void hp_counters_stop(const struct hp_counters *c);
/* Events between start and stop; sets error[i] to EBUSY when the kernel never let the counter run. */
void hp_counters_read(struct hp_counters *c, uint64_t value[]);
void hp_counters_close(struct hp_counters *c);

#endif
