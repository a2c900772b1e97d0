/* fatal.h - how cellmalloc ends a program that has corrupted its heap: one fixed line on stderr, then abort(). */
#ifndef CELL_FATAL_H
#define CELL_FATAL_H

enum cell_fatal_kind {
    CELL_FATAL_INVARIANT,       /* our own mistake */
    CELL_FATAL_BAD_POINTER,     /* not the start of a live block */
    CELL_FATAL_DOUBLE_FREE,
    CELL_FATAL_HEADER,          /* header word of a live block overwritten */
    CELL_FATAL_FREE_LIST,       /* a freed block was written to */
    CELL_FATAL_SIZED_FREE,      /* free_sized or sized delete with a size the block cannot have */
    CELL_FATAL_CANARY,          /* harden:2: bytes behind a block overwritten */
    CELL_FATAL_QUARANTINE,      /* harden:2: a block that waits was written to */
    CELL_FATAL_KIND_COUNT
};

/* Writes "cellmalloc: TEXT\n" to stderr and aborts. Takes no lock and no memory. */
_Noreturn void cell_fatal(enum cell_fatal_kind kind) __attribute__((cold, noinline));

#endif
