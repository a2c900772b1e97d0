/* reader.c - no fault: from the 10th block on it has read 1 MiB of constants, as an allocator reads its tables. Pages of its
 * file are nobody's heap. With READER_OLD set it is on a kernel that brings no pages in when asked to. */
#define FAULT_MALLOC
#include "broken.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TABLE = 1 << 20 };

static const volatile char table[TABLE] = { 1 };

EXPORT void *malloc(size_t n)
{
    static int count;

    if (++count == 10)
        for (size_t i = 0; i < TABLE; i += 4096)
            (void)table[i];
    return take(16, n);
}

EXPORT int madvise(void *p, size_t n, int advice)
{
    if (getenv("READER_OLD") && advice == 22 /* MADV_POPULATE_READ */) {
        errno = EINVAL;
        return -1;
    }
    return (int)syscall(SYS_madvise, p, n, advice);
}
