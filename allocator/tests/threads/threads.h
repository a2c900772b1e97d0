/* threads.h - what the tests of threads share. */
#ifndef CELL_TEST_THREADS_H
#define CELL_TEST_THREADS_H

#include <pthread.h>

#include "support.h"

#define SCALE (UNDER_SANITIZER ? 8 : 1)

static inline void start(pthread_t *thread, void *(*work)(void *), void *argument)
{
    REQUIRE(pthread_create(thread, NULL, work, argument) == 0);
}

#endif
