/* test_syscalls.c - the n-th system call fails, for every n of a workload, once and from then on: allocation gives NULL with
 * ENOMEM or works, contents stay, the heap is sound. Linked with --wrap=mmap,mprotect,mremap,madvise. */
#include "failing_calls.h"
#include "mapped.h"
#include "support.h"

/* ---- the workload: touches every kind of call ------------------------------------------------------------------------- */

enum { SLOTS = 60 };
static struct { unsigned char *block; size_t size; unsigned char stamp; } slot[SLOTS];

/* At both ends and in the middle: pages that nothing touches cost nothing. */
static void stamp(size_t at, unsigned char *block, size_t size)
{
    slot[at].block = block;
    slot[at].size = size;
    slot[at].stamp = (unsigned char)(at + size);
    block[0] = block[size / 2] = block[size - 1] = slot[at].stamp;
}

static void require_stamp(size_t at)
{
    const unsigned char *block = slot[at].block;

    REQUIRE(block[0] == slot[at].stamp && block[slot[at].size / 2] == slot[at].stamp);
    REQUIRE(block[slot[at].size - 1] == slot[at].stamp);
}

/* A block that counts as guarded has its page without access: the system cannot read there either. */
static void require_guard(const unsigned char *block)
{
    static int pipes[2];

    if (cell_segment_holds(&cell_heap_main.segment, block) || cell_mapped_guard(block) == 0)
        return;
    REQUIRE(pipes[1] != 0 || pipe(pipes) == 0);
    REQUIRE(write(pipes[1], block + cell_heap_usable(&cell_heap_main, block), 1) == -1 && errno == EFAULT);
}

static void allocate(size_t at, size_t size, int zeroed)
{
    unsigned char *block = zeroed ? cell_calloc(1, size) : cell_malloc(size);

    if (block == NULL) {
        REQUIRE_EQUAL(errno, ENOMEM);
        return;
    }
    for (size_t i = 0; zeroed && i < size; i += 509)
        REQUIRE(block[i] == 0);
    require_guard(block);
    stamp(at, block, size);
}

static void resize(size_t at, size_t size, int in_place)
{
    unsigned char *old = slot[at].block, first = old[0], middle = old[slot[at].size / 2];
    size_t half = slot[at].size / 2;
    unsigned char *block = in_place ? cell_realloc_in_place(old, size) : cell_realloc(old, size);

    if (block == NULL) {
        REQUIRE_EQUAL(errno, ENOMEM);
        require_stamp(at);
        return;
    }
    REQUIRE(!in_place || block == old);
    REQUIRE(block[0] == first && (half >= size || block[half] == middle));
    stamp(at, block, size);
}

static void step(uint64_t *state)
{
    size_t at = random_from(state) % SLOTS;
    uint64_t kind = random_from(state) % 10, way = random_from(state) % 6;
    size_t size = random_from(state) % (kind < 5 ? 3000 : kind < 8 ? 60000 : 200000) + 1;

    errno = 0;
    if (slot[at].block == NULL) {
        allocate(at, size, way == 0);
    } else if (way < 3) {
        resize(at, size, way == 0);
    } else {
        require_stamp(at);
        cell_free(slot[at].block);
        slot[at].block = NULL;
        REQUIRE_EQUAL(errno, 0);
    }
}

/* A separate heap comes and goes, of a capacity for which a range is reserved, or another. */
static void use_heap(int reserved)
{
    errno = 0;
    struct cell_heap *heap = cell_heap_create(reserved && SIZE_MAX > UINT32_MAX ? (size_t)(UINT64_C(1) << 36) : 0);
    if (heap == NULL) {
        REQUIRE_EQUAL(errno, ENOMEM);
        return;
    }
    for (size_t size = 10; size < 300000; size *= 11) {
        unsigned char *block = cell_heap_malloc(heap, size);
        REQUIRE(block != NULL || errno == ENOMEM);
        if (block != NULL)
            block[0] = block[size - 1] = 1;
    }
    REQUIRE(cell_heap_check(heap, NULL) == 0);
    cell_heap_destroy(heap);
}

/* Hardened, most steps are calls: fewer will do. */
static void work(int hardened)
{
    uint64_t state = 2463534242u;
    int steps = hardened ? 120 : 600;

    cell_option_set("purge_min", 65536);
    cell_option_set("mmap_threshold", 100000);
    for (int i = 0; i < steps; i++) {
        step(&state);
        if (i % 100 == 99)
            use_heap(i / 100 % 2 == 0);
        if (i % 60 == 59)
            cell_trim(0);
    }
    REQUIRE_SOUND_HEAP();

/* When calls work again, so does the heap. */
    plan.nth = 0;
    for (size_t i = 0; i < SLOTS; i++) {
        cell_free(slot[i].block);
        slot[i].block = NULL;
    }
    for (int i = 0; i < 50; i++)
        step(&state);
    void *large = cell_malloc(10 << 20);
    REQUIRE(large != NULL);
    stamp(0, large, 10 << 20);
    REQUIRE_SOUND_HEAP();
}

/* One run of the workload. */
struct run {
    struct plan plan;
    int hardened;
    unsigned long *called;      /* where the parent sees the number of calls */
};

static void run(const void *argument)
{
    const struct run *r = argument;

    if (r->hardened)
        REQUIRE(cell_option_set("harden", 2) == 0);
    plan = r->plan;
    work(r->hardened);
    *r->called = called;
}

/* Each call of the kinds, by itself (`once`), and with all after it. */
static void fail_each(unsigned calls, int hardened, int once)
{
    struct run r = { { calls, 0, 0 }, hardened, NULL };

    r.called = __real_mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(r.called, MAP_FAILED);
    assert_int_equal(status_of_child(run, &r), 0);
    unsigned long all = *r.called;
    assert_true(all >= 5);

    for (r.plan.nth = 1; r.plan.nth <= all; r.plan.nth++)
        for (r.plan.lasting = !once; r.plan.lasting < 2; r.plan.lasting++) {
            int status = status_of_child(run, &r);
            if (status != 0)
                print_error("call %lu of %lu fails%s\n", r.plan.nth, all, r.plan.lasting ? ", and all after it" : "");
            assert_int_equal(status, 0);
        }
    print_message("# %lu calls\n", all);
    munmap(r.called, 4096);
}

#define ALL (MMAP | MPROTECT | MREMAP | MADVISE)
#define FAILING(name, ...) static void name(void **state) { (void)state; fail_each(__VA_ARGS__); }
FAILING(mmap_fails, MMAP, 0, 1)
FAILING(mprotect_fails, MPROTECT, 0, 1)
FAILING(mremap_fails, MREMAP, 0, 1)
FAILING(madvise_fails, MADVISE, 0, 1)
FAILING(all_fail_from_one_on, ALL, 0, 0)        /* one by itself is in the four above */
FAILING(mmap_fails_hardened, MMAP, 1, 1)
FAILING(mprotect_fails_hardened, MPROTECT, 1, 1)
FAILING(madvise_fails_hardened, MADVISE, 1, 1)
FAILING(all_fail_from_one_on_hardened, ALL, 1, 0)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mmap_fails), cmocka_unit_test(mprotect_fails), cmocka_unit_test(mremap_fails),
        cmocka_unit_test(madvise_fails), cmocka_unit_test(all_fail_from_one_on),
        cmocka_unit_test(mmap_fails_hardened), cmocka_unit_test(mprotect_fails_hardened),
        cmocka_unit_test(madvise_fails_hardened), cmocka_unit_test(all_fail_from_one_on_hardened),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
