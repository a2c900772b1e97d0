/* adversary.c - sequences that are meant to be hard for an allocator's structures, each call timed by itself.
 *
 *   adversary PATTERN [CALLS]      one line of JSON: the times, by what the call met (recorder.h)
 *   adversary --list               the patterns, one a line
 *
 * A pattern runs again and again until CALLS (default 1000000) calls were recorded. The first run is not: it is there to make the
 * heap resident. `clock` calls nothing: it shows what the clock and the machine do by themselves.
 */
#include "recorder.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 20000, PAGE = 4096 };

static struct recorder recorder;
static bool recording;
static void *block[BLOCKS];

static void *allocate(size_t size)
{
    if (!recording)
        return memset(malloc(size), 1, size);
    recorder_begin(&recorder);
    void *made = malloc(size);
    recorder_end(&recorder);
    if (!made) {
        fprintf(stderr, "adversary: malloc(%zu) failed\n", size);
        exit(1);
    }
    /* Every page: whether it was resident is the allocator's doing, but not part of the next call's time. */
    for (size_t i = 0; i < size; i += PAGE)
        ((char *)made)[i] = 1;
    return made;
}

static void give(void *used)
{
    if (!recording) {
        free(used);
        return;
    }
    recorder_begin(&recorder);
    free(used);
    recorder_end(&recorder);
}

static uint64_t state;

static uint32_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

static void shuffle(size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = next_random() % i;
        void *kept = block[i - 1];
        block[i - 1] = block[other];
        block[other] = kept;
    }
}

static void give_all(size_t count)
{
    for (size_t i = 0; i < count; i++)
        give(block[i]);
}

static void clock_alone(void)
{
    for (int i = 0; i < BLOCKS && recording; i++) {
        recorder_begin(&recorder);
        recorder_end(&recorder);
    }
}

/* Every size up to 32 KiB once: nothing that is freed is asked for again soon. */
static void all_sizes(void)
{
    enum { SIZES = 2048 };
    for (size_t i = 0; i < SIZES; i++)
        block[i] = allocate(16 * (i + 1));
    shuffle(SIZES);
    give_all(SIZES);
}

/* Every second block is freed, then blocks are wanted that fit into none of the holes. */
static void comb(void)
{
    static const size_t sizes[] = { 32, 200, 600, 3000, 9000 };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        enum { TEETH = 2000 };
        for (size_t i = 0; i < TEETH; i++)
            block[i] = allocate(sizes[s]);
        for (size_t i = 0; i < TEETH; i += 2) {
            give(block[i]);
            block[i] = NULL;
        }
        for (size_t i = 0; i < TEETH; i += 2)
            block[i] = allocate(sizes[s] + sizes[s] / 2 + 16);
        give_all(TEETH);
    }
}

/* Freed from both ends towards the middle: each free has something to merge with, in turns before and behind it. */
static void both_ends(void)
{
    enum { COUNT = 4000 };
    for (size_t i = 0; i < COUNT; i++)
        block[i] = allocate(700 + 16 * (i % 7));
    for (size_t i = 0; i < COUNT / 2; i++) {
        give(block[i]);
        give(block[COUNT - 1 - i]);
    }
}

/* Free blocks of 1024 sizes between 16 and 32 KiB, in an order that makes a tree by size or by its bits as deep as it gets, then
 * requests that each miss one of them by 16 bytes. */
static void near_misses(void)
{
    enum { SIZES = 1024, BITS = 10 };
    static void *guard[SIZES];
    for (size_t i = 0; i < SIZES; i++) {
        size_t reversed = 0;
        for (int bit = 0; bit < BITS; bit++)
            reversed |= (i >> bit & 1) << (BITS - 1 - bit);
        block[i] = allocate(16384 + 16 * reversed);
        guard[i] = allocate(600);
    }
    give_all(SIZES);
    for (size_t i = 0; i < SIZES; i++)
        block[i] = allocate(16384 + 16 * i + 16);
    give_all(SIZES);
    for (size_t i = 0; i < SIZES; i++)
        give(guard[i]);
}

/* Thousands of free blocks of one size, apart from one another, taken and freed in any order. */
static void same_size(void)
{
    enum { COUNT = 2000 };
    static void *guard[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        block[i] = allocate(5000);
        guard[i] = allocate(600);
    }
    for (int round = 0; round < 3; round++) {
        shuffle(COUNT);
        give_all(COUNT);
        for (size_t i = 0; i < COUNT; i++)
            block[i] = allocate(5000);
    }
    give_all(COUNT);
    for (size_t i = 0; i < COUNT; i++)
        give(guard[i]);
}

