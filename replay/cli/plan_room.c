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

void hp_plan_room_default(struct hp_compile_options *o)
{
    int64_t kib = hp_resident_field_kib("/proc/meminfo", "MemAvailable:");
    uint64_t bytes = kib > 0 ? (uint64_t)kib * 1024 : UINT64_C(1) << 30, limit = group_limit();
    const char *directory = getenv("TMPDIR");

    o->memory_bytes = (limit && limit < bytes ? limit : bytes) / 2;
    o->directory = directory && directory[0] ? directory : "/var/tmp";
}

bool hp_plan_room_memory(const char *text, struct hp_compile_options *o)
{
    return hp_arg_bytes(text, &o->memory_bytes) && o->memory_bytes >= LEAST_BYTES;
}

int hp_plan_room_exit(int error)
{
    return error == HP_OK ? HP_EXIT_OK : error == HP_E_NO_ROOM ? HP_EXIT_FAILED : HP_EXIT_BAD_INPUT;
}
