/* resident.c - reads /proc without allocating; see resident.h.
 *
 * Since Linux 6.2 the counters behind VmRSS and VmHWM are kept per CPU and may lag by some dozen pages per CPU; smaps_rollup
 * counts page tables and is exact. The peak can only come from the counter. */
#include "measure/resident.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int64_t hp_resident_field_kib(const char *path, const char *field)
{
    char text[8192];
    size_t used = 0;
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return HP_MISSING;
    while (used < sizeof text - 1 && (n = read(fd, text + used, sizeof text - 1 - used)) > 0)
        used += (size_t)n;
    close(fd);
    text[used] = 0;
    for (char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, field, strlen(field)) != 0)
            continue;
        int64_t value = 0;
        for (line += strlen(field); *line == ' ' || *line == '\t'; line++)
            ;
        for (; *line >= '0' && *line <= '9'; line++)
            value = value * 10 + (*line - '0');
        return value;
    }
    return HP_MISSING;
}

int64_t hp_resident_now_kib(void)
{
    int64_t exact = hp_resident_field_kib("/proc/self/smaps_rollup", "Rss:");

    return exact != HP_MISSING ? exact : hp_resident_field_kib("/proc/self/status", "VmRSS:");
}

int64_t hp_resident_peak_kib(void)
{
    return hp_resident_field_kib("/proc/self/status", "VmHWM:");
}

bool hp_resident_reset_peak(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, "5", 1) == 1;

    if (fd >= 0)
        close(fd);
    return ok;
}
