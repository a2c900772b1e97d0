/* check.h - what of the check of a heap is of use when a program ends. */
#ifndef CELL_CHECK_H
#define CELL_CHECK_H

#include <stdbool.h>

/* Whether no live block was written past its end, as far as harden.c can tell; always true while there are threads, which
 * may be writing canaries at this moment. */
bool cell_check_canaries(void);

#endif
