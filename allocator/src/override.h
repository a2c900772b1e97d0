/* override.h - the second names of api.c's functions in libcellmalloc.so: aliases, so that no call pays for a jump. */
#ifndef CELL_OVERRIDE_H
#define CELL_OVERRIDE_H

#ifdef CELL_OVERRIDE

#define CELL_ALIAS(target) __attribute__((alias(#target), visibility("default")))

/* clang-format off */
#define CELL_OVERRIDE_C_NAMES                                                                      \
    void  *malloc(size_t size)                                      CELL_ALIAS(cell_malloc);        \
    void  *calloc(size_t count, size_t size)                        CELL_ALIAS(cell_calloc);        \
    void  *realloc(void *block, size_t size)                        CELL_ALIAS(cell_realloc);       \
    void  *reallocarray(void *block, size_t count, size_t size)     CELL_ALIAS(cell_reallocarray);  \
    void   free(void *block)                                        CELL_ALIAS(cell_free);          \
    void   cfree(void *block)                                       CELL_ALIAS(cell_free);          \
    void   free_sized(void *block, size_t size)                     CELL_ALIAS(cell_free_sized);    \
    void   free_aligned_sized(void *block, size_t alignment, size_t size)                          \
                                                            CELL_ALIAS(cell_free_aligned_sized);    \
    void  *aligned_alloc(size_t alignment, size_t size)             CELL_ALIAS(cell_aligned_alloc); \
    void  *memalign(size_t alignment, size_t size)                  CELL_ALIAS(cell_memalign);      \
    int    posix_memalign(void **block, size_t alignment, size_t size)                             \
                                                            CELL_ALIAS(cell_posix_memalign);        \
    void  *valloc(size_t size)                                      CELL_ALIAS(cell_valloc);        \
    void  *pvalloc(size_t size)                                     CELL_ALIAS(cell_pvalloc);       \
    size_t malloc_usable_size(void *block)                          CELL_ALIAS(cell_usable_size);   \
    size_t malloc_good_size(size_t size)                            CELL_ALIAS(cell_good_size);     \
    void  *__libc_malloc(size_t size)                               CELL_ALIAS(cell_malloc);        \
    void  *__libc_calloc(size_t count, size_t size)                 CELL_ALIAS(cell_calloc);        \
    void  *__libc_realloc(void *block, size_t size)                 CELL_ALIAS(cell_realloc);       \
    void   __libc_free(void *block)                                 CELL_ALIAS(cell_free);          \
    void   __libc_cfree(void *block)                                CELL_ALIAS(cell_free);          \
    void  *__libc_memalign(size_t alignment, size_t size)           CELL_ALIAS(cell_memalign);      \
    void  *__libc_valloc(size_t size)                               CELL_ALIAS(cell_valloc);        \
    void  *__libc_pvalloc(size_t size)                              CELL_ALIAS(cell_pvalloc);       \
    int    __posix_memalign(void **block, size_t alignment, size_t size)                           \
                                                            CELL_ALIAS(cell_posix_memalign);

#define CELL_OVERRIDE_CONTROL_NAMES                                                                \
    int    malloc_trim(size_t pad)                                  CELL_ALIAS(cell_trim);

#define CELL_OVERRIDE_GLIBC_NAMES                                                                  \
    int    mallopt(int parameter, int value)                        CELL_ALIAS(cell_mallopt);       \
    int    malloc_info(int options, FILE *stream)                   CELL_ALIAS(cell_malloc_info);   \
    void   malloc_stats(void)                                       CELL_ALIAS(cell_malloc_stats);
/* clang-format on */

#else
#define CELL_OVERRIDE_C_NAMES
#define CELL_OVERRIDE_CONTROL_NAMES
#define CELL_OVERRIDE_GLIBC_NAMES
#endif

#endif
