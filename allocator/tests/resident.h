/* resident.h - how much of a range has memory, as the system says. */
#ifndef TEST_RESIDENT_H
#define TEST_RESIDENT_H

#include <sys/mman.h>

#include "os.h"
#include "support.h"

/* Of the pages that [from, from + size) has whole but for the first, which it may begin within. Up to 65536 pages. */
static inline size_t resident_bytes(const char *from, size_t size)
{
    static unsigned char present[1 << 16];
    size_t page = cell_os_page_size(), resident = 0;
    uintptr_t begin = (uintptr_t)from & ~(page - 1), end = (uintptr_t)(from + size) & ~(page - 1);

    REQUIRE((end - begin) / page <= COUNT_OF(present) && mincore((void *)begin, end - begin, present) == 0);
    for (size_t i = 0; i < (end - begin) / page; i++)
        resident += (present[i] & 1) * page;
    return resident;
}

#endif
