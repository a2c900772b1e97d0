/* locate.h - from a replayed call back to the operation of the trace that it came from. Called by cmd_replay.c. */
#ifndef HP_LOCATE_H
#define HP_LOCATE_H

#include <stdbool.h>
#include <stdint.h>

/* The number (from 0, as `heaplay slice --ops` counts) of the call-th replayed operation of a thread; of all threads when the
 * replay was serial. False: the trace cannot be read again, or has no such call. */
bool hp_locate_call(const char *path, bool serial, uint32_t thread, uint64_t call, uint64_t *operation);

#endif
