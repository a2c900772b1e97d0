/* fastpath.c - COUNT rounds of SIZE: four malloc, four free (fewer than any cache holds). Instructions per call: callgrind, two COUNTs, the difference. */
#include <stdlib.h>

int main(int argc, char **argv)
{
    size_t size = argc > 1 ? (size_t)atol(argv[1]) : 32;
    long count = argc > 2 ? atol(argv[2]) : 1000;
    void *volatile block[4];

    for (long round = 0; round < count; round++) {
        for (int i = 0; i < 4; i++)
            block[i] = malloc(size);
        for (int i = 0; i < 4; i++)
            free(block[i]);
    }
    return 0;
}
