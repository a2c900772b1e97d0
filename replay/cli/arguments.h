/* arguments.h - reading of option values, shared by the subcommands. All return false on what they cannot take. */
#ifndef HP_ARGUMENTS_H
#define HP_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct option;

/* getopt_long, whose complaints begin with "heaplay COMMAND". */
int  hp_arg_next(int argc, char **argv, const char *letters, const struct option *options);
bool hp_arg_whole(const char *text, uint64_t low, uint64_t high, uint64_t *out);
bool hp_arg_bytes(const char *text, uint64_t *out);                    /* at least 1; K, M, G: powers of 1024 */
bool hp_arg_real(const char *text, double low, double high, double *out);
bool hp_arg_touch(const char *text, int *touch, uint64_t *lines);      /* enum hp_touch */
bool hp_arg_same_file(const char *in, const char *out);                 /* a regular file, also through links;
                                                                           in "-": standard input */
void hp_arg_join(const char *program, int argc, char **argv, char *text, size_t size);

#endif
