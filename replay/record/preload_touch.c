/* preload_touch.c - record --touch: how much of a block is in memory when it is freed. */
#include <errno.h>
#include <sys/mman.h>

#include "record/preload.h"

/* Bytes of the block's pages that are in memory; pages that it shares with neighbours count in part. */
uint64_t hp_preload_resident(const void *p)
{
    unsigned char pages[256];
    size_t size = p && hp_next.malloc_usable_size ? hp_next.malloc_usable_size((void *)(uintptr_t)p) : 0;
    uintptr_t at = (uintptr_t)p, end = at + size;
    uint64_t total = 0;
    int saved_errno = errno;

    while (at < end) {
        uintptr_t page = at & ~(uintptr_t)4095;
        uintptr_t stop = end - page > sizeof pages * 4096 ? page + sizeof pages * 4096 : end;

        if (mincore((void *)page, stop - page, pages) != 0)
            break;
        for (size_t i = 0; at < stop; i++) {
            uintptr_t next = page + (i + 1) * 4096 < stop ? page + (i + 1) * 4096 : stop;

            total += pages[i] & 1 ? next - at : 0;
            at = next;
        }
    }
    errno = saved_errno;
    return total;
}
