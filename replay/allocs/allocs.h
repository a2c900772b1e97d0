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
    char  path[PATH_MAX];           /* real path; empty: the C library itself, or built into the worker */
    char  sha256[65];               /* empty: no file */
    char  version[128];             /* empty: not readable */
    char *variable[HP_ALLOC_VARIABLES]; /* "NAME=VALUE" set for its processes */
    int   variables;
};

/* SPEC is NAME, NAME=PATH, each with @VAR=VALUE[,VAR=VALUE...] and #LABEL behind; the label tells apart two rows of the
 * same allocator (a control of the run against itself). Returns 0 or leaves one clear line in error. */
int  hp_alloc_find(const char *spec, struct hp_allocator *out, char *error, size_t error_size);
void hp_alloc_release(struct hp_allocator *a);

/* Walks the table: false when index is past its end. Not installed: path of a library that is empty. */
bool hp_alloc_known(size_t index, const char **name, const char **what, bool *installed, char path[PATH_MAX]);

/* inspect.c */
int  hp_inspect_library(const char *path, char *error, size_t error_size);     /* 0: a library that exports malloc */
void hp_inspect_version(const char *path, char *version, size_t size);
bool hp_sha256_file(const char *path, char hex[65]);

#endif
