/* calls.c - the edges of every function of malloc's family, one line of output each. Run under the C library's allocator and
 * under ours: the output must be the same, so nothing here prints what the two may choose differently. */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *name_of(int error)
{
    return error == 0 ? "0" : error == ENOMEM ? "ENOMEM" : error == EINVAL ? "EINVAL" : "another";
}

static void show(const char *what, const void *block)
{
    printf("%s: %s, errno %s\n", what, block == NULL ? "NULL" : "block", name_of(errno));
    errno = 0;
}

#define SHOW(call) do { errno = 0; void *shown = (call); show(#call, shown); free(shown); } while (0)

static volatile size_t huge = PTRDIFF_MAX, many = (size_t)1 << 33, most = SIZE_MAX;

static void too_large(void)
{
    SHOW(malloc(huge));
    SHOW(malloc(huge + 1));
    for (size_t less = 0; less < 32; less++) {
        SHOW(malloc(most - less));
        SHOW(calloc(1, most - less));
        SHOW(realloc(NULL, most - less));
        SHOW(aligned_alloc(32, most - less));
    }
    SHOW(calloc(1, huge + 1));
    SHOW(calloc(many, many));
    SHOW(calloc(most, 2));
    SHOW(calloc(0, most));
    SHOW(calloc(most, 0));
    SHOW(realloc(NULL, huge + 1));
    SHOW(reallocarray(NULL, many, many));
    SHOW(reallocarray(NULL, most, 1));
    SHOW(aligned_alloc(64, huge));
    SHOW(aligned_alloc(4096, most - 100));
    SHOW(memalign(64, most));
    SHOW(memalign(4096, huge));
    SHOW(valloc(huge));
    SHOW(valloc(most));
    SHOW(pvalloc(most));
    SHOW(pvalloc(most - 4095));
}

static void zero(void)
{
    SHOW(malloc(0));
    SHOW(calloc(0, 0));
    SHOW(realloc(NULL, 0));
    SHOW(reallocarray(NULL, 0, 10));
    SHOW(aligned_alloc(64, 0));
    SHOW(memalign(64, 0));
    SHOW(valloc(0));
    SHOW(pvalloc(0));

    void *block[50];
    int unique = 1;
    for (int i = 0; i < 50; i++) {
        block[i] = malloc(0);
        for (int j = 0; j < i; j++)
            unique &= block[i] != block[j];
    }
    printf("malloc(0) unique: %d\n", unique);
    for (int i = 0; i < 50; i++)
        free(block[i]);
    errno = 0;
    show("realloc(p, 0)", realloc(malloc(100), 0));
    show("realloc(large, 0)", realloc(malloc(1 << 20), 0));
    show("reallocarray(p, 0, 7)", reallocarray(malloc(100), 0, 7));
    free(NULL);
    printf("malloc_usable_size(NULL): %zu\n", malloc_usable_size(NULL));
}

static void alignment(void)
{
    static const size_t bad[] = { 0, 1, 2, 3, 4, 6, 7, 12, 24, 100, (size_t)-1, (size_t)1 << 63 };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        void *kept = &errno, *block = kept;
        errno = 77;
        int result = posix_memalign(&block, bad[i], 100);
        printf("posix_memalign(%zu): %s, pointer %s, errno %s\n", bad[i], name_of(result),
               result == 0 ? "set" : block == kept ? "kept" : "changed",
               errno == 77 ? "kept" : name_of(errno));
        if (result == 0)
            free(block);
    }
    for (size_t alignment = 8; alignment <= (size_t)1 << 24; alignment *= 2) {
        void *block = NULL, *other = memalign(alignment, 100), *third = aligned_alloc(alignment, alignment * 2);
        int result = posix_memalign(&block, alignment, 1000);
        printf("alignment %zu: %s, %d%d%d\n", alignment, name_of(result), (uintptr_t)block % alignment == 0,
               (uintptr_t)other % alignment == 0, (uintptr_t)third % alignment == 0);
        free(block);
        free(other);
        free(third);
    }
    void *kept = &errno, *block = kept;
    errno = 77;
    int result = posix_memalign(&block, 64, huge);
    printf("posix_memalign too large: %s, pointer %s, errno %s\n", name_of(result), block == kept ? "kept" : "changed",
           errno == 77 ? "kept" : name_of(errno));
    for (size_t odd = 3; odd < 100; odd += 7) {            /* memalign rounds up to a power of two */
        void *rounded = memalign(odd, 40);
        size_t power = 1;
        while (power < odd)
            power *= 2;
        printf("memalign(%zu): multiple of %zu %d\n", odd, power, (uintptr_t)rounded % power == 0);
        free(rounded);
    }
    SHOW(memalign((size_t)-1, 40));
    SHOW(memalign(((size_t)1 << 63) + 1, 40));
    block = valloc(10);
    printf("valloc: aligned %d\n", (uintptr_t)block % (size_t)getpagesize() == 0);
    free(block);
    block = pvalloc(10);
    printf("pvalloc: aligned %d, a page %d\n", (uintptr_t)block % (size_t)getpagesize() == 0,
           malloc_usable_size(block) >= (size_t)getpagesize());
    free(block);
}

