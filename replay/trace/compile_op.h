/* compile_op.h - one event as one operation of the plan. Owned and called by compile.c. */
#ifndef HP_COMPILE_OP_H
#define HP_COMPILE_OP_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/plan.h"
#include "trace/compile_live.h"
#include "trace/trace.h"

/* `bytes`: count times size. `old`: the block consumed or looked at, or NULL. The slot is the caller's to fill in. */
struct hp_op hp_compile_op(const struct hp_event *e, uint64_t bytes, const struct hp_compile_block *old);
/* A call that made nothing and freed nothing: the recorded program was told no, or asked for nothing. */
bool hp_compile_op_failed(const struct hp_event *e, uint64_t bytes);

/* For touch policy "recorded": an operation that makes a block expects to learn how much of it was touched; and whether an
 * event of the kind, which ends a block, says so. */
void hp_compile_op_expect_touched(struct hp_op *op, const struct hp_compile_block *old);
bool hp_compile_op_says_touched(unsigned kind);

#endif
