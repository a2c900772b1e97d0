/* turns.c - no fault but the one asked for: each process draws a number from the file $TURNS_LOG at its 10th block, from 1
 * on. The first $TURNS_SAMPLES touch $TURNS_MIB MiB beside their blocks, the next one touches 1, the one after it 2, and so
 * on. Process $TURNS_CRASH dies instead. */
#define FAULT_MALLOC
#include "broken.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static size_t number_of(const char *name)
{
    const char *text = getenv(name);

    return text ? (size_t)atoi(text) : 0;
}

static void take_turn(void)
{
    int fd = open(getenv("TURNS_LOG"), O_WRONLY | O_CREAT | O_APPEND, 0600);

    if (fd < 0 || write(fd, "x", 1) != 1)
        abort();
    size_t turn = (size_t)lseek(fd, 0, SEEK_CUR), samples = number_of("TURNS_SAMPLES");
    size_t bytes = (turn <= samples ? number_of("TURNS_MIB") : turn - samples) << 20;
    close(fd);
    if (turn == number_of("TURNS_CRASH"))
        abort();
    memset(region + sizeof region - bytes, 1, bytes);
}

EXPORT void *malloc(size_t n)
{
    static int count;

    if (++count == 10)
        take_turn();
    return take(16, n);
}
