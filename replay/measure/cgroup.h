/* cgroup.h - what the control groups of this process allow it: the least limit on the way from its group to the root.
 * Called by measure/environment.c; both hierarchies, version 1 and 2. */
#ifndef HP_CGROUP_H
#define HP_CGROUP_H

#include <stdint.h>

/* `groups`: a file as /proc/self/cgroup; `root`: where control groups are mounted. */
int64_t hp_cgroup_memory_kib(const char *groups, const char *root);     /* -1: no limit is known */
double  hp_cgroup_cpus(const char *groups, const char *root);           /* processors' worth of time; below 0: no limit is known */

#endif
