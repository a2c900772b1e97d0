/* other_processor.h - a thread that has an arena of its own, as if it had kept waiting for the lock of the first. */
#ifndef CELL_TEST_OTHER_PROCESSOR_H
#define CELL_TEST_OTHER_PROCESSOR_H

#include <sched.h>

#include "arena.h"
#include "second_thread.h"

/* The number of the last processor that the process may run on. */
static inline int last_processor(void)
{
    cpu_set_t all;
    int number = CPU_SETSIZE - 1;

    REQUIRE(sched_getaffinity(0, sizeof all, &all) == 0);
    while (!CPU_ISSET(number, &all))
        number--;
    return number;
}

static inline void run_on(int processor)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
}

/* Runs on the last from here on, in a process that has had a second thread. */
static inline void run_apart(void)
{
    run_on(last_processor());
    start_and_end_a_thread();
}

/* False: the only processor is the first, and there can be no other arena. */
static inline bool open_another(void)
{
    run_apart();
    cell_heap_main.lock.waits = 1000;
    cell_free(must_malloc(48));         /* the call that opens it still takes from the first */
    if (last_processor() == 0) {
        fprintf(stderr, "# one processor: no arena but the first\n");
        return false;
    }
    REQUIRE(cell_arena_count() > 1);
    REQUIRE(cell_arena_for(64) != 0);
    return true;
}

#endif
