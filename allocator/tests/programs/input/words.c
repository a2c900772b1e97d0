#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node {
    struct node *left, *right;
    char *word;
};

static struct node *add(struct node *n, const char *w)
{
    if (n == NULL) {
        n = calloc(1, sizeof *n);
        n->word = strdup(w);
        return n;
    }
    int c = strcmp(w, n->word);
    if (c < 0)
        n->left = add(n->left, w);
    else if (c > 0)
        n->right = add(n->right, w);
    return n;
}

static size_t words_in(struct node *n)
{
    return n != NULL ? 1 + words_in(n->left) + words_in(n->right) : 0;
}

int main(void)
{
    struct node *root = NULL;
    char w[20];

    for (unsigned i = 0, x = 1; i < 50000; i++) {
        x = x * 1103515245u + 12345;
        snprintf(w, sizeof w, "%u", x >> 12);
        root = add(root, w);
    }
    printf("%zu\n", words_in(root));
    return 0;
}
