/* preload_late.c - what `heaplay record --pid` calls in a program that already runs, once it has loaded this library.
 *
 * inject.c makes one of the program's threads call these, and puts our functions in place of the program's afterwards.
 */
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include "record/preload.h"

HP_EXPORT int heaplay_record_memory(void);
HP_EXPORT int heaplay_record_begin(int fd);

/* A descriptor for the shared memory, made here and opened by heaplay: the program may not be allowed to look into heaplay. */
int heaplay_record_memory(void)
{
    int saved_errno = errno, fd = memfd_create("heaplay", MFD_CLOEXEC), result = fd < 0 ? -errno : fd;

    errno = saved_errno;
    return result;
}

/* 0, or a negative errno: EBUSY when another heaplay records this process. Closes the descriptor. */
int heaplay_record_begin(int fd)
{
    int saved_errno = errno, result, state;

    hp_late = true;
    hp_preload_resolve();
    result = hp_preload_begin(fd);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);     /* this is one of the program's threads */
    close(fd);
    pthread_setcancelstate(state, NULL);
    errno = saved_errno;
    return result;
}
