/* campaign.h - all samples of one trace under several allocators: randomised balanced blocks, the null allocator as
 * calibration, one book-keeping run each. Called by cmd_replay.c; result/ turns it into rows. */
#ifndef HP_CAMPAIGN_H
#define HP_CAMPAIGN_H

#include <stdbool.h>
#include <stdint.h>
#include "engine/run.h"
#include "engine/watch.h"
#include "trace/compile.h"

enum hp_measure {
    HP_NS_PER_OP, HP_NET_NS_PER_OP, HP_WARM_NS_PER_OP, HP_OPS_PER_S, HP_CPU_NS_PER_OP, HP_USER_NS_PER_OP,
    HP_SYSTEM_NS_PER_OP, HP_PEAK_RSS_KIB, HP_BASELINE_RSS_KIB, HP_START_RSS_KIB, HP_PEAK_RATIO, HP_MINOR_FAULTS,
    HP_MAJOR_FAULTS, HP_DRAIN_KIB, HP_STALL_SHARE,
    HP_CYCLES_PER_OP, HP_INSTRUCTIONS_PER_OP, HP_CACHE_MISSES_PER_OP, HP_DTLB_MISSES_PER_OP, HP_MEASURES
};
extern const char *const hp_measure_key[HP_MEASURES];   /* as results/SCHEMA.md names them */

struct hp_conditions {
    int      touch;             /* enum hp_touch */
    uint64_t touch_lines;
    uint32_t loops;
    bool     serial, drain_waits, progress, latency, verify, carry;
    double   pace;              /* 0: flat out */
    uint64_t idle_limit_ns;
    unsigned samples;           /* at most; 0: as many as the time allows */
    double   time_s;            /* 0: no limit */
    double   width;             /* wanted of the ratios to the first allocator: 0.01 is 1 % to either side; 0: no matter */
    uint64_t seed;
    unsigned timeout_s;
    char     touch_name[32], pace_name[48];
};

#define HP_LOOKS 5              /* runs that look at what is resident when most bytes live, where the samples make the same calls */

/* One allocator of the campaign. values[m][i] is measure m of sample i, NaN when the system did not tell. */
struct hp_entry {
    struct hp_allocator allocator;
    enum hp_run_status status;
    char     status_text[1024];
    char     identity[4200];
    char     substituted[512];
    double  *values[HP_MEASURES];
    double **warm;              /* per sample, loops - 1 values: ns per operation of the further passes */
    double **pass_end_kib;      /* per sample, loops values: resident minus baseline after each pass */
    uint32_t *block;
    unsigned samples;
    int      verified;          /* -1: not looked at */
    char     violation[1024];
    bool     has_account;
    uint64_t usable_at_peak;
    uint32_t points;
    uint64_t *usable_bytes;     /* [points]; with the plan's live_bytes the memory curve */
    int64_t  *rss_kib;
    int64_t  rss_at_peak_kib;   /* when live bytes peaked, in recorded order */
    int64_t  look_kib[HP_LOOKS];    /* the same, and of four runs more */
    unsigned looks;             /* that were taken; 0: the samples run in another order */
    unsigned raised;            /* samples whose peak is that of a look */
    int64_t  drain_kib[HP_DRAIN_POINTS];
    struct hp_watch *watch;     /* the outside sampler's points; NULL: none */
    int64_t  watch_peak_kib;    /* the kernel's high-water mark of that run, less the baseline */
    struct hp_latency *latency; /* pooled over the latency runs */
    size_t   latencies;
    int64_t  worst_operation;   /* of the trace, that took longest; -1: not known */
};

struct hp_campaign {
    const struct hp_compiled   *plan;       /* what is timed */
    const struct hp_compiled   *serial;     /* what the book-keeping run executes; may be the same */
    struct hp_conditions        conditions;
    struct hp_entry            *entry;
    unsigned                    entries;
    int                         null_entry; /* index */
    unsigned                    planned;    /* blocks that the wanted width needs; 0: not asked for, or no pilot yet */
    unsigned                    blocks;     /* that were run */
    int32_t                     counter_error[HP_HARDWARE_EVENTS];  /* errno of the events that no sample counted */
    const char                 *stopped_by; /* "width", "samples" or "time" */
};

int  hp_campaign_run(struct hp_campaign *c, char *error, size_t error_size);
void hp_campaign_release(struct hp_campaign *c);
/* Sets the peak of sample `i` and its ratio to peak live bytes; NAN: not known. */
void hp_entry_set_peak(const struct hp_campaign *c, struct hp_entry *e, unsigned i, double kib);
/* Null allocator's share of this entry's time, NaN when it is not known. */
double hp_campaign_share(const struct hp_campaign *c, const struct hp_entry *e);

#endif
