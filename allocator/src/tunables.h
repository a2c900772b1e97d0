/* tunables.h - the values of tunables.def and the ways to set them; the only reader of the environment. */
#ifndef CELL_TUNABLES_H
#define CELL_TUNABLES_H

#include <stdbool.h>
#include <stddef.h>

struct cell_options {
#define CELL_TUNABLE(name, initial, minimum, maximum, unit, when, text) size_t name;
#include "tunables.def"
#undef CELL_TUNABLE
    /* What follows from them: the largest chunk that caches may keep in a bin for its size alone. */
    size_t binned_size;
};

extern struct cell_options cell_option;

/* Reads CELLMALLOC_CONF and glibc's MALLOC_* names, unless the program is setuid. A wrong name or value gives one line on
 * stderr and leaves the default, and so does one that is too late (`started` as below). Returns false when the environment is not
 * there yet (early in program start). */
bool cell_tunables_load(bool started);

enum cell_tunable_result { CELL_TUNABLE_OK, CELL_TUNABLE_UNKNOWN, CELL_TUNABLE_RANGE, CELL_TUNABLE_TOO_LATE };

/* `started`: the heap exists, so that tunables read at the start can no longer change. */
enum cell_tunable_result cell_tunables_set(const char *name, size_t value, bool started);
/* The allowed value next to `value`. The name must be one of tunables.def, of a tunable that may change any time. */
void cell_tunables_set_nearest(const char *name, size_t value, bool started);
/* With a second thread, caches keep chunks up to `limit` by their size, beyond it by class. Other threads may be reading. */
void cell_tunables_share(size_t limit);
bool cell_tunables_get(const char *name, size_t *value);
/* One line for each tunable, to stderr. */
void cell_tunables_help(void) __attribute__((cold));

#endif
