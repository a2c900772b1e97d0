/* table.h - the live blocks of one recorded process: address -> object id, size, alignment, kind.
 *
 * Open addressing with linear probing; deletion shifts back, so there are no tombstones. Used by resolve.c and lineage.c.
 * The 256 bytes around an address share a run of 16 slots, for programs allocate and free neighbours together; a run's place
 * is the upper bits of a hash, so that a larger table holds the runs in the same order and growing is one pass forward.
 */
#ifndef HP_RECORD_TABLE_H
#define HP_RECORD_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hp_block {
    uint64_t address;       /* 0: empty */
    uint64_t size : 48;     /* requested */
    uint64_t site : 16;     /* that made it; 0: unknown */
    uint64_t id : 50;
    uint64_t log2_alignment : 6;
    uint64_t kind : 8;      /* enum hp_kind that made it */
};

struct hp_table {
    struct hp_block *blocks;
    uint64_t mask, used;
    unsigned shift;         /* 64 - log2 of the number of runs */
};

bool hp_table_open(struct hp_table *table);
void hp_table_close(struct hp_table *table);
struct hp_block *hp_table_find(const struct hp_table *table, uint64_t address);
bool hp_table_insert(struct hp_table *table, const struct hp_block *block);     /* the address must be absent */
void hp_table_remove(struct hp_table *table, struct hp_block *block);

static inline uint64_t hp_table_home(const struct hp_table *table, uint64_t address)
{
    uint64_t hash = (address >> 8) * 0x9e3779b97f4a7c15ull;

    return hash >> table->shift << 4 | (((address >> 4) + (hash >> 20)) & 15);
}

static inline void hp_table_prefetch(const struct hp_table *table, uint64_t address)
{
    __builtin_prefetch(&table->blocks[hp_table_home(table, address)], 1);
}

#endif
