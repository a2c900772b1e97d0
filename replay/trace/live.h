/* live.h - the blocks that are live at one point of a trace: a hash table from object id to what is known of it.
 * Memory follows the number of live blocks, not of events. Used by validate.c, analyze.c, tools on traces and export.c. */
#ifndef HP_LIVE_H
#define HP_LIVE_H

#include <stddef.h>
#include <stdint.h>

struct hp_live_block {
    uint64_t id;            /* 0: empty slot */
    uint64_t size;          /* requested bytes */
    uint64_t born : 49;     /* operation that made it */
    uint64_t kind : 8;      /* the call that made it and the alignment it asked for: kept by who needs them */
    uint64_t align_class : 7;   /* 0 none, else 1 + log2 */
    uint32_t thread;
    uint32_t chain;         /* reallocs it went through */
};

struct hp_live {
    struct hp_live_block *slots;
    size_t room, count;     /* room is a power of two, at least twice count */
};

int  hp_live_init(struct hp_live *live);                                        /* 0 or HP_E_IO: out of memory */
void hp_live_free(struct hp_live *live);
struct hp_live_block *hp_live_find(const struct hp_live *live, uint64_t id);    /* NULL: not live */
int  hp_live_add(struct hp_live *live, const struct hp_live_block *block);      /* 0 or HP_E_IO */
void hp_live_remove(struct hp_live *live, struct hp_live_block *block);

#endif
