/* resident.h - how much of a range has memory, as the system says. */
#ifndef TEST_RESIDENT_H
#define TEST_RESIDENT_H

#include <sys/mman.h>

#include "segment.h"
#include "support.h"

/* Pages that lie in [from, from + size) whole or to their ends; up to 256 MiB. */
static inline size_t resident_pages(const char *from, size_t size)
{
    static unsigned char present[1 << 16];
    uintptr_t begin = (uintptr_t)from & ~(CELL_PAGE - 1), end = (uintptr_t)(from + size) & ~(CELL_PAGE - 1);
    size_t pages = (end - begin) / CELL_PAGE, resident = 0;

    REQUIRE(pages <= COUNT_OF(present) && mincore((void *)begin, end - begin, present) == 0);
    for (size_t i = 0; i < pages; i++)
        resident += present[i] & 1;
    return resident;
}

#endif
