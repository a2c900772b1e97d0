/* fuzz_model.c - the model test as a target of libFuzzer. An input is a few settings of tunables, then operations on a table of
 * slots, a separate heap and failing system calls among them; what it does not say is zero.
 *
 * Each input finds the allocator as a program's start does: build.mk puts the library's variables into sections of their
 * own, which are set back to what they were before the first one, and what the input has mapped is unmapped.
 */
#define FAIL_HERE()  abort()
#define MODEL_STRIDE 509

#include "../failing_calls.h"
#include "../model/model.h"
#include "tcache.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SLOTS       48
#define HEAP_SLOTS  16
#define LIVE_MAX    ((size_t)48 << 20)
#define RUN_MAX     8               /* blocks of one batch call */

static struct slot slots[SLOTS], heap_slots[HEAP_SLOTS];
static struct cell_heap *heap;      /* a separate one; NULL: none now */

/* ---- the input ------------------------------------------------------------------------------------------------------ */

static const uint8_t *input, *input_end;

static size_t next_byte(void)
{
    return input < input_end ? *input++ : 0;
}

/* Every size up to 16 KiB, larger ones in steps: half of them below 128, a quarter above 16 KiB. */
static size_t next_size(void)
{
    size_t kind = next_byte();

    if (kind < 128)
        return kind;
    size_t low = next_byte() | (kind % 64) << 8;
    return kind < 192 ? low : low * 97;
}

/* ---- the allocator as it was at the start ------------------------------------------------------------------------------ */

extern char __start_cell_data[], __stop_cell_data[], __start_cell_bss[], __stop_cell_bss[];

static char *first_data;
static struct cell_tcache *first_cache;
static struct { void *start; size_t size; } mapping[8192];
static size_t mappings;

static void note(void *start, size_t size)
{
    REQUIRE(mappings < COUNT_OF(mapping));
    mapping[mappings].start = start;
    mapping[mappings++].size = size;
}

static void start_over(void)
{
    memcpy(__start_cell_data, first_data, (size_t)(__stop_cell_data - __start_cell_data));
    memset(__start_cell_bss, 0, (size_t)(__stop_cell_bss - __start_cell_bss));
    cell_tcache_mine = first_cache;
    while (mappings > 0) {
        mappings--;
        munmap(mapping[mappings].start, mapping[mappings].size);
    }
    memset(slots, 0, sizeof slots);
    memset(heap_slots, 0, sizeof heap_slots);
    heap = NULL;
    plan = (struct plan){ 0, 0, 0 };
    called = 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    size_t size = (size_t)(__stop_cell_data - __start_cell_data);

    (void)argc;
    (void)argv;
    first_data = memcpy(malloc(size), __start_cell_data, size);
    first_cache = cell_tcache_mine;
    return 0;
}

/* ---- tunables --------------------------------------------------------------------------------------------------------- */

static const struct { const char *name; uint64_t minimum, maximum; } tunables[] = {
#define CELL_TUNABLE(name, initial, minimum, maximum, unit, when, text) { #name, minimum, maximum },
#include "tunables.def"
#undef CELL_TUNABLE
};

/* One tunable at an end of its range or at a number in between. Those of the start refuse later on. */
static void set_tunable(void)
{
    size_t row = next_byte() % COUNT_OF(tunables), byte = next_byte();
    uint64_t value = (uint64_t)(byte % 16) << byte / 16 * 3;

    value = byte == 1 ? tunables[row].maximum : value;
    value = value < tunables[row].minimum ? tunables[row].minimum : value;
    value = value > tunables[row].maximum ? tunables[row].maximum : value;
    REQUIRE(cell_option_set(tunables[row].name, (size_t)value) == 0 || errno == EBUSY);
}

/* ---- operations ------------------------------------------------------------------------------------------------------- */

/* Whether a request may be refused: by a failing call, a limit, or since this process would get too large. */
static int may_fail(void)
{
    return plan.nth != 0 || option_value("footprint_limit") != 0;
}

static size_t live_bytes(void)
{
    size_t bytes = 0;

    for (size_t i = 0; i < SLOTS; i++)
        bytes += slots[i].size;
    for (size_t i = 0; i < HEAP_SLOTS; i++)
        bytes += heap_slots[i].size;
    return bytes;
}

/* A request within what may live at a time. */
static size_t next_request(void)
{
    size_t size = next_size(), live = live_bytes();

    return live + size <= LIVE_MAX ? size : size % 1000;
}

static void require_apart(const struct slot *one, const struct slot *other)
{
    REQUIRE(one == other || other->block == NULL || one->block + one->size <= other->block ||
            other->block + other->size <= one->block);
}

