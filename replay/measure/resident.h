/* resident.h - resident memory of this process as the kernel counts it. Called by the worker between baseline and drain:
 * nothing here allocates. */
#ifndef HP_RESIDENT_H
#define HP_RESIDENT_H

#include <stdbool.h>
#include <stdint.h>

#define HP_MISSING INT64_MIN

/* All in KiB; HP_MISSING when the kernel does not tell. */
int64_t hp_resident_now_kib(void);      /* exact: smaps_rollup, walks the page tables */
int64_t hp_resident_peak_kib(void);     /* VmHWM since the last reset */
bool    hp_resident_reset_peak(void);   /* 5 > clear_refs */
int64_t hp_resident_field_kib(const char *path, const char *field);     /* "VmRSS:" of a /proc file */

#endif
