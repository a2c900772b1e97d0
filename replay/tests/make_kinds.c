/* make_kinds.c - writes a small trace with every kind of call, for the shell tests: make_kinds FILE [THREADS]. */
#include <stdio.h>
#include <stdlib.h>

#include "trace/trace.h"

enum { CALLS = 4000, LIVE = 300 };

static struct hp_event allocate(unsigned *seed, uint64_t id)
{
    static const uint8_t kind[] = { HP_MALLOC, HP_MALLOC, HP_CALLOC, HP_ALIGNED_ALLOC, HP_POSIX_MEMALIGN, HP_MEMALIGN,
                                    HP_VALLOC, HP_PVALLOC, HP_NEW, HP_NEW_ALIGNED, HP_REALLOC, HP_REALLOCARRAY };
    struct hp_event e = { .kind = kind[rand_r(seed) % (int)sizeof kind], .id = id };

    e.size = 1 + (uint64_t)rand_r(seed) % (rand_r(seed) % 8 ? 300 : 20000);
    if (e.kind == HP_CALLOC || e.kind == HP_REALLOCARRAY)
        e.count = 3;
    if (e.kind == HP_ALIGNED_ALLOC || e.kind == HP_POSIX_MEMALIGN || e.kind == HP_MEMALIGN || e.kind == HP_NEW_ALIGNED) {
        e.alignment = (uint64_t)16 << rand_r(seed) % 6;
        e.size = (e.size + e.alignment - 1) & ~(e.alignment - 1);
    }
    return e;
}

struct live {
    uint64_t id, size, alignment;
    uint8_t  kind;
};

/* Frees a block the way it was made. */
static struct hp_event release(const struct live *b, unsigned *seed)
{
    struct hp_event e = { .kind = HP_FREE, .old_id = b->id };

    if (b->kind == HP_NEW)
        e.kind = rand_r(seed) % 2 ? HP_DELETE : HP_DELETE_SIZED;
    else if (b->kind == HP_NEW_ALIGNED)
        e.kind = HP_DELETE_ALIGNED;
    else if (b->kind == HP_MALLOC && rand_r(seed) % 2)
        e.kind = HP_FREE_SIZED;
    else if (b->kind == HP_ALIGNED_ALLOC && rand_r(seed) % 2)
        e.kind = HP_FREE_ALIGNED_SIZED;
    if (e.kind == HP_DELETE_SIZED || e.kind == HP_FREE_SIZED || e.kind == HP_FREE_ALIGNED_SIZED ||
        e.kind == HP_DELETE_ALIGNED)
        e.size = b->size;
    if (e.kind == HP_FREE_ALIGNED_SIZED || e.kind == HP_DELETE_ALIGNED)
        e.alignment = b->alignment;
    return e;
}

static bool write_events(hp_writer *w, unsigned threads)
{
    static struct live live[LIVE];
    unsigned seed = 5, n = 0;
    uint64_t id = 0;

    for (unsigned i = 0; i < CALLS; i++) {
        unsigned k = n ? (unsigned)rand_r(&seed) % n : 0;
        struct hp_event e;
        if (n == 0 || (n < LIVE && rand_r(&seed) % 2)) {
            e = allocate(&seed, ++id);
            live[n++] = (struct live){ id, e.size, e.alignment, e.kind };
        } else if (rand_r(&seed) % 8 == 0) {
            e = (struct hp_event){ .kind = HP_USABLE_SIZE, .old_id = live[k].id, .size = live[k].size };
        } else if (rand_r(&seed) % 4 == 0 && (live[k].kind == HP_MALLOC || live[k].kind == HP_CALLOC)) {
            e = (struct hp_event){ .kind = HP_REALLOC, .old_id = live[k].id, .id = ++id,
                                   .size = 1 + (uint64_t)rand_r(&seed) % 4000 };
            live[k] = (struct live){ id, e.size, 0, HP_CALLOC };
        } else {
            e = release(&live[k], &seed);
            live[k] = live[--n];
        }
        e.thread = i / 50 % threads;
        e.time_ns = (uint64_t)i * 1000;
        if (hp_writer_append(w, &e) != 0)
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    char command[] = "make_kinds", origin[] = "synthetic:make_kinds", host[] = "", error[512];
    struct hp_meta meta = { .command = command, .origin = origin, .host = host,
                            .flags = HP_HAS_TIME | HP_HAS_THREADS };
    struct hp_trailer trailer = { .exit_status = -1 };
    hp_writer *w = argc > 1 ? hp_writer_open(argv[1], &meta, error, sizeof error) : NULL;

    if (!w)
        return 2;
    if (!write_events(w, argc > 2 ? (unsigned)atoi(argv[2]) : 1)) {
        fprintf(stderr, "%s\n", hp_writer_error(w));
        return 3;
    }
    hp_writer_count(w, &trailer);
    return hp_writer_close(w, &trailer) == 0 ? 0 : 3;
}
