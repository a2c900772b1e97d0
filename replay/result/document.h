/* document.h - a campaign as a results.json document (results/SCHEMA.md) and as text. Called by cmd_replay.c. */
#ifndef HP_DOCUMENT_H
#define HP_DOCUMENT_H

#include <jansson.h>
#include <stdio.h>
#include "engine/campaign.h"

json_t *hp_document_json(const struct hp_campaign *c, const char *trace_path, const char *command);
int     hp_document_write(const json_t *document, const char *path, char *error, size_t error_size);
void    hp_document_print(FILE *out, const struct hp_campaign *c, const char *trace_path);     /* table.c */
void    hp_document_trace_name(const char *path, char *name, size_t size);      /* file name without .hpt */

/* latency.c: percentiles of the calls that were timed, by kind and size class. */
json_t *hp_latency_json(const struct hp_campaign *c, const struct hp_entry *e);
/* Which replayed call took longest: its thread, and its number among that thread's calls. */
void    hp_latency_worst(const struct hp_campaign *c, const struct hp_entry *e, uint32_t *thread, uint64_t *call);
void    hp_latency_print(FILE *out, const struct hp_campaign *c, const char *trace);    /* the path, for a command */

#endif