/* A new or resized block: large enough, aligned, apart from all others. NULL only where that is allowed. */
static int accept(struct slot *slot, void *block, size_t size, size_t alignment, int refusable)
{
    if (block == NULL) {
        REQUIRE(refusable);
        return 0;
    }
    slot->block = block;
    slot->size = size;
    slot->alignment = alignment;
    REQUIRE((uintptr_t)block % (alignment < 16 ? 16 : alignment) == 0);
    for (size_t i = 0; i < SLOTS; i++)
        require_apart(slot, &slots[i]);
    for (size_t i = 0; i < HEAP_SLOTS; i++)
        require_apart(slot, &heap_slots[i]);
    return 1;
}

static void stamp(struct slot *slot)
{
    slot->stamp = (unsigned char)next_byte();
    fill(slot);
}

static void check_errno(const void *block)
{
    REQUIRE(block != NULL || errno == ENOMEM);
}

static void release(struct slot *slot, size_t way)
{
    REQUIRE(is_intact(slot, slot->size));
    errno = 0;
    if (way == 0)
        cell_free(slot->block);
    else if (slot->alignment != 0)
        cell_free_aligned_sized(slot->block, slot->alignment, slot->size);
    else
        cell_free_sized(slot->block, slot->size);
    REQUIRE(errno == 0);
    *slot = (struct slot){ NULL, 0, 0, 0 };
}

static void allocate(struct slot *slot)
{
    size_t size = next_request();
    void *block = cell_malloc(size);

    check_errno(block);
    if (accept(slot, block, size, 0, may_fail()))
        stamp(slot);
}

static void allocate_zeroed(struct slot *slot)
{
    size_t size = next_request();
    void *block = cell_calloc(1, size);

    check_errno(block);
    if (accept(slot, block, size, 0, may_fail())) {
        REQUIRE(is_zero(slot));
        stamp(slot);
    }
}

static void allocate_aligned(struct slot *slot)
{
    size_t alignment = sizeof(void *) << next_byte() % 18, size = next_request();
    void *block = NULL;
    int status = cell_posix_memalign(&block, alignment, size);

    REQUIRE(status == (block == NULL ? ENOMEM : 0));
    if (accept(slot, block, size, alignment, may_fail()))
        stamp(slot);
}

static void resize(struct slot *slot)
{
    size_t size = next_request(), kept = size < slot->size ? size : slot->size;
    void *block = cell_realloc(slot->block, size);

    if (size == 0) {
        REQUIRE(block == NULL);
        *slot = (struct slot){ NULL, 0, 0, 0 };
        return;
    }
    check_errno(block);
    if (block == NULL) {
        REQUIRE(may_fail() && is_intact(slot, slot->size));
        return;
    }
    slot->block = block;
    REQUIRE(is_intact(slot, kept));
    accept(slot, block, size, 0, 0);
    fill(slot);
}

/* Refused for lack of room behind the block, or done where it lies. A sized free then names all of it. */
static void resize_in_place(struct slot *slot)
{
    size_t size = next_request(), kept = size < slot->size ? size : slot->size;
    void *block = cell_realloc_in_place(slot->block, size);

    check_errno(block);
    REQUIRE(block == NULL || block == slot->block);
    REQUIRE(is_intact(slot, block == NULL ? slot->size : kept));
    if (block != NULL) {
        REQUIRE(cell_usable_size(block) >= size);
        accept(slot, block, cell_usable_size(block), 0, 0);
        fill(slot);
    }
}

static void use_whole(struct slot *slot)
{
    size_t usable = cell_usable_size(slot->block);

    REQUIRE(usable >= slot->size && is_intact(slot, slot->size));
    accept(slot, slot->block, usable, slot->alignment, 0);
    fill(slot);
}

/* Several blocks at once, into the empty ones of a run of slots. */
static void allocate_batch(size_t first)
{
    size_t sizes[RUN_MAX], count = 0;
    struct slot *empty[RUN_MAX];
    void *blocks[RUN_MAX];

    for (size_t i = first; i < first + RUN_MAX && i < SLOTS; i++)
        if (slots[i].block == NULL) {
            sizes[count] = next_request() % 200000;
            empty[count++] = &slots[i];
        }
    void **made = cell_independent_comalloc(count, sizes, blocks);
    check_errno(made);
    REQUIRE(made == blocks || may_fail());
    for (size_t i = 0; made != NULL && i < count; i++) {
        accept(empty[i], blocks[i], sizes[i], 0, 0);
        stamp(empty[i]);
    }
}

static void free_batch(size_t first)
{
    void *blocks[RUN_MAX] = { NULL };

    for (size_t i = first; i < first + RUN_MAX && i < SLOTS; i++) {
        REQUIRE(slots[i].block == NULL || is_intact(&slots[i], slots[i].size));
        blocks[i - first] = slots[i].block;
        slots[i] = (struct slot){ NULL, 0, 0, 0 };
    }
    REQUIRE(cell_bulk_free(blocks, RUN_MAX) == 0 && blocks[0] == NULL);
}

