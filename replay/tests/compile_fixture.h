/* compile_fixture.h - small traces for the tests of plans: written event by event, compiled, unlinked. */
#ifndef HP_COMPILE_FIXTURE_H
#define HP_COMPILE_FIXTURE_H

#include <stdio.h>
#include <unistd.h>

#include "trace/compile.h"

static char path[64];

static inline hp_writer *open_trace_with(uint32_t flags)
{
    static char command[] = "test", origin[] = "synthetic:test", host[] = "";
    struct hp_meta meta = { .command = command, .origin = origin, .host = host, .flags = flags };
    char error[256];

    snprintf(path, sizeof path, "/tmp/hp-test-compile-%d.hpt", (int)getpid());
    hp_writer *w = hp_writer_open(path, &meta, error, sizeof error);
    assert_non_null(w);
    return w;
}

static inline hp_writer *open_trace(void)
{
    return open_trace_with(HP_HAS_TIME | HP_HAS_THREADS);
}

static inline void add(hp_writer *w, struct hp_event e)
{
    assert_int_equal(hp_writer_append(w, &e), 0);
}

static inline int finish(hp_writer *w, const struct hp_compile_options *options, struct hp_compiled *out, char *error)
{
    struct hp_trailer trailer = { .exit_status = -1 };

    hp_writer_count(w, &trailer);
    assert_int_equal(hp_writer_close(w, &trailer), 0);
    int code = hp_compile_file(path, options, out, error, 256);
    unlink(path);
    return code;
}

static inline const struct hp_op *stream(const struct hp_compiled *c, unsigned t)
{
    return hp_plan_op(c->plan, hp_plan_stream(c->plan, 0, t).first);
}

#endif
