/* threads.c - one byte of state for each thread number, grown as numbers come up. */
#include "trace/threads.h"

#include <stdlib.h>
#include <string.h>

unsigned char *hp_threads_see(struct hp_threads *threads, uint32_t thread)
{
    if (thread >= HP_THREADS_MAX)
        return NULL;
    if (thread >= threads->room) {
        uint32_t room = threads->room ? threads->room : 64;
        unsigned char *state;
        while (room <= thread)
            room *= 2;
        state = realloc(threads->state, room);
        if (!state)
            return NULL;
        memset(state + threads->room, 0, room - threads->room);
        threads->state = state;
        threads->room = room;
    }
    if (!threads->state[thread]) {
        threads->state[thread] = HP_THREAD_SEEN;
        threads->count++;
        if (thread >= threads->limit)
            threads->limit = thread + 1;
    }
    return &threads->state[thread];
}

void hp_threads_free(struct hp_threads *threads)
{
    free(threads->state);
    memset(threads, 0, sizeof *threads);
}
