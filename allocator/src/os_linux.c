/* os_linux.c - the system calls of os.h on Linux. */
#include "os.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "place.h"

/* Compilers of other C libraries come without the kernel's headers. */
#ifdef __has_include
#if __has_include(<linux/futex.h>)
#include <linux/futex.h>
#endif
#endif
#ifndef FUTEX_WAIT_PRIVATE
#define FUTEX_WAIT_PRIVATE 128
#define FUTEX_WAKE_PRIVATE 129
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifdef __SANITIZE_THREAD__
#define AT_OR_ELSEWHERE     0               /* of an address that is none of its program's it makes 0, which must be a hint */
#else
#define AT_OR_ELSEWHERE     MAP_FIXED_NOREPLACE
#endif

size_t cell_os_page_size(void)
{
    static size_t page_size CELL_FIRST;
    size_t size = __atomic_load_n(&page_size, __ATOMIC_RELAXED);

    if (size == 0) {
        size = getauxval(AT_PAGESZ);
        if (size == 0)
            size = 4096;
        __atomic_store_n(&page_size, size, __ATOMIC_RELAXED);
    }
    return size;
}

static void *map_or_null(void *hint, size_t size, int protection, int flags)
{
    int saved = errno;
    void *start = mmap(hint, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);

    errno = saved;
    return start == MAP_FAILED ? NULL : start;
}

void *cell_os_reserve(size_t size)
{
    return map_or_null(NULL, size, PROT_NONE, MAP_NORESERVE);
}

static bool protect(void *start, size_t size, int protection)
{
    int saved = errno;
    bool done = mprotect(start, size, protection) == 0;

    errno = saved;
    return done;
}

bool cell_os_commit(void *start, size_t size)
{
    return protect(start, size, PROT_READ | PROT_WRITE);
}

bool cell_os_forbid(void *start, size_t size)
{
    return protect(start, size, PROT_NONE);
}

void *cell_os_map(size_t size)
{
    return map_or_null(NULL, size, PROT_READ | PROT_WRITE, 0);
}

bool cell_os_map_at(void *start, size_t size)
{
    void *mapped = map_or_null(start, size, PROT_READ | PROT_WRITE, MAP_NORESERVE | AT_OR_ELSEWHERE);

    if (mapped != NULL && mapped != start) {    /* kernels before 4.17 take any address as a hint */
        cell_os_unmap(mapped, size);
        return false;
    }
    return mapped != NULL;
}

void cell_os_unmap(void *start, size_t size)
{
    int saved = errno;

    munmap(start, size);
    errno = saved;
}

/* ThreadSanitizer does not follow mremap(): the addresses that one thread's mapping has left may be where another's arrives. */
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
static char remaps;
#define BEFORE_REMAP() __tsan_release(&remaps)
#define AFTER_REMAP()  __tsan_acquire(&remaps)
#else
#define BEFORE_REMAP() ((void)0)
#define AFTER_REMAP()  ((void)0)
#endif

void *cell_os_remap(void *start, size_t old_size, size_t new_size, bool may_move)
{
    int saved = errno;

    BEFORE_REMAP();
    void *moved = mremap(start, old_size, new_size, may_move ? MREMAP_MAYMOVE : 0);
    AFTER_REMAP();
    errno = saved;
    return moved == MAP_FAILED ? NULL : moved;
}

static bool advise(void *start, size_t size, int advice)
{
    int saved = errno;
    bool done = madvise(start, size, advice) == 0;

    errno = saved;
    return done;
}

bool cell_os_purge(void *start, size_t size)
{
    return advise(start, size, MADV_DONTNEED);
}

bool cell_os_populate(void *start, size_t size)
{
    return advise(start, size, MADV_POPULATE_WRITE);
}

bool cell_os_is_resident(void *start)
{
    unsigned char state[16] = { 0 };    /* one byte for each page, of which we ask for one */
    int saved = errno;
    bool known = mincore(start, cell_os_page_size(), state) == 0;

    errno = saved;
    return known && (state[0] & 1) != 0;
}

void cell_os_huge(void *start, size_t size)
{
    advise(start, size, MADV_HUGEPAGE);
}

void cell_os_no_huge(void *start, size_t size)
{
    advise(start, size, MADV_NOHUGEPAGE);
}

/* open(), read(), write() and close() of the C library are cancellation points, as no call of ours may be (POSIX.1-2017, XSH 2.9.5.2):
 * a thread that was cancelled there would end with a lock held. */
bool cell_os_huge_available(void)
{
    int saved = errno;
    char text[64] = "";
    long fd = syscall(SYS_openat, AT_FDCWD, "/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        long length = syscall(SYS_read, fd, text, sizeof text - 1);
        text[length > 0 ? length : 0] = '\0';
        syscall(SYS_close, fd);
    }
    errno = saved;
    return text[0] != '\0' && strstr(text, "[never]") == NULL;
}

size_t cell_os_address_limit(void)
{
    struct rlimit limit;
    int saved = errno;
    bool known = getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;

    errno = saved;
    return known && limit.rlim_cur < SIZE_MAX ? (size_t)limit.rlim_cur : SIZE_MAX;
}

unsigned cell_os_processor(void)
{
    int number = sched_getcpu();

    return number < 0 ? 0 : (unsigned)number;
}

uint64_t cell_os_random(enum cell_os_random_use use)
{
    const unsigned char *seed = (const unsigned char *)(uintptr_t)getauxval(AT_RANDOM);
    uint64_t value = 0;

    /* AT_RANDOM holds 16 random bytes; libc takes its stack guard from the first eight, so mix both halves, for each use in another way. */
    if (seed != NULL) {
        uint64_t half[2];
        memcpy(half, seed, sizeof half);
        uint64_t a = half[use == CELL_OS_RANDOM_SECRET ? 0 : 1], b = half[use == CELL_OS_RANDOM_SECRET ? 1 : 0];
        value = (a * UINT64_C(0x9E3779B97F4A7C15)) ^ (b << 17 | b >> 47);
    }
    struct timespec now;
    if (value == 0 && clock_gettime(CLOCK_MONOTONIC, &now) == 0)
        value = ((uint64_t)now.tv_nsec << 32) ^ (uint64_t)(uintptr_t)&now;
    return value;
}

uint64_t cell_os_now_ms(void)
{
    struct timespec now = { 0, 0 };

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

unsigned long cell_os_thread_ns(void)
{
    struct timespec now = { 0, 0 };
    int saved = errno;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    errno = saved;
    return (unsigned long)now.tv_sec * 1000000000ul + (unsigned long)now.tv_nsec;
}

bool cell_os_is_setuid(void)
{
    return getauxval(AT_SECURE) != 0;
}

int cell_os_write(int fd, const char *text, size_t length)
{
    int saved = errno, error = 0;

    while (length > 0 && error == 0) {
        long written = syscall(SYS_write, fd, text, length);
        if (written > 0) {
            text += written;
            length -= (size_t)written;
        } else if (written == 0 || errno != EINTR) {
            error = written == 0 ? EIO : errno;
        }
    }
    errno = saved;
    return error;
}

void cell_os_write_error(const char *text, size_t length)
{
    cell_os_write(STDERR_FILENO, text, length);
}

void cell_os_wait(const uint32_t *word, uint32_t expected)
{
    int saved = errno;

    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
    errno = saved;
}

void cell_os_wake_one(const uint32_t *word)
{
    int saved = errno;

    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    errno = saved;
}
