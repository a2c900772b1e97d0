/* pages.c - see pages.h. */
#include "record/pages.h"

#include <stdint.h>
#include <sys/mman.h>

static size_t rounded(size_t bytes)
{
    size_t unit = bytes < HP_HUGE_PAGE ? 4096 : HP_HUGE_PAGE;

    return (bytes + unit - 1) & ~(unit - 1);
}

/* Maps a huge page too many and gives back what lies before and behind the aligned part. */
void *hp_pages_map(size_t bytes)
{
    size_t wanted = rounded(bytes), slack = wanted < HP_HUGE_PAGE ? 0 : HP_HUGE_PAGE, before;
    char *p = mmap(NULL, wanted + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    if (!slack)
        return p;
    before = -(uintptr_t)p & (HP_HUGE_PAGE - 1);
    if (before)
        munmap(p, before);
    if (slack - before)
        munmap(p + before + wanted, slack - before);
    madvise(p + before, wanted, MADV_HUGEPAGE);     /* refused: 4 KiB pages do as well, slower */
    return p + before;
}

void hp_pages_unmap(void *p, size_t bytes)
{
    if (p)
        munmap(p, rounded(bytes));
}
