/* smaps.c - see smaps.h. */
#include "measure/smaps.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "measure/resident.h"

static const char *const label[HP_SMAPS_FIELDS] = { "Rss:", "Pss:", "Private_Dirty:", "LazyFree:", "AnonHugePages:" };

void hp_smaps_parse(const char *text, struct hp_smaps *out)
{
    for (int f = 0; f < HP_SMAPS_FIELDS; f++)
        out->kib[f] = HP_MISSING;
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        for (int f = 0; f < HP_SMAPS_FIELDS; f++)
            if (strncmp(line, label[f], strlen(label[f])) == 0)
                out->kib[f] = strtoll(line + strlen(label[f]), NULL, 10);
    }
}

int hp_smaps_open(pid_t pid)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    return open(path, O_RDONLY | O_CLOEXEC);
}

bool hp_smaps_read(int fd, struct hp_smaps *out)
{
    char text[4096];
    ssize_t n = pread(fd, text, sizeof text - 1, 0);

    if (n <= 0)
        return false;
    text[n] = 0;
    hp_smaps_parse(text, out);
    return out->kib[HP_SMAPS_RSS] != HP_MISSING;
}
