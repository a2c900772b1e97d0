/* table.c - see table.h. */
#include "record/table.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 1024 };

bool hp_table_open(struct hp_table *table)
{
    table->mask = FIRST_SLOTS - 1;
    table->used = 0;
    table->blocks = calloc(FIRST_SLOTS, sizeof *table->blocks);
    return table->blocks != NULL;
}

void hp_table_close(struct hp_table *table)
{
    free(table->blocks);
    memset(table, 0, sizeof *table);
}

bool hp_table_copy(struct hp_table *to, const struct hp_table *from)
{
    size_t bytes = (from->mask + 1) * sizeof *from->blocks;

    *to = *from;
    to->blocks = malloc(bytes);
    if (to->blocks)
        memcpy(to->blocks, from->blocks, bytes);
    return to->blocks != NULL;
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
    struct hp_table larger = {.mask = table->mask * 2 + 1};

    larger.blocks = calloc(larger.mask + 1, sizeof *larger.blocks);
    if (!larger.blocks)
        return false;
    for (uint64_t i = 0; i <= table->mask; i++)
        if (table->blocks[i].address)
            put(&larger, &table->blocks[i]);
    free(table->blocks);
    *table = larger;
    return true;
}

bool hp_table_insert(struct hp_table *table, const struct hp_block *block)
{
    if (table->used * 2 > table->mask && !grow(table))
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
