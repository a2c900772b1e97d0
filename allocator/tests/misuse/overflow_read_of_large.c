/* not caught */
/* harden:2 fault: at the read itself */
#include "run.h"

int main(void)
{
    char *block = apart(20000);
    volatile char *end = hidden(block + 20000);
    return *end == 17 && 0;
}
