/* threads.h - which threads of a trace have been seen, started and ended. Used by validate.c and analyze.c. */
#ifndef HP_THREADS_H
#define HP_THREADS_H

#include <stdint.h>

#define HP_THREADS_MAX      (1u << 22)      /* thread numbers beyond are taken for damage */
#define HP_THREAD_SEEN      1u
#define HP_THREAD_STARTED   2u
#define HP_THREAD_ENDED     4u

struct hp_threads {
    unsigned char *state;                   /* HP_THREAD_* of each number */
    uint32_t room, count, limit;            /* distinct numbers seen; highest + 1 */
};

/* State of the thread, which counts as seen from now on; NULL: number beyond the bound, or out of memory. */
unsigned char *hp_threads_see(struct hp_threads *threads, uint32_t thread);
void hp_threads_free(struct hp_threads *threads);

#endif
