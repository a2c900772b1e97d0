/* place.h - where variables lie in the shared library, so that a small process touches few pages: see cold.ld. */
#ifndef CELL_PLACE_H
#define CELL_PLACE_H

#ifdef CELL_OVERRIDE
#define CELL_FIRST       __attribute__((section(".bss.first")))         /* written to by every program that allocates */
#define CELL_FIRST_ROWS  __attribute__((section(".bss.first.rows")))    /* behind these, whose smallest share a cache line */
#define CELL_FIRST_HEAP  __attribute__((section(".bss.first.heap")))    /* behind all */
#define CELL_LOOKS_ON    __attribute__((section(".rodata.looks_on")))   /* constants that few programs read */
#else
#define CELL_FIRST
#define CELL_FIRST_ROWS
#define CELL_FIRST_HEAP
#define CELL_LOOKS_ON
#endif

/* A function that runs at the start and hardly again: small before fast, and beside what else runs then. */
#define CELL_AT_START   __attribute__((cold, section(".text.startup")))

#endif
