/* functions.c - the allocation functions by name, with their arguments: those of C, and the mangled operators of C++. Called by
 * importers of texts that name functions. */
#include "import/import.h"

#include <string.h>

static const struct {
    const char *name;
    struct hp_function function;
} known[] = {
    { "malloc", { HP_MALLOC, "s" } }, { "calloc", { HP_CALLOC, "ns" } }, { "realloc", { HP_REALLOC, "os" } },
    { "reallocarray", { HP_REALLOCARRAY, "ons" } }, { "free", { HP_FREE, "o" } }, { "cfree", { HP_FREE, "o" } },
    { "free_sized", { HP_FREE_SIZED, "os" } }, { "free_aligned_sized", { HP_FREE_ALIGNED_SIZED, "oas" } },
    { "memalign", { HP_MEMALIGN, "as" } }, { "aligned_alloc", { HP_ALIGNED_ALLOC, "as" } },
    { "posix_memalign", { HP_POSIX_MEMALIGN, "xas" } }, { "valloc", { HP_VALLOC, "s" } }, { "pvalloc", { HP_PVALLOC, "s" } },
};

static bool take(const char **at, const char *end, const char *part)
{
    size_t n = strlen(part);

    if ((size_t)(end - *at) < n || memcmp(*at, part, n) != 0)
        return false;
    *at += n;
    return true;
}

/* _Znwm, _ZnamSt11align_val_t, _ZdlPvmRKSt9nothrow_t and so on; the size is an m, on 32 bits a j. */
static bool find_operator(const char *name, const char *end, struct hp_function *f)
{
    bool makes = take(&name, end, "_Znw") || take(&name, end, "_Zna"), sized, aligned;

    if (!makes && !take(&name, end, "_ZdlPv") && !take(&name, end, "_ZdaPv"))
        return false;
    sized = take(&name, end, "m") || take(&name, end, "j");
    if (makes && !sized)
        return false;
    aligned = take(&name, end, "St11align_val_t");
    (void)take(&name, end, "RKSt9nothrow_t");
    if (makes)
        *f = aligned ? (struct hp_function){ HP_NEW_ALIGNED, "sa" } : (struct hp_function){ HP_NEW, "s" };
    else if (aligned)
        *f = (struct hp_function){ HP_DELETE_ALIGNED, sized ? "osa" : "oa" };
    else
        *f = sized ? (struct hp_function){ HP_DELETE_SIZED, "os" } : (struct hp_function){ HP_DELETE, "o" };
    return name == end;
}

bool hp_import_function(const char *name, size_t length, struct hp_function *f)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strlen(known[i].name) == length && !memcmp(known[i].name, name, length)) {
            *f = known[i].function;
            return true;
        }
    return find_operator(name, name + length, f);
}

uint64_t *hp_import_argument(struct hp_call *call, char field, uint64_t *ignored)
{
    return field == 's' ? &call->size : field == 'n' ? &call->count : field == 'a' ? &call->alignment
         : field == 'o' ? &call->old : ignored;
}
