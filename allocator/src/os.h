/* os.h - everything cellmalloc asks of the system; nothing else makes a system call.
 *
 * Contract: sizes and addresses are multiples of cell_os_page_size(). Functions return false or NULL when the system
 * refuses, never set errno (they restore it), never allocate, are no cancellation points, and may be called with any lock held.
 */
#ifndef CELL_OS_H
#define CELL_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "place.h"

size_t cell_os_page_size(void);

/* Address space without memory behind it. */
void *cell_os_reserve(size_t size);
/* Makes reserved pages readable, writable and zero. */
bool  cell_os_commit(void *start, size_t size);
/* Takes all access away; the contents stay. */
bool  cell_os_forbid(void *start, size_t size);
/* Zero-filled memory, committed at once. */
void *cell_os_map(size_t size);
/* The same at `start`; false, too, when something is mapped there. The system may commit it page by page. */
bool  cell_os_map_at(void *start, size_t size);
void  cell_os_unmap(void *start, size_t size);
/* Grows or shrinks a mapping, moving it if `may_move`; NULL when that is not possible. */
void *cell_os_remap(void *start, size_t old_size, size_t new_size, bool may_move);
/* Gives the pages back; they read as zero afterwards. False: they keep their contents. */
bool  cell_os_purge(void *start, size_t size);
/* Brings pages in by one call instead of a fault each. False: the kernel cannot; they come in by faults. */
bool  cell_os_populate(void *start, size_t size);
/* Whether the page at `start` has memory. */
bool  cell_os_is_resident(void *start);
/* Asks for or against huge pages in a range. */
void  cell_os_huge(void *start, size_t size);
void  cell_os_no_huge(void *start, size_t size);
/* Whether the kernel gives huge pages to a range that asks for them. Reads /sys: call it once. */
bool  cell_os_huge_available(void);

/* Limit of the address space in bytes (RLIMIT_AS), SIZE_MAX when there is none. */
size_t cell_os_address_limit(void);
/* Bytes that an attacker cannot guess, the same in every call; falls back to addresses and clocks before the kernel has entropy. What
 * shows of one use tells nothing of the other. */
enum cell_os_random_use { CELL_OS_RANDOM_SECRET, CELL_OS_RANDOM_PLACE };
uint64_t cell_os_random(enum cell_os_random_use use) CELL_AT_START;
/* A coarse clock; no system call where the kernel offers it without. */
uint64_t cell_os_now_ms(void);
/* Processor time of the calling thread; two differ by what lies between them, if that is less than two seconds where long has 32 bits. */
unsigned long cell_os_thread_ns(void);
bool  cell_os_is_setuid(void);
/* The number of the processor that the thread runs on, from 0. */
unsigned cell_os_processor(void);
/* 0, or the errno of what went wrong. */
int   cell_os_write(int fd, const char *text, size_t length);
void  cell_os_write_error(const char *text, size_t length);

/* Sleeps while *word == expected; returns on a wake-up or for no reason at all. */
void  cell_os_wait(const uint32_t *word, uint32_t expected);
void  cell_os_wake_one(const uint32_t *word);

/* glibc >= 2.32 keeps this byte; absent elsewhere, and then every process counts as threaded. */
extern char __libc_single_threaded __attribute__((weak));

/* True while the process has never had a second thread (or again has only one). */
static inline bool cell_os_single_threaded(void)
{
    return &__libc_single_threaded != NULL && __libc_single_threaded;
}

#endif
