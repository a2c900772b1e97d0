/* chatty.c - no fault, but it writes to stderr when it starts: CHATTY=N lines. CHATTY_AFTER=FILE: not in the first
 * two processes, which make FILE1 and FILE2. */
#include "broken.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void speak(void)
{
    static const char text[] = "chatty: here I am\n";
    const char *lines = getenv("CHATTY"), *after = getenv("CHATTY_AFTER");

    for (int n = 1; after && n <= 2; n++) {
        char made[4096];
        snprintf(made, sizeof made, "%s%d", after, n);
        if (open(made, O_CREAT | O_EXCL | O_WRONLY, 0600) >= 0)
            return;
    }
    for (int n = lines ? atoi(lines) : 1; n > 0; n--)
        if (write(2, text, sizeof text - 1) < 0)
            return;
}
