/* test_syscalls.c - the n-th system call fails, for all n of a workload, once and from then on: allocation gives NULL with
 * ENOMEM or works, contents stay, the heap is sound. Linked with --wrap=mmap,mprotect,mremap,madvise. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/types.h>

#include "support.h"

void *__real_mmap(void *start, size_t size, int protection, int flags, int fd, off_t offset);
int   __real_mprotect(void *start, size_t size, int protection);
void *__real_mremap(void *start, size_t old_size, size_t new_size, int flags);
int   __real_madvise(void *start, size_t size, int advice);
void *__wrap_mmap(void *start, size_t size, int protection, int flags, int fd, off_t offset);
int   __wrap_mprotect(void *start, size_t size, int protection);
void *__wrap_mremap(void *start, size_t old_size, size_t new_size, int flags);
int   __wrap_madvise(void *start, size_t size, int advice);

enum call { MMAP = 1, MPROTECT = 2, MREMAP = 4, MADVISE = 8 };

static struct plan {
    unsigned calls;         /* which of them count */
    unsigned long nth;      /* the one that fails; 0: none */
    int lasting;            /* and all after it */
} plan;
static unsigned long called;

static int fails(enum call call)
{
    if ((plan.calls & call) == 0)
        return 0;
    called++;
    if (plan.nth == 0 || !(called == plan.nth || (plan.lasting && called > plan.nth)))
        return 0;
    errno = ENOMEM;
    return 1;
}

void *__wrap_mmap(void *start, size_t size, int protection, int flags, int fd, off_t offset)
{
    return fails(MMAP) ? MAP_FAILED : __real_mmap(start, size, protection, flags, fd, offset);
}

int __wrap_mprotect(void *start, size_t size, int protection)
{
    return fails(MPROTECT) ? -1 : __real_mprotect(start, size, protection);
}

void *__wrap_mremap(void *start, size_t old_size, size_t new_size, int flags)
{
    return fails(MREMAP) ? MAP_FAILED : __real_mremap(start, old_size, new_size, flags);
}

int __wrap_madvise(void *start, size_t size, int advice)
{
    return fails(MADVISE) ? -1 : __real_madvise(start, size, advice);
}

/* ---- the workload: touches every kind of call ------------------------------------------------------------------------- */

enum { SLOTS = 60 };
static struct { unsigned char *block; size_t size; unsigned char stamp; } slot[SLOTS];

static void stamp(size_t at, void *block, size_t size)
{
    slot[at].block = block;
    slot[at].size = size;
    memset(block, slot[at].stamp = (unsigned char)(at + size), size);
}

static void require_stamp(size_t at, size_t size)
{
    REQUIRE(slot[at].block[0] == slot[at].stamp && slot[at].block[size / 2] == slot[at].stamp);
    REQUIRE(slot[at].block[size - 1] == slot[at].stamp);
}

static void step(uint64_t *state)
{
    size_t at = random_from(state) % SLOTS;
    uint64_t kind = random_from(state) % 10;
    size_t size = random_from(state) % (kind < 5 ? 3000 : kind < 8 ? 100000 : 600000) + 1;

    errno = 0;
    if (slot[at].block == NULL) {
        unsigned char *block = kind % 3 == 0 ? cell_calloc(1, size) : cell_malloc(size);
        if (block == NULL) {
            REQUIRE_EQUAL(errno, ENOMEM);
            return;
        }
        for (size_t i = 0; kind % 3 == 0 && i < size; i += 61)
            REQUIRE(block[i] == 0);
        stamp(at, block, size);
    } else if (kind % 2 == 0) {
        size_t kept = size < slot[at].size ? size : slot[at].size;
        unsigned char *block = cell_realloc(slot[at].block, size);
        if (block == NULL) {
            REQUIRE_EQUAL(errno, ENOMEM);
            require_stamp(at, slot[at].size);
            return;
        }
        slot[at].block = block;
        require_stamp(at, kept);
        stamp(at, block, size);
    } else {
        require_stamp(at, slot[at].size);
        cell_free(slot[at].block);
        slot[at].block = NULL;
        REQUIRE_EQUAL(errno, 0);
    }
}

static void work(void)
{
    uint64_t state = 2463534242u;

    cell_option_set("purge_min", 65536);
    for (int i = 0; i < 500; i++) {
        step(&state);
        if (i % 200 == 199)
            cell_trim(0);
    }
    REQUIRE_SOUND_HEAP();

    /* When calls work again, so does the heap. */
    plan.nth = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        cell_free(slot[i].block);
        slot[i].block = NULL;
    }
    for (int i = 0; i < 100; i++)
        step(&state);
    void *large = cell_malloc(10 << 20);
    REQUIRE(large != NULL);
    memset(large, 1, 10 << 20);
    REQUIRE_SOUND_HEAP();
}

static void run_plan(const void *argument)
{
    plan = *(const struct plan *)argument;
    work();
}

/* Runs once without a failure; leaves the number of calls where the parent sees it. */
struct count {
    unsigned calls;
    unsigned long *result;
};

static void count_calls(const void *argument)
{
    const struct count *count = argument;

    plan = (struct plan){ count->calls, 0, 0 };
    work();
    *count->result = called;
}

static void fail_each(unsigned calls)
{
    unsigned long *result = __real_mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(result, MAP_FAILED);
    assert_int_equal(status_of_child(count_calls, &(struct count){ calls, result }), 0);
    assert_true(*result > 1);

    /* The first few calls each, then evenly spread ones; all of them in the long run. */
    unsigned long stride = is_long_run() ? 1 : *result / 12 + 1;
    for (unsigned long nth = 1; nth <= *result; nth += nth < 10 ? 1 : stride)
        for (int lasting = 0; lasting < 2; lasting++) {
            struct plan failing = { calls, nth, lasting };
            int status = status_of_child(run_plan, &failing);
            if (status != 0)
                print_error("call %lu of %lu fails%s\n", nth, *result, lasting ? ", and all after it" : "");
            assert_int_equal(status, 0);
        }
    munmap(result, 4096);
}

#define FAILING(name, calls) static void name(void **state) { (void)state; fail_each(calls); }
FAILING(mmap_fails, MMAP)
FAILING(mprotect_fails, MPROTECT)
FAILING(mremap_fails, MREMAP)
FAILING(madvise_fails, MADVISE)
FAILING(any_of_them_fails, MMAP | MPROTECT | MREMAP | MADVISE)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mmap_fails), cmocka_unit_test(mprotect_fails), cmocka_unit_test(mremap_fails),
        cmocka_unit_test(madvise_fails), cmocka_unit_test(any_of_them_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