/* Small blocks to just beyond whole pages and back, more than a cache holds, and in an order that empties pages last. */
static void page_boundary(void)
{
    static const size_t sizes[] = { 16, 32, 48, 64 };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t in_page = PAGE / sizes[s], count = 40 * in_page + 1;
        for (size_t i = 0; i < count; i++)
            block[i] = allocate(sizes[s]);
        for (int round = 0; round < 8; round++) {
            for (size_t i = 0; i < 2 * in_page; i++)
                give(block[count - 1 - i]);
            for (size_t i = 0; i < 2 * in_page; i++)
                block[count - 1 - i] = allocate(sizes[s]);
        }
        for (size_t first = 0; first < in_page; first++)
            for (size_t i = first; i < count; i += in_page)
                give(block[i]);
    }
}

/* In turns two sizes that lie on the two sides of a limit: small and large, cached and not, heap and mapping. */
static void ping_pong(void)
{
    static const size_t limits[] = { 64, 240, 504, 1024, 4096, 32768, 131072 };
    for (size_t l = 0; l < sizeof limits / sizeof *limits; l++) {
        size_t count = limits[l] > 10000 ? 8 : 200;
        for (int round = 0; round < 8; round++) {
            size_t size = round % 2 == 0 ? limits[l] - 8 : limits[l] + 24;
            for (size_t i = 0; i < count; i++)
                block[i] = allocate(size);
            give_all(count);
        }
    }
}

/* ---- two threads: one allocates, the other frees ------------------------------------------------------------------ */

enum { RING = 1024 };
static void *ring[RING];
static atomic_size_t made, taken;
static atomic_bool   done;
static struct recorder other;

static void *consumer(void *unused)
{
    (void)unused;
    recorder_enter_thread();
    for (;;) {
        size_t next = atomic_load_explicit(&taken, memory_order_relaxed);
        if (next == atomic_load_explicit(&made, memory_order_acquire)) {
            if (atomic_load(&done) && next == atomic_load(&made))
                return NULL;
            sched_yield();
            continue;
        }
        void *used = ring[next % RING];
        recorder_begin(&other);
        free(used);
        recorder_end(&other);
        atomic_store_explicit(&taken, next + 1, memory_order_release);
    }
}

static void cross_thread(void)
{
    pthread_t thread;
    if (!recording || pthread_create(&thread, NULL, consumer, NULL) != 0)
        return;
    while (!recorder_is_full(&recorder)) {
        size_t next = atomic_load_explicit(&made, memory_order_relaxed);
        if (next - atomic_load_explicit(&taken, memory_order_acquire) == RING) {
            sched_yield();
            continue;
        }
        ring[next % RING] = allocate(16 + next_random() % 2000);
        atomic_store_explicit(&made, next + 1, memory_order_release);
    }
    atomic_store(&done, true);
    pthread_join(thread, NULL);
}

static const struct { const char *name; void (*run)(void); } patterns[] = {
    { "clock", clock_alone },       { "all-sizes", all_sizes },   { "comb", comb },
    { "both-ends", both_ends },     { "near-misses", near_misses }, { "same-size", same_size },
    { "page-boundary", page_boundary }, { "ping-pong", ping_pong }, { "cross-thread", cross_thread },
};
enum { PATTERNS = sizeof patterns / sizeof *patterns };

static int measure(int pattern, size_t calls)
{
    recorder_init(&recorder, calls);
    recorder_enter_thread();
    if (patterns[pattern].run == cross_thread)
        recorder_init(&other, calls);
    state = 88172645463325252u;
    patterns[pattern].run();
    for (recording = true; !recorder_is_full(&recorder);)
        patterns[pattern].run();
    if (patterns[pattern].run == cross_thread) {
        static struct recorder both;
        recorder_init(&both, 2 * calls);
        recorder_add(&both, &recorder);
        recorder_add(&both, &other);
        recorder = both;
    }
    printf("{\"pattern\": \"%s\", \"sees_syscalls\": %s, \"ns\": ", patterns[pattern].name,
           recorder_sees_syscalls() ? "true" : "false");
    recorder_print(&recorder);
    printf("}\n");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (int i = 0; i < PATTERNS; i++)
            puts(patterns[i].name);
        return 0;
    }
    long calls = argc == 3 ? atol(argv[2]) : argc == 2 ? 1000000 : 0;
    for (int i = 0; i < PATTERNS && calls > 0; i++)
        if (strcmp(argv[1], patterns[i].name) == 0)
            return measure(i, (size_t)calls);
    fprintf(stderr, "usage: adversary PATTERN [CALLS]      adversary --list prints the patterns; CALLS above 0\n");
    return 2;
}
