/* sites.h - the call sites of one recorded process: what each has allocated, and where its code is.
 *
 * Fed by resolve.c in the order of events; its text goes into the trace (traces/FORMAT.md, SITE). A site is a number below
 * HP_SITE_COUNT, 0 is unknown.
 */
#ifndef HP_RECORD_SITES_H
#define HP_RECORD_SITES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hp_sites;

struct hp_sites *hp_sites_new(void);            /* NULL: out of memory */
void hp_sites_free(struct hp_sites *sites);
void hp_sites_module(struct hp_sites *sites, uint64_t base, uint64_t size, size_t path_length);
void hp_sites_path(struct hp_sites *sites, uint64_t first, uint64_t second);    /* 16 bytes more of the module's path */
void hp_sites_frame(struct hp_sites *sites, uint64_t number, uint64_t pc);      /* innermost first */
void hp_sites_made(struct hp_sites *sites, uint64_t number, uint64_t bytes);
void hp_sites_freed(struct hp_sites *sites, uint64_t number, uint64_t bytes);
char *hp_sites_text(struct hp_sites *sites);    /* to be freed; NULL: out of memory */

#endif
