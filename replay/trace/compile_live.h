/* compile_live.h - the blocks that live at one moment of a trace, by object id. Owned and called by compile.c.
 * Memory follows the number of live blocks, not the number of all blocks. */
#ifndef HP_COMPILE_LIVE_H
#define HP_COMPILE_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Positions are places in a thread's stream, which begins anew with each section of the plan. */
struct hp_compile_block {
    uint64_t id;            /* 0: empty place */
    uint64_t size;          /* bytes requested */
    uint32_t section, thread, position;         /* of its last access so far */
    uint32_t made_in, maker, made_at;           /* section, thread and position of the operation that made it */
    uint32_t slot;
    uint32_t home;          /* thread whose slot it is */
};

struct hp_compile_live {
    struct hp_compile_block *place;    /* open addressing, linear probing, no tombstones */
    size_t                mask;
    size_t                used;
};

bool hp_compile_live_init(struct hp_compile_live *l);
void hp_compile_live_release(struct hp_compile_live *l);
struct hp_compile_block *hp_compile_live_find(const struct hp_compile_live *l, uint64_t id);
struct hp_compile_block *hp_compile_live_add(struct hp_compile_live *l, uint64_t id);  /* NULL: out of memory. id is not in it yet */
void hp_compile_live_remove(struct hp_compile_live *l, uint64_t id);
/* All live blocks by ascending id in a malloc'ed array; NULL when out of memory. */
struct hp_compile_block *hp_compile_live_sorted(const struct hp_compile_live *l);

#endif
