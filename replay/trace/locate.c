/* locate.c - see locate.h. Counts as compile.c does: thread starts and ends are no operations, failed allocations are
 * operations that are not replayed. */
#include "trace/locate.h"

#include "trace/compile_op.h"
#include "trace/trace.h"

bool hp_locate_call(const char *path, bool serial, uint32_t thread, uint64_t call, uint64_t *operation)
{
    char error[256];
    int code;
    hp_reader *r = hp_reader_open(path, &code, error, sizeof error);
    struct hp_event e;
    bool found = false;

    if (!r)
        return false;
    for (*operation = 0; !found && hp_reader_next(r, &e) == 1;) {
        if (e.kind == HP_THREAD_START || e.kind == HP_THREAD_END)
            continue;
        uint64_t bytes = e.size;
        if ((e.kind == HP_CALLOC || e.kind == HP_REALLOCARRAY) && __builtin_mul_overflow(e.count, e.size, &bytes))
            bytes = UINT64_MAX;
        if (!hp_compile_op_failed(&e, bytes) && (serial || e.thread == thread))
            found = call-- == 0;
        *operation += !found;
    }
    hp_reader_close(r);
    return found;
}
