/* second_thread.h - a second thread that allocates and ends: from then on the process has had several, and caches work as between threads. */
#ifndef CELL_TEST_SECOND_THREAD_H
#define CELL_TEST_SECOND_THREAD_H

#include <pthread.h>

#include "support.h"

static void *allocate_once(void *unused)
{
    cell_free(must_malloc(100));
    return unused;
}

static inline void start_and_end_a_thread(void)
{
    pthread_t thread;

    REQUIRE(pthread_create(&thread, NULL, allocate_once, NULL) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
}

#endif
