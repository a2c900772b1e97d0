/* allocs.h - which allocators there are and where; the only place that knows library names. Called by the commands. */
#ifndef HP_ALLOCS_H
#define HP_ALLOCS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

enum { HP_ALLOC_VARIABLES = 16 };

struct hp_allocator {
    char  name[256];                /* as given: glibc, mine=/path/lib.so is "mine", glibc@X=1 keeps its variables */
    int   backend;                  /* enum hp_backend */
    char  path[PATH_MAX];           /* of what is loaded; empty: the C library itself, or built into the worker */
    char  file[PATH_MAX];           /* real path of the library, of the archive that was linked, of the C library */
    char  prefix[64];               /* of its names: loaded and called by them; empty: preloaded, takes malloc's names */
    int   archive_fd;               /* keeps what was linked; -1: no archive */
    char  sha256[65];               /* of file; empty: no file */
    char  version[128];             /* empty: not readable */
    char  build[512];               /* compiler and, where it kept them, its flags; empty: not readable */
    char *variable[HP_ALLOC_VARIABLES]; /* "NAME=VALUE" set for its processes */
    int   variables;
};

/* SPEC is NAME, NAME=PATH or NAME=PREFIX:PATH, each with @VAR=VALUE[,VAR=VALUE...] and #LABEL behind; the label tells apart two rows of the
 * same allocator (a control of the run against itself). Returns 0 or leaves one clear line in error. */
int  hp_alloc_find(const char *spec, struct hp_allocator *out, char *error, size_t error_size);
void hp_alloc_release(struct hp_allocator *a);

/* Walks the table: false when index is past its end. Not installed: path of a library that is empty. */
bool hp_alloc_known(size_t index, const char **name, const char **what, bool *installed, char path[PATH_MAX]);

/* Calls `each` for every other library of the system's directories (and LD_LIBRARY_PATH) that exports malloc, free, calloc and
 * realloc: allocators without a row, and tools that bring one. The C library and the loader are not among them. */
void hp_alloc_others(void (*each)(const char *path, void *context), void *context);

/* inspect.c */
int  hp_inspect_library(const char *path, const char *symbol, char *error, size_t error_size); /* 0: it exports that */
bool hp_inspect_is_allocator(const char *path);
void hp_inspect_build(const char *path, char *build, size_t size);
void hp_inspect_version(const char *path, char *version, size_t size);
bool hp_sha256_file(const char *path, char hex[65]);

/* archive.c: a static library (PATH.a of position-independent code) linked into one that can be loaded. The open file that it is
 * reached by, for the caller to close, and its path; or -1 and an error. */
bool hp_archive_is(const char *path);
int  hp_archive_load(const char *archive, char path[PATH_MAX], char *error, size_t error_size);

#endif
