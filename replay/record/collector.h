/* collector.h - the process that drains the rings of a recorded program and writes its traces.
 *
 * collector.c: the loop. drain.c: copies the rings. merge.c: one order from many rings. lineage.c: processes as they come,
 * fork, exec and go. launch.c: starts the program; inject.c: comes into one that runs. cli/cmd_record.c is the only caller.
 */
#ifndef HP_RECORD_COLLECTOR_H
#define HP_RECORD_COLLECTOR_H

#include <pthread.h>
#include <stdio.h>
#include <sys/types.h>

#include "record/inject.h"
#include "record/resolve.h"

struct hp_record_options {
    const char *output;         /* f.hpt; children go to f.1.hpt, f.2.hpt, ... */
    const char *library;        /* libheaplay-record.so */
    bool children;
    bool touch;
    bool wait;                  /* for SIGUSR1 */
    uint32_t sites;             /* frames of a call site; 0: none */
    uint32_t sample;            /* one object of so many; 0: all */
    double time_limit;          /* seconds from the start of the recording; 0: none */
    uint64_t size_limit;        /* bytes of all traces together, looked at between rounds of the merge; 0: none */
    char *const *argv;          /* of the program, NULL at the end */
    pid_t pid;                  /* instead: of a program that runs */
};

/* The live blocks of a process at the moment of a fork, kept until the child asks for them. */
struct hp_snapshot {
    struct hp_snapshot *next;
    uint64_t serial, fork_number;
    size_t count;
    struct hp_block *blocks;
};

struct hp_collector {
    const struct hp_record_options *options;
    struct hp_shared *shared;
    int fd;
    uint64_t clock_ns, clock_ticks;     /* both clocks at the epoch */
    double ns_per_tick;
    uint64_t ticks_per_ms;
    pid_t program;              /* its pid */
    pid_t child;                /* the same; 0 once it was waited for, or when it runs by itself */
    struct hp_inject *inject;   /* into a program that runs; NULL: none, or ended */
    int exit_status;            /* of the program, as of wait(2) */
    struct hp_process *processes;
    struct hp_snapshot *snapshots;
    unsigned files;             /* names given to traces of children */
    unsigned child_traces, child_failures;      /* written to their ends, and not */
    uint64_t processes_seen;
    uint64_t lost;              /* of all finished traces */
    uint64_t child_operations, largest_operations;
    char largest[HP_PATH_BYTES + 256];  /* the child with most operations */
    bool failed;                /* a trace could not be written */
    bool stopped;               /* by a limit or a signal; the program runs on unrecorded */
    uint64_t began_ns;          /* recording; 0: it waits for SIGUSR1 */
    uint64_t closed_bytes;      /* of finished traces */
    bool own_malloc;            /* the program brings its own */
    pthread_mutex_t lock;       /* between drain and merge: streams, the list of processes, `gone` */
    pthread_t drain;
    _Atomic bool drain_ends;
    uint64_t scans;
    _Atomic uint64_t chunks;    /* in use */
    struct hp_slab *slabs;      /* the drain's */
    _Atomic(struct hp_chunk *) spare;   /* one thread pops (drain), one pushes (merge) */
    struct hp_stream streams[HP_RING_COUNT];
};

/* fd: of the memory to share, which it takes over; -1: makes its own. */
struct hp_collector *hp_collector_open(const struct hp_record_options *options, int fd, char *error, size_t error_size);
int  hp_collector_run(struct hp_collector *c);          /* until the program and its children are gone */
void hp_collector_close(struct hp_collector *c);
uint64_t hp_collector_ticks(const struct hp_collector *c);
uint32_t hp_collector_rings(const struct hp_collector *c);       /* streams beyond were never used */
void hp_collector_gone(struct hp_collector *c, struct hp_process *p);
void hp_collector_stop_on_signal(int number);
void hp_collector_control_by_signal(int number);        /* SIGUSR1: begin, SIGUSR2: end */

/* The drain: a thread that copies rings to chunks, so that producers do not wait while events are compressed. */
void hp_drain_recycle(struct hp_collector *c, struct hp_chunk *chunk);
bool hp_drain_start(struct hp_collector *c);
void hp_drain_stop(struct hp_collector *c);

uint64_t hp_merge_process(struct hp_collector *c, struct hp_process *p);     /* number of records consumed */

void hp_lineage_adopt(struct hp_collector *c);          /* new processes */
void hp_lineage_watch(struct hp_collector *c);          /* which are gone? */
uint64_t hp_lineage_bytes(const struct hp_collector *c);        /* of the traces being written */
void hp_lineage_fork(struct hp_collector *c, struct hp_process *p, uint64_t fork_number);
bool hp_lineage_ready(struct hp_collector *c, struct hp_process *p);
void hp_lineage_finish(struct hp_collector *c, struct hp_process *p);
struct hp_process *hp_lineage_find(struct hp_collector *c, uint64_t serial);
void hp_lineage_print_children(const struct hp_collector *c);
void hp_lineage_forget(struct hp_collector *c);         /* all snapshots */

/* 0, or an exit code of commands.h with one line in error. *path is the program to execute, to be freed. */
int hp_launch_check(const char *program, char **path, char *error, size_t error_size);
int hp_launch_check_image(const char *path, const char *name, char *error, size_t error_size);
int hp_launch_library(const char *library, char *error, size_t error_size);
int hp_launch_start(struct hp_collector *c, const char *path, char *error, size_t error_size);

#endif
