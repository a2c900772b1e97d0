/* override.c - what makes libcellmalloc.so a drop-in: the C++ operators and the handlers around fork().
 *
 * The operators are defined under their mangled names (Itanium C++ ABI), so that no C++ runtime is needed; where there is
 * one, its new handler and std::bad_alloc are used.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "api.h"
#include "arena.h"
#include "cellmalloc.h"
#include "check.h"
#include "quarantine.h"
#include "stats.h"
#include "tcache.h"

/* ---- fork: no thread may be inside the allocator while the process is copied ----------------------------------- */

/* A process of one thread takes no lock: the child would get its own copy of each page that holds one. */
static bool locked_for_fork;

/* fork() of glibc waits for the list of open files after it has called us. A thread that flushes all of them holds it while it waits for a
 * file, whose reader may be waiting for memory: so the list must be ours before our locks are. These are what fork() itself uses; it resets the
 * child's lock only where it knows of threads. Other C libraries do not have them. */
extern void _IO_list_lock(void) __attribute__((weak));
extern void _IO_list_unlock(void) __attribute__((weak));
extern void _IO_list_resetlock(void) __attribute__((weak));

__attribute__((cold, noinline)) static void lock_all(void)
{
    if (_IO_list_lock != NULL)
        _IO_list_lock();
    cell_quarantine_lock();
    cell_api_heaps_lock();
    cell_arena_lock();
    cell_tcache_lock();
    locked_for_fork = true;
}

__attribute__((cold, noinline)) static void unlock_all(void)
{
    locked_for_fork = false;
    cell_tcache_unlock();
    cell_arena_unlock();
    cell_api_heaps_unlock();
    cell_quarantine_unlock();
    if (_IO_list_unlock != NULL)
        _IO_list_unlock();
}

__attribute__((cold, noinline)) static void reset_all(void)
{
    locked_for_fork = false;
    cell_tcache_reset_lock();
    cell_arena_reset_lock();
    cell_api_heaps_reset_lock();
    cell_quarantine_reset_lock();
    if (_IO_list_resetlock != NULL)
        _IO_list_resetlock();
}

static void before_fork(void)
{
    if (!cell_os_single_threaded())
        lock_all();
}

static void after_fork_in_parent(void)
{
    if (locked_for_fork)
        unlock_all();
}

static void after_fork_in_child(void)
{
    if (locked_for_fork)
        reset_all();
}

#ifdef CELL_OVERRIDE
/* See cold.ld. */
__attribute__((used, section(".bss.relro_end"))) static uint64_t relro_end;
#endif

