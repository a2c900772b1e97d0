/* image.h - the objects that another process has loaded, as its own memory tells: what they define, and the slots through
 * which they call. Used by inject.c; reads by /proc/PID/mem, so the caller must be allowed to trace the process.
 */
#ifndef HP_RECORD_IMAGE_H
#define HP_RECORD_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { HP_IMAGE_NAME = 4096, HP_SYMBOL_NAME = 256 };

/* One entry of the loader's list. Tables that the object lacks have address 0. */
struct hp_image {
    uint64_t entry, next;               /* addresses of struct link_map */
    uint64_t base;
    uint64_t symbols, strings, hash;
    uint64_t calls, calls_size;         /* relocations of the procedure linkage table, struct Elf64_Rela */
    uint64_t data, data_size;           /* all others */
    char name[HP_IMAGE_NAME];           /* "" is the program itself */
};

/* A place that the loader filled with the address of a symbol. */
struct hp_slot_use {
    uint64_t address;
    bool is_data;                       /* the program may have stored something else since */
    char symbol[HP_SYMBOL_NAME];
};

/* Of the process whose memory is open as `memory`: the first entry and the loader's state (0: the list is consistent).
 * 0 when the program is static, or its loader has not come so far. */
uint64_t hp_image_first(int memory, pid_t pid, unsigned *state);
bool     hp_image_load(int memory, uint64_t entry, struct hp_image *image);    /* false: it cannot be read */
uint64_t hp_image_symbol(int memory, const struct hp_image *image, const char *name);   /* 0: not defined */
/* Calls `take` for every slot that holds the address of a symbol. */
typedef void hp_image_take(void *context, const struct hp_slot_use *use);
void     hp_image_slots(int memory, const struct hp_image *image, hp_image_take *take, void *context);
/* Calls `take` for every function of an object that GNU ld has linked, whose names follow its symbols. */
typedef void hp_image_function(void *context, const char *name, uint64_t address);
void     hp_image_functions(int memory, const struct hp_image *image, hp_image_function *take, void *context);
bool     hp_image_read(int memory, uint64_t address, void *to, size_t size);

#endif
