/* live.h - the blocks that are live at one point of a trace: a hash table from object id to what is known of it.
 * Memory follows the number of live blocks, not of events. Used by validate.c, analyze.c and tools on traces. */
#ifndef HP_LIVE_H
#define HP_LIVE_H

#include <stddef.h>
#include <stdint.h>

struct hp_live_block {
    uint64_t id;            /* 0: empty slot */
    uint64_t size;          /* requested bytes */
    uint64_t born;          /* operation that made it */
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
