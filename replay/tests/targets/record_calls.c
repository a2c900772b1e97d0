/* record_calls.c - a program whose allocator calls are known, between two marks: malloc(777001) and malloc(777002). */
#define _GNU_SOURCE
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>

static void *volatile keep;

static void *hold(void *p)
{
    keep = p;
    return p;
}

int main(void)
{
    void *volatile huge_count = (void *)(SIZE_MAX / 2);
    void *p, *q, *r;

    hold(malloc(777001));
    p = hold(malloc(100));
    q = hold(calloc(3, 50));
    r = hold(realloc(p, 5000));
    r = hold(reallocarray(r, 10, 800));
    free(q);
    hold(realloc(NULL, 33));
    free(keep);
    p = hold(aligned_alloc(64, 128));
    if (posix_memalign(&q, 4096, 300) != 0)
        return 1;
    free(p);
    free(q);
    p = hold(memalign(256, 77));
    (void)malloc_usable_size(p);
    free(p);
    free(hold(valloc(10)));
    free(hold(pvalloc(20)));
    free(NULL);
    if (hold(calloc((size_t)huge_count, 4)))    /* fails */
        return 1;
    if (hold(realloc(r, (size_t)huge_count)))   /* fails: the block lives on */
        return 1;
    free(r);
    hold(malloc(777002));
    return 7;
}
