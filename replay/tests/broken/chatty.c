/* chatty.c - no fault, but it writes to stderr when it starts: CHATTY=N lines. */
#include "broken.h"

#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void speak(void)
{
    static const char text[] = "chatty: here I am\n";
    const char *lines = getenv("CHATTY");

    for (int n = lines ? atoi(lines) : 1; n > 0; n--)
        if (write(2, text, sizeof text - 1) < 0)
            return;
}
