/* failing_calls.h - system calls that fail on command: for a test that is linked with
 * --wrap=mmap,--wrap=mprotect,--wrap=mremap,--wrap=madvise and includes this in its one source.
 */
#ifndef CELL_TEST_FAILING_CALLS_H
#define CELL_TEST_FAILING_CALLS_H

#include <errno.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/types.h>

void *__real_mmap(void *start, size_t size, int protection, int flags, int fd, off_t offset);
int   __real_mprotect(void *start, size_t size, int protection);
void *__real_mremap(void *start, size_t old_size, size_t new_size, int flags);
int   __real_madvise(void *start, size_t size, int advice);
void *__wrap_mmap(void *start, size_t size, int protection, int flags, int fd, off_t offset);
int   __wrap_mprotect(void *start, size_t size, int protection);
void *__wrap_mremap(void *start, size_t old_size, size_t new_size, int flags);
int   __wrap_madvise(void *start, size_t size, int advice);

enum call { MMAP = 1, MPROTECT = 2, MREMAP = 4, MADVISE = 8 };

static struct plan {
    unsigned calls;         /* which of them count */
    unsigned long nth;      /* the one that fails; 0: none */
    int lasting;            /* and all after it */
} plan;
static unsigned long called;
/* Is told of new mappings; may be NULL. */
static void (*note_mapping)(void *start, size_t size);

static int fails(enum call call)
{
    if ((plan.calls & call) == 0)
        return 0;
    called++;
    if (plan.nth == 0 || !(called == plan.nth || (plan.lasting && called > plan.nth)))
        return 0;
    errno = ENOMEM;
    return 1;
}

static void *noted(void *start, size_t size)
{
    if (start != MAP_FAILED && note_mapping != NULL)
        note_mapping(start, size);
    return start;
}

void *__wrap_mmap(void *start, size_t size, int protection, int flags, int fd, off_t offset)
{
    return fails(MMAP) ? MAP_FAILED : noted(__real_mmap(start, size, protection, flags, fd, offset), size);
}

int __wrap_mprotect(void *start, size_t size, int protection)
{
    return fails(MPROTECT) ? -1 : __real_mprotect(start, size, protection);
}

void *__wrap_mremap(void *start, size_t old_size, size_t new_size, int flags)
{
    return fails(MREMAP) ? MAP_FAILED : noted(__real_mremap(start, old_size, new_size, flags), new_size);
}

int __wrap_madvise(void *start, size_t size, int advice)
{
    return fails(MADVISE) ? -1 : __real_madvise(start, size, advice);
}

#endif
