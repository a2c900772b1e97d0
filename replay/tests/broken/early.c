/* early.c - no fault: has 8 MiB resident before the program's first call, as an allocator may that wants a small peak. */
#include "broken.h"

enum { EARLY = 8 << 20 };

__attribute__((constructor)) static void begin(void)
{
    memset(region + sizeof region - EARLY, 1, EARLY);
}
