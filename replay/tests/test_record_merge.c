/* test_record_merge.c - rings that were stamped in the wrong order, and records of two slots, become a valid trace.
 *
 * The streams are made by hand, as the drain would leave them: what preemption does once in a million calls happens here.
 */
#include "record/collector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64];
static struct hp_collector *c;
static struct hp_process process;

static bool open_writer(struct hp_process *p)
{
    struct hp_meta meta = {.command = (char *)(uintptr_t)"x", .flags = p->flags};

    p->writer = hp_writer_open(path, &meta, p->error, sizeof p->error);
    return p->writer != NULL;
}

static int setup(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/heaplay-merge-%d.hpt", (int)getpid());
    c = calloc(1, sizeof *c);
    c->shared = mmap(NULL, sizeof *c->shared, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(c->shared != MAP_FAILED);
    pthread_mutex_init(&c->lock, NULL);
    c->ticks_per_ms = 1000000;
    c->scans = 10;
    process = (struct hp_process){.collector = c, .next_id = 1, .ns_per_tick = 1, .open_writer = open_writer,
                                  .flags = HP_HAS_TIME | HP_HAS_THREADS, .gone = true, .gone_at_scan = 1};
    assert_true(hp_table_open(&process.live));
    return 0;
}

static void free_chunks(struct hp_chunk *chunk)
{
    while (chunk) {
        struct hp_chunk *next = chunk->next;

        free(chunk);
        chunk = next;
    }
}

static int teardown(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < c->shared->rings_used; i++)
        free_chunks(c->streams[i].head);
    free_chunks(atomic_load(&c->spare));
    hp_table_close(&process.live);
    munmap(c->shared, sizeof *c->shared);
    free(c);
    unlink(path);
    return 0;
}

static struct hp_stream *stream(uint32_t index)
{
    struct hp_stream *s = &c->streams[index];

    s->process = &process;
    s->thread = index;
    s->head = s->tail = calloc(1, sizeof *s->head);
    if (c->shared->rings_used <= index)
        c->shared->rings_used = index + 1;
    return s;
}

static void put_slot(struct hp_stream *s, uint64_t stamp, uint64_t word)
{
    uint64_t index = s->checked++ % HP_CHUNK_SLOTS;

    if (index == 0 && s->checked > 1)
        s->tail = s->tail->next = calloc(1, sizeof *s->tail);
    atomic_store(&s->tail->slots[index].stamp, stamp);
    s->tail->slots[index].word = word;
}

static void put(struct hp_stream *s, uint64_t ticks, unsigned kind, uint64_t a, uint64_t b)
{
    put_slot(s, ticks << HP_STAMP_SHIFT | kind, a << HP_MORE_BITS | b);
}

/* Merges everything; returns the number of events, the last of them in *last. */
static uint64_t merged(struct hp_event *last)
{
    struct hp_event event;
    struct hp_trailer t = {0};
    hp_reader *r;
    char error[256];
    int code;

    hp_merge_process(c, &process);
    hp_writer_count(process.writer, &t);
    assert_int_equal(hp_writer_close(process.writer, &t), 0);
    r = hp_reader_open(path, &code, error, sizeof error);
    assert_non_null(r);
    while ((code = hp_reader_next(r, &event)) == 1)
        *last = event;
    assert_int_equal(code, 0);
    hp_reader_close(r);
    return t.events;
}

/* Thread 1 was given the block that thread 0 freed, yet its stamp is older than that of the free. */
static void test_inversion_waits_for_the_free(void **state)
{
    struct hp_stream *a = stream(0), *b = stream(1);
    struct hp_event last = {0};

    (void)state;
    put(a, 100, HP_MALLOC, 0x1000, 10);
    put(a, 300, HP_FREE, 0x1000, 0);
    put(b, 200, HP_MALLOC, 0x1000, 20);
    put(b, 400, HP_FREE, 0x1000, 0);
    assert_int_equal(merged(&last), 4);
    assert_int_equal(process.counts.inversions, 1);
    assert_int_equal(process.counts.implied_frees, 0);
    assert_int_equal(last.thread, 1);
    assert_int_equal(last.old_id, 2);
}

/* No free was ever seen: it is implied, and counted as that. */
static void test_unseen_free_is_implied(void **state)
{
    struct hp_stream *a = stream(0), *b = stream(1);
    struct hp_event last = {0};

    (void)state;
    put(a, 100, HP_MALLOC, 0x1000, 10);
    put(b, 200, HP_MALLOC, 0x1000, 20);
    assert_int_equal(merged(&last), 3);
    assert_int_equal(process.counts.inversions, 0);
    assert_int_equal(process.counts.implied_frees, 1);
    assert_int_equal(last.id, 2);
}

/* The second slot of the last record lies in the next chunk, and every bit of size and count arrives. */
static void test_wide_record_across_chunks(void **state)
{
    const uint64_t count = UINT64_C(0xfedcba9876543210), size = UINT64_C(0x123456789abcdef0);
    struct hp_stream *a = stream(0);
    struct hp_event last = {0};

    (void)state;
    for (uint64_t i = 1; i < HP_CHUNK_SLOTS; i++)
        put(a, i, HP_MALLOC, i * 16, 8);
    put_slot(a, UINT64_C(9999) << HP_STAMP_SHIFT | HP_CALLOC, HP_MORE | count >> 56);
    put_slot(a, count << HP_STAMP_SHIFT | HP_RAW_MORE, size);
    assert_int_equal(merged(&last), HP_CHUNK_SLOTS);
    assert_int_equal(last.kind, HP_CALLOC);
    assert_true(last.size == size && last.count == count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_inversion_waits_for_the_free, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unseen_free_is_implied, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wide_record_across_chunks, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
