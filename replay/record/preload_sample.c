/* preload_sample.c - record --sample 1/N: which objects are recorded, from the call that makes them to their free.
 *
 * The choice falls when an object is made, by a generator of the thread's own; a realloc carries it on. The addresses of
 * chosen objects that are live lie in a table that every free looks into: buckets of one cache line, open to all threads
 * without a lock. Called by hp_preload_log() only.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "record/preload.h"

enum { WAYS = 8, BUCKETS = 1 << 16 };       /* half a million objects live at a time */

struct bucket {
    _Alignas(64) _Atomic uintptr_t address[WAYS];
};

uint32_t hp_sample_every;
static struct bucket *table;

static struct bucket *bucket_of(uintptr_t address)
{
    return &table[(address >> 4) * 0x9e3779b97f4a7c15ull >> 48];
}
_Static_assert(BUCKETS == 1 << 16, "16 bits of the hash name a bucket");

static bool insert(uintptr_t address)
{
    struct bucket *bucket = bucket_of(address);

    for (int i = 0; i < WAYS; i++) {
        uintptr_t empty = 0;
        if (atomic_compare_exchange_strong(&bucket->address[i], &empty, address))
            return true;
    }
    return false;
}

static bool contains(uintptr_t address)
{
    struct bucket *bucket = bucket_of(address);

    for (int i = 0; i < WAYS; i++)
        if (atomic_load_explicit(&bucket->address[i], memory_order_relaxed) == address)
            return true;
    return false;
}

static bool remove_from_table(uintptr_t address)
{
    struct bucket *bucket = bucket_of(address);

    for (int i = 0; i < WAYS; i++) {
        uintptr_t expected = address;
        if (atomic_compare_exchange_strong(&bucket->address[i], &expected, 0))
            return true;
    }
    return false;
}

bool hp_preload_sample(uint32_t every)
{
    hp_sample_every = 0;
    if (!every)
        return true;
    if (table) {                                /* of an earlier recording */
        madvise(table, sizeof *table * BUCKETS, MADV_DONTNEED);
    } else {
        void *p = mmap(NULL, sizeof *table * BUCKETS, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                       -1, 0);
        if (p == MAP_FAILED)
            return false;
        table = p;
    }
    hp_sample_every = every;
    return true;
}

/* xorshift64*, seeded by what differs between threads and runs. */
static bool chosen(struct hp_self *self)
{
    uint64_t x = self->random;

    if (x == 0)
        x = hp_preload_clock() ^ (uintptr_t)self ^ (uint64_t)getpid() << 40;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    self->random = x;
    return (x * 0x2545f4914f6cdd1dull >> 32) * hp_sample_every >> 32 == 0;
}

static bool realloc_ended(struct hp_self *self, uintptr_t now, uint64_t size)
{
    uintptr_t kept = now ? now : size ? self->moving : 0;       /* a realloc that failed leaves its block */

    if (!self->moving)
        return false;
    self->moving = 0;
    return !kept || kept == 1 || insert(kept);
}

static bool allocates(unsigned kind)
{
    return kind == HP_MALLOC || kind == HP_CALLOC || (kind >= HP_ALIGNED_ALLOC && kind <= HP_PVALLOC) || kind == HP_NEW ||
           kind == HP_NEW_ALIGNED;
}

bool hp_preload_is_sampled(unsigned kind, const void *a, uint64_t b, uint64_t c)
{
    struct hp_self *self = &hp_self;
    uintptr_t address = (uintptr_t)a;

    switch (kind) {
    case HP_THREAD_START: case HP_THREAD_END: case HP_RAW_FORK:
        return true;
    case HP_RAW_REALLOC_BEGIN:
        /* 1 stands for "a new one, chosen": no block has that address. */
        self->moving = !address ? chosen(self) : remove_from_table(address) ? address : 0;
        return self->moving != 0;
    case HP_REALLOC:
        return realloc_ended(self, address, b);
    case HP_REALLOCARRAY:
        return realloc_ended(self, address, b && c);
    case HP_USABLE_SIZE:
        return address && contains(address);
    default:
        return allocates(kind) ? chosen(self) && (!address || insert(address))
                                            : address && remove_from_table(address);
    }
}
