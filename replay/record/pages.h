/* pages.h - large memory for the collector, on huge pages where the kernel gives them: a fault for each 4 KiB of a table
 * or backlog would cost more than what is done with it. Used by table.c and drain.c.
 */
#ifndef HP_RECORD_PAGES_H
#define HP_RECORD_PAGES_H

#include <stddef.h>

enum { HP_HUGE_PAGE = 2 << 20 };

void *hp_pages_map(size_t bytes);               /* zeroed, aligned to a huge page when it is as large; NULL: none left */
void  hp_pages_unmap(void *p, size_t bytes);

#endif
