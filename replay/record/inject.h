/* inject.h - the recorder in a program that already runs: loads its library there, puts its functions in place of the
 * program's, and takes them out again.
 *
 * A thread of the program that is at a safe point calls dlopen. Then, with all threads stopped, the slots through which
 * the loaded objects call malloc and the others are overwritten, and restored at the end; the library stays loaded.
 * Objects that are loaded meanwhile are found by hp_inject_refresh. collector.c and cmd_record.c call this, in one thread.
 */
#ifndef HP_RECORD_INJECT_H
#define HP_RECORD_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct hp_inject;

/* 0, or an exit code of commands.h with one line in error: no such process, one that cannot be recorded, one that the
 * kernel does not let us trace. */
int hp_inject_check(pid_t pid, const char *library, char *error, size_t error_size);
/* Loads the library. One thread stays stopped until hp_inject_begin or hp_inject_close. *memory: descriptor of the memory to
 * share, of size 0, the caller's. NULL: error says why; the program runs on as it was. */
struct hp_inject *hp_inject_open(pid_t pid, const char *library, int *memory, char *error, size_t error_size);
bool hp_inject_begin(struct hp_inject *i);              /* the memory is ready: records from now on. False: error of open */
bool hp_inject_refresh(struct hp_inject *i);            /* false: the process is gone, or has executed another image */
void hp_inject_end(struct hp_inject *i, pid_t pid);     /* restores the process, or a forked child of it */
void hp_inject_close(struct hp_inject *i);

#endif
