/* deepbind.c - loads past.so so that its malloc is the C library's, whatever is preloaded. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    void *library = dlopen("./past.so", RTLD_NOW | RTLD_DEEPBIND);
    void *(*block)(void) = (void *(*)(void))dlsym(library, "block");
    void *own = malloc(10);

    printf("%d\n", own != NULL && block() != NULL);
    free(own);
    return 0;
}
