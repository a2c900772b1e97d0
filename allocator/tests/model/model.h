/* model.h - the table that the allocator is held against: what each live block is and holds. */
#ifndef CELL_TEST_MODEL_H
#define CELL_TEST_MODEL_H

#include "support.h"

/* Between the first and the last bytes of a block, one of so many is stamped. */
#ifndef MODEL_STRIDE
#define MODEL_STRIDE 1
#endif
#define MODEL_DENSE  256

struct slot {
    unsigned char *block;       /* NULL: the slot is empty */
    size_t size, alignment;     /* 0: of malloc, calloc or realloc */
    unsigned char stamp;
};

static inline size_t next_stamped(size_t i, size_t size)
{
    return i < MODEL_DENSE || i + MODEL_DENSE + MODEL_STRIDE >= size ? i + 1 : i + MODEL_STRIDE;
}

static inline void fill(struct slot *slot)
{
    for (size_t i = 0; i < slot->size; i = next_stamped(i, slot->size))
        slot->block[i] = (unsigned char)(slot->stamp + i);
}

/* Whether the first `size` bytes are as `fill` left them. */
static inline int is_intact(const struct slot *slot, size_t size)
{
    for (size_t i = 0; i < size; i = next_stamped(i, slot->size))
        if (slot->block[i] != (unsigned char)(slot->stamp + i))
            return 0;
    return 1;
}

static inline int is_zero(const struct slot *slot)
{
    for (size_t i = 0; i < slot->size; i = next_stamped(i, slot->size))
        if (slot->block[i] != 0)
            return 0;
    return 1;
}

#endif
