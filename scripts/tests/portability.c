/* portability.c - self-check for scripts/portability.sh: sizes, alignment, content, zeroes, threads, the heap's own check.
 * With -DPRELOADED it calls the C library's names, which libcellmalloc.so is to answer. */
#include <cellmalloc.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef PRELOADED
#pragma weak cell_check
#pragma weak cell_option_set
#define cell_malloc         malloc
#define cell_calloc         calloc
#define cell_realloc        realloc
#define cell_free           free
#define cell_aligned_alloc  aligned_alloc
#endif

enum { THREADS = 4, SLOTS = 500, ROUNDS = 15000 };

static void require(int condition, const char *what)
{
    if (!condition) {
        printf("wrong: %s\n", what);
        exit(1);
    }
}

static void check_heap(void)
{
    const char *why = NULL;

#ifdef PRELOADED
    require(cell_check != NULL, "cellmalloc is not preloaded");
#endif
    if (cell_check(&why) != 0) {
        printf("wrong: %s\n", why);
        exit(1);
    }
}

static void fill(unsigned char *block, size_t size, unsigned char mark)
{
    for (size_t i = 0; i < size; i++)
        block[i] = mark;
}

static int holds(const unsigned char *block, size_t size, unsigned char mark)
{
    for (size_t i = 0; i < size; i++)
        if (block[i] != mark)
            return 0;
    return 1;
}

static void *work(void *argument)
{
    static _Thread_local unsigned char *slot[SLOTS];
    static _Thread_local size_t size[SLOTS];
    uint32_t state = (uint32_t)(uintptr_t)argument;

    for (int round = 0; round < ROUNDS; round++) {
        state = state * 1664525u + 1013904223u;
        unsigned i = (state >> 8) % SLOTS;
        size_t wanted = (state >> 20) % ((state & 63) ? 600 : 200000);
        unsigned char mark = (unsigned char)(i + (uintptr_t)argument);
        require(holds(slot[i], size[i], mark), "content changed while a block was in use");
        if (state & 64) {
            size_t kept = size[i] < wanted ? size[i] : wanted;
            slot[i] = cell_realloc(slot[i], wanted + 1);
            require(slot[i] && holds(slot[i], kept, mark), "realloc lost content");
        } else {
            cell_free(slot[i]);
            slot[i] = cell_calloc(1, wanted + 1);
            require(slot[i] && holds(slot[i], wanted + 1, 0), "calloc is not zero");
        }
        require((uintptr_t)slot[i] % _Alignof(max_align_t) == 0, "alignment");
        size[i] = wanted;
        fill(slot[i], wanted, mark);
    }
    for (int i = 0; i < SLOTS; i++)
        cell_free(slot[i]);
    return NULL;
}

/* Limits that are no multiple of a word, or below one, are rounded by the size of a word. */
static void try_limits(void)
{
    for (size_t limit = 0; limit <= 64; limit++) {
        require(cell_option_set("cache_limit", limit) == 0, "cache_limit");
        for (size_t size = 1; size <= 8000; size += 333) {
            unsigned char *block = cell_malloc(size);
            fill(block, size, 3);
            cell_free(block);
        }
        check_heap();
    }
    require(cell_option_set("cache_limit", 512 - sizeof(size_t)) == 0, "cache_limit as it was");
}

int main(void)
{
    pthread_t thread[THREADS];

    check_heap();
    try_limits();
    for (size_t alignment = sizeof(void *); alignment <= 65536; alignment *= 2) {
        void *block = cell_aligned_alloc(alignment, alignment * 2);
        require(block && (uintptr_t)block % alignment == 0, "aligned_alloc");
        cell_free(block);
    }
    for (uintptr_t i = 0; i < THREADS; i++)
        require(pthread_create(&thread[i], NULL, work, (void *)(i + 1)) == 0, "pthread_create");
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    check_heap();
    printf("%d operations on %d threads, pointers of %zu bits\n", THREADS * ROUNDS, THREADS, sizeof(void *) * 8);
    return 0;
}