static void contents(void)
{
    static const size_t sizes[] = { 1, 15, 16, 17, 24, 25, 63, 64, 65, 100, 500, 512, 1000, 5000, 100000, 200000, 3000000 };
    size_t count = sizeof sizes / sizeof sizes[0];

    for (size_t i = 0; i < count; i++) {
        unsigned char *dirty = malloc(sizes[i]);
        size_t usable = malloc_usable_size(dirty);
        memset(dirty, 0xff, usable);
        int stable = malloc_usable_size(dirty) == usable && usable >= sizes[i];
        free(dirty);
        unsigned char *clean = calloc(1, sizes[i]);
        size_t nonzero = 0;
        for (size_t j = 0; j < sizes[i]; j++)
            nonzero += clean[j] != 0;
        printf("size %zu: usable stable %d, calloc nonzero bytes %zu\n", sizes[i], stable, nonzero);
        for (size_t k = 0; k < count; k++) {
            for (size_t j = 0; j < sizes[i]; j++)
                clean[j] = (unsigned char)(j * 7);
            unsigned char *moved = realloc(malloc(0) == NULL ? NULL : clean, sizes[k]);
            size_t shared = sizes[k] < sizes[i] ? sizes[k] : sizes[i], wrong = 0;
            for (size_t j = 0; j < shared; j++)
                wrong += moved[j] != (unsigned char)(j * 7);
            if (wrong != 0)
                printf("realloc %zu -> %zu: %zu bytes differ\n", sizes[i], sizes[k], wrong);
            clean = realloc(moved, sizes[i]);
        }
        free(clean);
    }
    char *block = malloc(100);
    strcpy(block, "kept");
    errno = 0;
    void *none = realloc(block, huge + 1);
    printf("failed realloc: %s, errno %s, block %s\n", none == NULL ? "NULL" : "?", name_of(errno), block);
    errno = 0;
    none = reallocarray(block, most, most);
    printf("failed reallocarray: %s, errno %s, block %s\n", none == NULL ? "NULL" : "?", name_of(errno), block);
    free(block);
}

static void error_number(void)
{
    static const size_t sizes[] = { 1, 100, 1000, 100000, 1000000, 100000000 };

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        void *block = malloc(sizes[i]);
        errno = 4711;
        free(block);
        printf("free(%zu): errno %s\n", sizes[i], errno == 4711 ? "kept" : "changed");
        errno = 4711;
        block = malloc(sizes[i]);
        block = realloc(block, sizes[i] * 2);
        printf("malloc, realloc(%zu): errno %s\n", sizes[i], errno == 4711 ? "kept" : "changed");
        free(block);
    }
    errno = 0;
}

static void the_rest(void)
{
    printf("mallopt: %d %d %d\n", mallopt(M_MMAP_THRESHOLD, 200000), mallopt(M_TOP_PAD, 65536), mallopt(M_MXFAST, 64));
    printf("mallopt of too much fast: %d\n", mallopt(M_MXFAST, 1 << 20));
    malloc_trim(0);
    struct mallinfo2 before = mallinfo2();
    void *block = malloc(50000);
    struct mallinfo2 after = mallinfo2();
    printf("mallinfo2: in use grows %d\n", after.uordblks >= before.uordblks + 50000);
    free(block);
    FILE *file = tmpfile();
    printf("malloc_info: %d", malloc_info(0, file));
    rewind(file);
    char line[100] = "";
    printf(", xml %d\n", fgets(line, sizeof line, file) != NULL && strncmp(line, "<malloc", 7) == 0);
    fclose(file);
    errno = 0;
    int wrong = malloc_info(1, stdout);
    printf("malloc_info(1): %s, errno %s\n", wrong == 0 ? "0" : "not 0", name_of(wrong == EINVAL ? 0 : errno));
}

static void *all(void *unused)
{
    too_large();
    zero();
    alignment();
    contents();
    error_number();
    the_rest();
    return unused;
}

/* With one thread, in a second one, and in the first when there have been two. */
int main(void)
{
    pthread_t second;

    all(NULL);
    puts("in a second thread");
    if (pthread_create(&second, NULL, all, NULL) != 0 || pthread_join(second, NULL) != 0)
        return 1;
    puts("after it");
    all(NULL);
    return 0;
}
