/* worker.h - the inside of heaplay-worker, the process in which one allocator is exercised once.
 *
 * Order of a sample: map and populate the window that the plan's sections are read into, the slot table and the stacks; find the calls and prove whose they are; take the baseline; execute; read the figures; drain. Invariants
 *  1. Between baseline and last figure the worker itself allocates nothing, by no means at all.
 *  2. Whatever the worker needs is resident before the baseline, and so is every page of the files it has mapped.
 *  3. While the clock runs nothing is read from a file.
 *  4. The worker never prints: it leaves state and message in the job page.
 */
#ifndef HP_WORKER_H
#define HP_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "engine/plan.h"
#include "engine/worker_sync.h"

/* The function table: all that the loop knows of an allocator. */
struct hp_calls {
    void  *(*malloc)(size_t);
    void  *(*calloc)(size_t, size_t);
    void  *(*realloc)(void *, size_t);
    void  *(*reallocarray)(void *, size_t, size_t);
    void   (*free)(void *);
    void   (*free_sized)(void *, size_t);
    void   (*free_aligned_sized)(void *, size_t, size_t);
    void  *(*aligned_alloc)(size_t, size_t);
    int    (*posix_memalign)(void **, size_t, size_t);
    void  *(*memalign)(size_t, size_t);
    void  *(*valloc)(size_t);
    void  *(*pvalloc)(size_t);
    size_t (*usable_size)(void *);
    void  *(*new_)(size_t);
    void  *(*new_aligned)(size_t, size_t);
    void   (*delete_)(void *);
    void   (*delete_sized)(void *, size_t);
    void   (*delete_aligned)(void *, size_t);
    int    (*trim)(size_t);             /* NULL when the library has none */
};

/* One replayed thread. Own cache lines: `done` is what others wait for. */
struct hp_lane {
    struct hp_mark   done;              /* position published last, plus 1 */
    char             gap[52];
    uint64_t         stall_ns, end_ns, busy_ns;
    uint32_t         index, sections;   /* sections up to and with its last operation */
    char             gap2[32];
} __attribute__((aligned(64)));

struct hp_worker {
    const struct hp_plan *plan;
    int                   plan_fd;
    const struct hp_section *section;   /* the current one */
    char                 *window;       /* holds the streams and participants of the section */
    struct hp_job        *job;
    struct hp_calls       calls;
    void                **slot;
    void                **other_slot;   /* the table of the pass before, when survivors are carried over */
    char                 *null_buffer;  /* HP_NULL_BYTES per stream, so that null shares no cache lines either */
    struct hp_lane       *lane;
    _Atomic uint32_t     *epoch_left;   /* threads that have not left the epoch yet */
    struct hp_mark        epochs_done, gate, finished;
    int                   spins;        /* before a thread that waits sleeps */
    uint64_t              elapsed_ns;   /* of the pass, in the sections before */
    uint64_t              start_ns;     /* of the pass, had the clock never stood still */
};

enum {
    HP_NULL_BLOCKS = 1024, HP_NULL_STEP = 64,
    HP_NULL_CLIP = 256 << 10,           /* the null allocator touches no more than this of a block */
    HP_NULL_BYTES = HP_NULL_CLIP + HP_NULL_BLOCKS * HP_NULL_STEP
};

extern struct hp_worker hp_worker;

/* worker_main.c */
__attribute__((noreturn, cold, format(printf, 3, 4)))
void hp_worker_stop(enum hp_worker_state state, uint64_t call, const char *format, ...);
uint64_t hp_worker_now_ns(void);
void *hp_worker_map(size_t bytes);      /* zeroed, resident; never returns NULL */
void *hp_worker_map_stack(size_t bytes);    /* the same, but only its upper end is resident */

/* worker_plan.c */
void hp_plan_open(int plan_fd);             /* makes resident what is read of the plan, and turns to section 0 */
void hp_plan_turn_to(uint32_t section);     /* threads are at rest meanwhile */
struct hp_stream hp_plan_stream_of(uint32_t thread);    /* in the current section */
const struct hp_op *hp_plan_operations(const struct hp_stream *s);
const uint32_t *hp_plan_participants(void); /* of the section's epochs */

/* worker_calls.c */
void hp_worker_find_calls(struct hp_calls *f, const struct hp_job *job, char *substituted, size_t size);

/* worker_bump.c */
void hp_bump_init(struct hp_calls *f, uint64_t bytes);

/* worker_loop.c */
void hp_loop_run(struct hp_lane *me);                       /* the stream of this lane, as job and plan say */
void hp_loop_order(struct hp_lane *me, const struct hp_op *op);  /* a wait, an epoch, a pace */
void hp_loop_drain(void);
void hp_loop_step(const struct hp_op *op);                  /* one call, untimed */

/* worker_latency.c: as hp_loop_run, with the clock read around some calls */
void hp_latency_run(struct hp_lane *me);

/* worker_watched.c: as hp_loop_run, with accounts for the outside sampler */
void hp_watched_prepare(void);
void hp_watched_begin(void);            /* waits until the sampler has seen the baseline */
void hp_watched_run(struct hp_lane *me);
void hp_watched_end(void);              /* waits until the sampler has seen the end */

/* worker_baseline.c: fills start_kib and baseline_kib; false: the kernel will not tell the peak from here on */
bool hp_worker_take_baseline(void);

/* worker_timed.c, worker_account.c, worker_verify.c: one mode each */
void hp_worker_timed(void);
void hp_worker_account(void);
void hp_worker_verify(void);
void hp_worker_read_drain(void);        /* frees the survivors and fills drain_kib */

#endif
