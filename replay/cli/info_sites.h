/* info_sites.h - the call sites of a trace as text, for cmd_info.c. */
#ifndef HP_INFO_SITES_H
#define HP_INFO_SITES_H

#include "trace/trace.h"

int hp_info_sites(const char *path);            /* an exit code; prints the top 20 */

#endif
