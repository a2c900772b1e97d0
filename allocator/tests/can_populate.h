/* can_populate.h - whether the kernel brings pages in when asked to (MADV_POPULATE_WRITE, Linux 5.14). */
#ifndef CAN_POPULATE_H
#define CAN_POPULATE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>

#include "os.h"

static inline bool can_populate(void)
{
    void *page = mmap(NULL, cell_os_page_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    bool can = page != MAP_FAILED && cell_os_populate(page, cell_os_page_size());

    munmap(page, cell_os_page_size());
    return can;
}

#endif
