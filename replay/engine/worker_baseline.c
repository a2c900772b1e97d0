/* worker_baseline.c - the reading that peak, curve and drain are above.
 *
 * One fault on a file maps up to 64 KiB of its page cache, from where the library happens to lie: such pages would come
 * before the baseline in one process and after it in another. So all of them come before it, and what memory grows by
 * from there on is the allocator's own. Nothing here allocates: the allocator under test would be asked. */
#include "engine/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "measure/resident.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

enum { PAGE = 4096, HEAD = 128 /* of a line of maps; the path begins within it */ };

static bool in_private_file(const char *permissions)
{
    const char *path = permissions;

    for (int field = 0; field < 4; field++) {   /* behind permissions, offset, device and inode */
        path += strcspn(path, " ");
        path += strspn(path, " ");
    }
    return permissions[0] == 'r' && permissions[3] == 'p' && *path == '/';
}

/* Pages that the kernel has reason to refuse stay out; libraries have none behind their file's end, which before Linux 5.14 would be
 * SIGBUS here as in the program. */
static void bring_in(const char *from, const char *to)
{
    if (madvise((void *)(uintptr_t)from, (size_t)(to - from), MADV_POPULATE_READ) == 0 || errno != EINVAL)
        return;
    for (; from < to; from += PAGE)
        (void)*(const volatile char *)from;
}

static void look_at(const char *line)
{
    char *at;
    uintptr_t from = strtoul(line, &at, 16), to = *at == '-' ? strtoul(at + 1, &at, 16) : 0;

    if (from < to && strlen(at) > 5 && in_private_file(at + 1))
        bring_in((const char *)from, (const char *)to);
}

static void bring_in_files(void)
{
    char text[4096], head[HEAD];
    size_t used = 0;
    ssize_t n;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

    while (fd >= 0 && (n = read(fd, text, sizeof text)) > 0)
        for (ssize_t i = 0; i < n; i++) {
            if (text[i] != '\n') {
                if (used < HEAD - 1)
                    head[used++] = text[i];
                continue;
            }
            head[used] = 0;
            used = 0;
            look_at(head);
        }
    if (fd >= 0)
        close(fd);
}

bool hp_worker_take_baseline(void)
{
    struct hp_job *job = hp_worker.job;

    job->start_kib = hp_resident_now_kib();
    bring_in_files();
    bool peak = hp_resident_reset_peak();
    job->baseline_kib = hp_resident_now_kib();
    return peak;
}
