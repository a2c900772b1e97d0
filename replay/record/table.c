/* table.c - see table.h. */
#include "record/table.h"

#include <string.h>

#include "record/pages.h"

enum { FIRST_LOG2 = 10 };

/* 2^log2 empty slots, in runs of 16. */
static bool make(struct hp_table *table, unsigned log2)
{
    table->mask = (UINT64_C(1) << log2) - 1;
    table->used = 0;
    table->shift = 64 - (log2 - 4);
    table->blocks = hp_pages_map((table->mask + 1) * sizeof *table->blocks);
    return table->blocks != NULL;
}

bool hp_table_open(struct hp_table *table)
{
    return make(table, FIRST_LOG2);
}

void hp_table_close(struct hp_table *table)
{
    hp_pages_unmap(table->blocks, (table->mask + 1) * sizeof *table->blocks);
    memset(table, 0, sizeof *table);
}

struct hp_block *hp_table_find(const struct hp_table *table, uint64_t address)
{
    for (uint64_t i = hp_table_home(table, address);; i = (i + 1) & table->mask) {
        if (table->blocks[i].address == address)
            return &table->blocks[i];
        if (!table->blocks[i].address)
            return NULL;
    }
}

static void put(struct hp_table *table, const struct hp_block *block)
{
    uint64_t i = hp_table_home(table, block->address);

    while (table->blocks[i].address)
        i = (i + 1) & table->mask;
    table->blocks[i] = *block;
    table->used++;
}

static bool grow(struct hp_table *table)
{
    struct hp_table larger;

    if (!make(&larger, 64 - table->shift + 4 + 1))
        return false;
    for (uint64_t i = 0; i <= table->mask; i++)
        if (table->blocks[i].address)
            put(&larger, &table->blocks[i]);
    hp_table_close(table);
    *table = larger;
    return true;
}

bool hp_table_insert(struct hp_table *table, const struct hp_block *block)
{
    if (table->used * 4 > table->mask * 3 && !grow(table))
        return false;
    put(table, block);
    return true;
}

/* Later blocks of the run move back into the hole unless that would put them before their home. */
void hp_table_remove(struct hp_table *table, struct hp_block *block)
{
    uint64_t hole = (uint64_t)(block - table->blocks);

    for (uint64_t i = (hole + 1) & table->mask; table->blocks[i].address; i = (i + 1) & table->mask) {
        uint64_t home = hp_table_home(table, table->blocks[i].address);

        if (((i - home) & table->mask) >= ((i - hole) & table->mask)) {
            table->blocks[hole] = table->blocks[i];
            hole = i;
        }
    }
    table->blocks[hole].address = 0;
    table->used--;
}
