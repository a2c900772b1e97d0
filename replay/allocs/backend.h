/* backend.h - the ways in which the worker can be given an allocator. */
#ifndef HP_BACKEND_H
#define HP_BACKEND_H

enum hp_backend {
    HP_BACKEND_LIBRARY = 0,     /* a preloaded library, or the C library */
    HP_BACKEND_NULL,            /* nothing: what the harness costs */
    HP_BACKEND_BUMP,            /* moves a pointer, never frees */
};

#endif
