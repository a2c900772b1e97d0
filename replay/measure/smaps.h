/* smaps.h - what the kernel says of another process's memory: smaps_rollup, read from outside. Called by engine/watch.c.
 *
 * A read walks the process's page tables and holds its mmap lock meanwhile: for runs that are not timed. */
#ifndef HP_SMAPS_H
#define HP_SMAPS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum hp_smaps_field { HP_SMAPS_RSS, HP_SMAPS_PSS, HP_SMAPS_PRIVATE_DIRTY, HP_SMAPS_LAZY_FREE, HP_SMAPS_ANON_HUGE,
                      HP_SMAPS_FIELDS };

struct hp_smaps { int64_t kib[HP_SMAPS_FIELDS]; };     /* HP_MISSING when the kernel does not tell */

int  hp_smaps_open(pid_t pid);                          /* a file to read again and again; -1 and errno */
bool hp_smaps_read(int fd, struct hp_smaps *out);       /* false: the process has gone, or the kernel refuses */
/* From the text of smaps_rollup: the pure part. */
void hp_smaps_parse(const char *text, struct hp_smaps *out);

#endif
