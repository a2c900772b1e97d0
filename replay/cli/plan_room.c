/* plan_room.c - see plan_room.h. */
#include "cli/plan_room.h"

#include <stdio.h>
#include <stdlib.h>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "measure/resident.h"

enum { LEAST_BYTES = 64 << 10 };

/* 0: the control group has no limit of its own. */
static uint64_t group_limit(void)
{
    FILE *f = fopen("/sys/fs/cgroup/memory.max", "r");
    unsigned long long bytes = 0;

    if (f) {
        if (fscanf(f, "%llu", &bytes) != 1)
            bytes = 0;
        fclose(f);
    }
    return bytes;
}

/* With what the system says about itself, or the assumption, and no more than the control group may have. */
static uint64_t bytes_of(const char *field, uint64_t assumed)
{
    int64_t kib = hp_resident_field_kib("/proc/meminfo", field);
    uint64_t bytes = kib >= 0 ? (uint64_t)kib * 1024 : assumed, limit = group_limit();

    return limit && limit < bytes ? limit : bytes;
}

void hp_plan_room_default(struct hp_compile_options *o)
{
    const char *directory = getenv("TMPDIR");

    o->memory_bytes = bytes_of("MemAvailable:", UINT64_C(1) << 30) / 2;
    o->directory = directory && directory[0] ? directory : "/var/tmp";
}

bool hp_plan_room_holds(const char *tool, const char *trace, uint64_t live_bytes, const char *advice)
{
    uint64_t memory = bytes_of("MemAvailable:", UINT64_MAX), swap = bytes_of("SwapFree:", 0);
    bool holds = live_bytes <= memory || live_bytes - memory <= swap;

    if (live_bytes > memory)
        fprintf(stderr, "heaplay %s: %s: up to %llu MiB live at once and are touched, %llu MiB of memory are available%s; %s\n",
                tool, trace, (unsigned long long)(live_bytes >> 20), (unsigned long long)(memory >> 20),
                holds ? ": it will swap" : "", advice);
    return holds;
}

bool hp_plan_room_memory(const char *text, struct hp_compile_options *o)
{
    return hp_arg_bytes(text, &o->memory_bytes) && o->memory_bytes >= LEAST_BYTES;
}

int hp_plan_room_exit(int error)
{
    return error == HP_OK ? HP_EXIT_OK : error == HP_E_NO_ROOM ? HP_EXIT_FAILED : HP_EXIT_BAD_INPUT;
}
