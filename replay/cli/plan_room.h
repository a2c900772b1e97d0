/* plan_room.h - how much memory a compiled trace may take and where it goes beyond: --plan-memory and --plan-dir. */
#ifndef HP_PLAN_ROOM_H
#define HP_PLAN_ROOM_H

#include "trace/compile.h"

#define HP_PLAN_ROOM_USAGE \
    "  --plan-memory SIZE     most that the compiled trace may take, 64K or more (default: half of what is free); a\n" \
    "                         longer one is kept on disk and read piece by piece, with the clocks stopped\n" \
    "  --plan-dir DIR         where on disk (default: TMPDIR, or /var/tmp)\n"

void hp_plan_room_default(struct hp_compile_options *o);
bool hp_plan_room_memory(const char *text, struct hp_compile_options *o);  /* false: not a size it can be */

/* Is there memory for so many live bytes, all resident at once? False: no, which was printed for `tool` with `advice`. Where
 * only swap makes room for them, that is printed and the answer is true. */
bool hp_plan_room_holds(const char *tool, const char *trace, uint64_t live_bytes, const char *advice);

/* The exit code for an error of hp_compile_file. */
int hp_plan_room_exit(int error);

#endif
