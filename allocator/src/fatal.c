#include "fatal.h"

#include <stdlib.h>
#include <string.h>

#include "os.h"

static const char *const texts[CELL_FATAL_KIND_COUNT] = {
    [CELL_FATAL_INVARIANT]   = "internal invariant broken",
    [CELL_FATAL_BAD_POINTER] = "invalid pointer: not the start of a live block",
    [CELL_FATAL_DOUBLE_FREE] = "double free",
    [CELL_FATAL_HEADER]      = "corrupted header word: a block was written past its end",
    [CELL_FATAL_FREE_LIST]   = "corrupted free list: a block was written to after its free",
    [CELL_FATAL_SIZED_FREE]  = "sized free with a size that the block does not have",
    [CELL_FATAL_CANARY]      = "corrupted canary: a block was written past its end",
    [CELL_FATAL_QUARANTINE]  = "write after free: a block in quarantine has changed",
};

void cell_fatal(enum cell_fatal_kind kind)
{
    char line[128] = "cellmalloc: ";
    size_t used = strlen(line);
    size_t length = strlen(texts[kind]);

    memcpy(line + used, texts[kind], length);
    line[used + length] = '\n';
    cell_os_write_error(line, used + length + 1);
    abort();
}
