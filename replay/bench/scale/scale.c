/* scale.c - large heaps: what a call costs, and what lies unused, as the heap grows.
 *
 *   scale heap BYTES         as many blocks as make BYTES (171 bytes each on average): allocated, a fifth replaced at random, freed
 *   scale ladder BYTES       rungs of ever larger blocks, BYTES each: most of a rung is freed before the next is allocated
 *   scale touch BYTES        maps as much and writes to each page; prints nothing
 *
 * One line of JSON: ns of CPU time per call of each phase, peak RSS and peak live bytes without what this program needs itself. `floor` is
 * the replacing phase without the calls: the misses that any allocator's user pays on a table and blocks of that size.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { AVERAGE = 171, KEPT = 10, LADDER_SMALLEST = 128, LADDER_RUNGS = 4, LADDER_STEP = 8 };

static uint64_t state = 88172645463325252u;
static void   **table;
static size_t   slots, live, live_peak;
static long     own_kib;

static uint32_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

/* Three quarters up to 127 bytes, a fifth up to 511, the rest up to 1631: 171 on average. */
static size_t block_size(void)
{
    uint32_t r = next_random(), kind = r % 100, more = r >> 8;

    if (kind < 75)
        return 16 + more % 112;
    return kind < 95 ? 128 + more % 384 : 512 + more % 1120;
}

/* CPU time: one thread that never waits needs no other, and neighbours on the machine do not lengthen it. */
static double cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* VmHWM is this program's alone; ru_maxrss would have what its parent held. */
static long peak_kib(void)
{
    char text[4096];
    int status = open("/proc/self/status", O_RDONLY);
    ssize_t length = read(status, text, sizeof text - 1);
    const char *line = length > 0 ? (text[length] = 0, strstr(text, "VmHWM:")) : NULL;

    close(status);
    if (!line) {
        fputs("scale: /proc/self/status has no VmHWM\n", stderr);
        exit(1);
    }
    return atol(line + strlen("VmHWM:"));
}

/* The table is mapped and resident before anything is measured, so that its pages are nobody's. */
static void make_table(size_t count)
{
    slots = count;
    table = mmap(NULL, count * sizeof *table, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (table == MAP_FAILED) {
        fprintf(stderr, "scale: no memory for a table of %zu blocks: %s\n", count, strerror(errno));
        exit(1);
    }
    own_kib = peak_kib();
}

/* The size stands in the block's first bytes, and its last page is written as well as its first. */
static void allocate(size_t slot, size_t size)
{
    char *block = malloc(size);

    if (!block) {
        fprintf(stderr, "scale: malloc(%zu) failed with %zu bytes live\n", size, live);
        exit(1);
    }
    for (size_t at = 4096; at < size; at += 4096)
        block[at] = 1;
    block[size - 1] = 1;
    memcpy(block, &size, sizeof size);
    table[slot] = block;
    live += size;
    if (live > live_peak)
        live_peak = live;
}

static void give(size_t slot)
{
    size_t size;

    if (table[slot] == NULL)
        return;
    memcpy(&size, table[slot], sizeof size);
    free(table[slot]);
    table[slot] = NULL;
    live -= size;
}

static void phase(const char *name, double start_ns, size_t calls)
{
    printf("\"%s\": %.2f, ", name, (cpu_ns() - start_ns) / (double)calls);
}

static void heap(size_t bytes)
{
    size_t count = bytes / AVERAGE, replaced = count / 5;

    make_table(count);
    double start_ns = cpu_ns();
    for (size_t i = 0; i < count; i++)
        allocate(i, block_size());
    phase("fill", start_ns, count);

    volatile size_t seen = 0;
    start_ns = cpu_ns();
    for (size_t i = 0; i < replaced; i++) {
        size_t *block = table[((uint64_t)next_random() * slots) >> 32];
        seen += (*block)++ + block_size();
        (*block)--;
    }
    phase("floor", start_ns, 2 * replaced);

    start_ns = cpu_ns();
    for (size_t i = 0; i < replaced; i++) {
        size_t slot = ((uint64_t)next_random() * slots) >> 32;
        give(slot);
        allocate(slot, block_size());
    }
    phase("replace", start_ns, 2 * replaced);

    printf("\"blocks\": %zu, ", count);
    start_ns = cpu_ns();
    for (size_t i = 0; i < count; i++)
        give(i);
    phase("drain", start_ns, count);
}

/* Blocks of 128 bytes, 1, 8 and 64 KiB: of each rung nine in ten are freed, at random, before the next is allocated. */
static void ladder(size_t bytes)
{
    size_t count = 0, first = 0, calls = 0, size = LADDER_SMALLEST;

    for (int rung = 0; rung < LADDER_RUNGS; rung++, size *= LADDER_STEP)
        count += bytes / size;
    make_table(count);
    double start_ns = cpu_ns();
    size = LADDER_SMALLEST;
    for (int rung = 0; rung < LADDER_RUNGS; rung++, size *= LADDER_STEP) {
        size_t end = first + bytes / size;
        for (size_t i = first; i < end; i++, calls++)
            allocate(i, size - 16);
        for (size_t i = first; i < end && rung != LADDER_RUNGS - 1; i++) {
            if (next_random() % KEPT == 0)
                continue;
            give(i);
            calls++;
        }
        first = end;
    }
    phase("ladder", start_ns, calls);
    printf("\"blocks\": %zu, ", count);
}

/* Writes to every page of so much memory: a virtual machine has it from its host then, for the process that comes next. */
static int touch(size_t bytes)
{
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED) {
        perror("scale: cannot map the memory to touch");
        return 1;
    }
    for (size_t at = 0; at < bytes; at += 4096)
        memory[at] = 1;
    return 0;
}

int main(int argc, char **argv)
{
    size_t bytes = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;

    if (bytes >= 1u << 20 && strcmp(argv[1], "touch") == 0)
        return touch(bytes);
    if (bytes < 1u << 20 || (strcmp(argv[1], "heap") != 0 && strcmp(argv[1], "ladder") != 0)) {
        fprintf(stderr, "usage: scale heap|ladder|touch BYTES      BYTES from 1048576\n");
        return 2;
    }
    printf("{");
    if (strcmp(argv[1], "heap") == 0)
        heap(bytes);
    else
        ladder(bytes);
    printf("\"peak_live_bytes\": %zu, \"peak_rss_kib\": %ld}\n", live_peak, peak_kib() - own_kib);
    return 0;
}