static void fail_calls(void)
{
    size_t byte = next_byte();

    plan = (struct plan){ (unsigned)(byte % 16), next_byte() % 64, byte >= 128 };
    called = 0;
}

/* ---- the separate heap ------------------------------------------------------------------------------------------------- */

static void destroy_heap(void)
{
    for (size_t i = 0; i < HEAP_SLOTS; i++)
        REQUIRE(heap_slots[i].block == NULL || is_intact(&heap_slots[i], heap_slots[i].size));
    memset(heap_slots, 0, sizeof heap_slots);
    cell_heap_destroy(heap);
    heap = NULL;
}

/* A heap may be limited, and so may what it can map. */
static void resize_in_heap(struct slot *slot)
{
    size_t size = next_request() + 1, kept = size < slot->size ? size : slot->size;
    void *block = cell_heap_realloc(heap, slot->block, size);

    check_errno(block);
    if (block == NULL) {
        REQUIRE(is_intact(slot, slot->size));
        return;
    }
    slot->block = block;
    REQUIRE(is_intact(slot, kept));
    accept(slot, block, size, 0, 0);
    fill(slot);
}

static void use_heap(void)
{
    size_t way = next_byte();
    struct slot *slot = &heap_slots[way / 16];

    if (heap == NULL) {
        heap = cell_heap_create(next_size() << 8);
        return;
    }
    if (way == 255) {
        destroy_heap();
    } else if (slot->block == NULL) {
        size_t alignment = way % 4 == 0 ? (size_t)16 << way % 16 : 0, size = next_request();
        void *block = alignment != 0 ? cell_heap_memalign(heap, alignment, size)
                    : way % 4 == 1 ? cell_heap_calloc(heap, 1, size) : cell_heap_malloc(heap, size);
        check_errno(block);
        if (accept(slot, block, size, alignment, 1)) {
            REQUIRE(way % 4 != 1 || is_zero(slot));
            stamp(slot);
        }
    } else if (way % 2 == 0) {
        resize_in_heap(slot);
    } else {
        REQUIRE(is_intact(slot, slot->size) && cell_heap_usable_size(heap, slot->block) >= slot->size);
        cell_heap_free(heap, slot->block);
        *slot = (struct slot){ NULL, 0, 0, 0 };
    }
}

/* ---- one input ----------------------------------------------------------------------------------------------------------- */

static void require_sound(void)
{
    const char *why = NULL;

    REQUIRE_SOUND_HEAP();
    if (heap != NULL && cell_heap_check(heap, &why) != 0) {
        fprintf(stderr, "# cell_heap_check: %s\n", why);
        FAIL_HERE();
    }
}

/* On a slot with a block or without one. */
static void change(struct slot *slot, size_t way)
{
    static void (*const allocations[])(struct slot *) = { allocate, allocate, allocate_zeroed, allocate_aligned };

    if (slot->block == NULL)
        allocations[way % COUNT_OF(allocations)](slot);
    else if (way < 4)
        release(slot, way % 2);
    else if (way == 4)
        resize_in_place(slot);
    else if (way == 5)
        use_whole(slot);
    else
        resize(slot);
}

static void step(void)
{
    size_t kind = next_byte(), at;

    if (kind < 208) {
        at = next_byte() % SLOTS;
        change(&slots[at], kind % 8);
    } else if (kind < 216) {
        allocate_batch(next_byte() % SLOTS);
    } else if (kind < 224) {
        free_batch(next_byte() % SLOTS);
    } else if (kind < 228) {
        cell_trim(next_size());
    } else if (kind < 232) {
        require_sound();
    } else if (kind < 236) {
        fail_calls();
    } else if (kind < 240) {
        set_tunable();
    } else {
        use_heap();
    }
}

/* When calls work again, everything can be given back and is. */
static void finish(void)
{
    plan = (struct plan){ 0, 0, 0 };
    cell_option_set("footprint_limit", 0);
    require_sound();
    if (heap != NULL)
        destroy_heap();
    for (size_t i = 0; i < SLOTS; i++)
        if (slots[i].block != NULL)
            release(&slots[i], i % 2);
    REQUIRE_SOUND_HEAP();
    cell_trim(0);
    REQUIRE_SOUND_HEAP();
    REQUIRE_EQUAL(stats_now().live_blocks, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input = data;
    input_end = data + size;
    note_mapping = note;
    for (size_t settings = next_byte() % 5; settings > 0; settings--)
        set_tunable();
    while (input < input_end)
        step();
    finish();
    note_mapping = NULL;
    start_over();
    return 0;
}