__attribute__((constructor)) static void install_fork_handlers(void)
{
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

/* harden:2: what still waits or lives when the program ends is checked like what leaves or is freed earlier. */
__attribute__((destructor)) static void check_at_exit(void)
{
    if (cell_option.harden < 2 || !cell_heap_is_ready(&cell_heap_main))
        return;
    CELL_CHECK(cell_quarantine_is_intact(), CELL_FATAL_QUARANTINE);
    CELL_CHECK(cell_check_canaries(), CELL_FATAL_CANARY);
}

#ifdef CELL_OVERRIDE

typedef void (*new_handler)(void);
extern new_handler std_get_new_handler(void) __asm__("_ZSt15get_new_handlerv") __attribute__((weak));
extern void std_throw_bad_alloc(void) __asm__("_ZSt17__throw_bad_allocv") __attribute__((weak, noreturn));

/* In the C library itself, except in old ones. */
extern __typeof__(dlsym) dlsym __attribute__((weak));

/* size_t in mangled names */
#if SIZE_MAX > UINT32_MAX
#define SIZE "m"
#else
#define SIZE "j"
#endif

#define CXX_NAME(mangled) __asm__(mangled) __attribute__((visibility("default")))

static new_handler handler_now(void)
{
    return std_get_new_handler == NULL ? NULL : std_get_new_handler();
}

static void *new_once(size_t size, size_t alignment)
{
    return alignment == 0 ? cell_malloc(size) : cell_memalign(alignment, size);
}

/* Calls the handler until it has freed enough, is gone, or throws. */
static void *new_or_null(size_t size, size_t alignment)
{
    void *block;
    new_handler handler;

    while ((block = new_once(size, alignment)) == NULL && (handler = handler_now()) != NULL)
        handler();
    return block;
}

#define NEW_NOTHROW         "_Znw" SIZE "RKSt9nothrow_t"
#define NEW_ALIGNED_NOTHROW "_Znw" SIZE "St11align_val_tRKSt9nothrow_t"

/* What a handler throws ends here, which takes C++. The runtime's own operator catches, and asks the throwing one: ours. */
static void *new_nothrow(size_t size, size_t alignment, const void *tag)
{
    void *block = new_once(size, alignment);
    const char *name = alignment == 0 ? NEW_NOTHROW : NEW_ALIGNED_NOTHROW;

    if (CELL_LIKELY(block != NULL) || handler_now() == NULL)
        return block;
    void *theirs = dlsym == NULL ? NULL : dlsym(RTLD_NEXT, name);
    if (theirs == NULL)
        return new_or_null(size, alignment);
    return alignment == 0 ? ((void *(*)(size_t, const void *))theirs)(size, tag)
                          : ((void *(*)(size_t, size_t, const void *))theirs)(size, alignment, tag);
}

__attribute__((noinline, cold)) static void *new_slow(size_t size, size_t alignment)
{
    void *block = new_or_null(size, alignment);

    if (block == NULL) {
        if (std_throw_bad_alloc == NULL)
            abort();
        std_throw_bad_alloc();
    }
    return block;
}

void *cxx_new(size_t size) CXX_NAME("_Znw" SIZE);
void *cxx_new(size_t size)
{
    void *block = cell_tcache_alloc(size);

    if (CELL_UNLIKELY(block == NULL))
        block = cell_api_malloc_beyond(size);
    return CELL_LIKELY(block != NULL) ? block : new_slow(size, 0);
}

void *cxx_new_array(size_t size) CXX_NAME("_Zna" SIZE);
void *cxx_new_array(size_t size)
{
    return cxx_new(size);
}

void *cxx_new_nothrow(size_t size, const void *tag) CXX_NAME(NEW_NOTHROW);
void *cxx_new_nothrow(size_t size, const void *tag)
{
    return new_nothrow(size, 0, tag);
}

void *cxx_new_array_nothrow(size_t size, const void *tag) CXX_NAME("_Zna" SIZE "RKSt9nothrow_t");
void *cxx_new_array_nothrow(size_t size, const void *tag)
{
    return cxx_new_nothrow(size, tag);
}

void *cxx_new_aligned(size_t size, size_t alignment) CXX_NAME("_Znw" SIZE "St11align_val_t");
void *cxx_new_aligned(size_t size, size_t alignment)
{
    return new_slow(size, alignment);
}

void *cxx_new_array_aligned(size_t size, size_t alignment) CXX_NAME("_Zna" SIZE "St11align_val_t");
void *cxx_new_array_aligned(size_t size, size_t alignment)
{
    return new_slow(size, alignment);
}

void *cxx_new_aligned_nothrow(size_t size, size_t alignment, const void *tag) CXX_NAME(NEW_ALIGNED_NOTHROW);
void *cxx_new_aligned_nothrow(size_t size, size_t alignment, const void *tag)
{
    return new_nothrow(size, alignment, tag);
}

void *cxx_new_array_aligned_nothrow(size_t size, size_t alignment, const void *tag)
    CXX_NAME("_Zna" SIZE "St11align_val_tRKSt9nothrow_t");
void *cxx_new_array_aligned_nothrow(size_t size, size_t alignment, const void *tag)
{
    return cxx_new_aligned_nothrow(size, alignment, tag);
}

#define DELETE_1(name, mangled)                                     \
    void name(void *block) CXX_NAME(mangled);                       \
    void name(void *block) { cell_free(block); }
#define DELETE_2(name, type, mangled)                               \
    void name(void *block, type unused) CXX_NAME(mangled);          \
    void name(void *block, type unused) { (void)unused; cell_free(block); }
#define DELETE_3(name, type1, type2, mangled)                       \
    void name(void *block, type1 unused, type2 unused_too) CXX_NAME(mangled); \
    void name(void *block, type1 unused, type2 unused_too)          \
    { (void)unused; (void)unused_too; cell_free(block); }
#define DELETE_SIZED(name, mangled)                                 \
    void name(void *block, size_t size) CXX_NAME(mangled);          \
    void name(void *block, size_t size) { cell_api_delete_sized(block, size); }
#define DELETE_SIZED_ALIGNED(name, mangled)                         \
    void name(void *block, size_t size, size_t unused) CXX_NAME(mangled); \
    void name(void *block, size_t size, size_t unused) { (void)unused; cell_api_delete_sized(block, size); }

DELETE_1(cxx_delete, "_ZdlPv")
DELETE_1(cxx_delete_array, "_ZdaPv")
DELETE_SIZED(cxx_delete_sized, "_ZdlPv" SIZE)
DELETE_SIZED(cxx_delete_array_sized, "_ZdaPv" SIZE)
DELETE_2(cxx_delete_nothrow, const void *, "_ZdlPvRKSt9nothrow_t")
DELETE_2(cxx_delete_array_nothrow, const void *, "_ZdaPvRKSt9nothrow_t")
DELETE_2(cxx_delete_aligned, size_t, "_ZdlPvSt11align_val_t")
DELETE_2(cxx_delete_array_aligned, size_t, "_ZdaPvSt11align_val_t")
DELETE_SIZED_ALIGNED(cxx_delete_sized_aligned, "_ZdlPv" SIZE "St11align_val_t")
DELETE_SIZED_ALIGNED(cxx_delete_array_sized_aligned, "_ZdaPv" SIZE "St11align_val_t")
DELETE_3(cxx_delete_aligned_nothrow, size_t, const void *, "_ZdlPvSt11align_val_tRKSt9nothrow_t")
DELETE_3(cxx_delete_array_aligned_nothrow, size_t, const void *, "_ZdaPvSt11align_val_tRKSt9nothrow_t")

/* ---- glibc's figures, in its own structures ---------------------------------------------------------------------- */

#ifdef __GLIBC__

/* arena == uordblks + fordblks, as in glibc; free cells and cached blocks count as fastbin blocks. */
static struct mallinfo2 count(void)
{
    struct cell_stats stats;

    cell_stats_get(&stats);
    size_t arena = stats.heap_bytes + stats.top_bytes;
    size_t unused = stats.free_bytes + stats.cached_bytes + stats.top_bytes;
    return (struct mallinfo2){
        .arena = arena,
        .ordblks = stats.free_chunks + (stats.top_bytes != 0),
        .smblks = stats.free_cells + stats.cached_blocks,
        .hblks = stats.mapped_blocks,
        .hblkhd = stats.mapped_bytes,
        .fsmblks = stats.free_cell_bytes + stats.cached_bytes,
        .uordblks = arena - unused,
        .fordblks = unused,
        .keepcost = stats.top_bytes,
    };
}

__attribute__((visibility("default"))) struct mallinfo2 mallinfo2(void)
{
    return count();
}

__attribute__((visibility("default"))) struct mallinfo mallinfo(void)
{
    struct mallinfo2 wide = count();        /* mallinfo2 by name may be another library's */

    return (struct mallinfo){
        .arena = (int)wide.arena, .ordblks = (int)wide.ordblks, .smblks = (int)wide.smblks, .hblks = (int)wide.hblks,
        .hblkhd = (int)wide.hblkhd, .fsmblks = (int)wide.fsmblks, .uordblks = (int)wide.uordblks,
        .fordblks = (int)wide.fordblks, .keepcost = (int)wide.keepcost,
    };
}

#endif
#endif
