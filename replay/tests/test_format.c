/* test_format.c - what is written can be read again; what is cut off or damaged is noticed; FORMAT.md is true. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "trace/codec.h"
#include "trace/format.h"
#include "trace/trace.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MANY 150000u                    /* more than two frames */

static char path[] = "/tmp/heaplay-test-format-XXXXXX";
static uint64_t random_state = 88172645463325252u;

static uint64_t rnd(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Any number of bits, so that every length of number comes up, the extremes included. */
static uint64_t extreme(void)
{
    uint64_t pick = rnd() % 8;

    return pick == 0 ? 0 : pick == 1 ? UINT64_MAX : pick == 2 ? UINT64_C(1) << rnd() % 64 : rnd() >> rnd() % 64;
}

static struct hp_event random_event(uint64_t *next_id, uint64_t *time)
{
    struct hp_event e = { .kind = (uint8_t)(rnd() % HP_KIND_COUNT) };
    unsigned fields = hp_kind_fields(e.kind);

    e.thread = rnd() % 4 ? 3 : (uint32_t)(extreme() % UINT32_MAX);
    *time += rnd() % 100 ? rnd() % 4096 : rnd() >> (20 + rnd() % 40);
    e.time_ns = *time & ~UINT64_C(63);
    if (fields & HP_F_SIZE)
        e.size = rnd() % 2 ? 16 * (rnd() % 64) : extreme();
    if (fields & HP_F_COUNT)
        e.count = extreme();
    if ((fields & HP_F_ALIGN) && rnd() % 4)
        e.alignment = UINT64_C(1) << rnd() % 64;
    if ((fields & HP_F_OLD) && *next_id > 1 && rnd() % 8)
        e.old_id = rnd() % 2 ? *next_id - 1 - rnd() % (*next_id - 1) % 300 : 1 + rnd() % (*next_id - 1);
    if (e.old_id && hp_kind_frees(e.kind))
        e.resident_bytes = extreme();
    if ((fields & HP_F_ID) && rnd() % 16)
        e.id = (*next_id)++;
    return e;
}

static void write_events(const struct hp_event *events, size_t count, size_t flush_every, int with_trailer)
{
    char error[512] = "";
    struct hp_meta meta = { .command = (char *)(uintptr_t)"prog arg", .origin = (char *)(uintptr_t)"recorded",
                            .host = (char *)(uintptr_t)"host \xff", .start_unix_ns = UINT64_MAX, .pid = 7,
                            .parent_pid = UINT32_MAX, .flags = HP_HAS_TIME | HP_HAS_THREADS | HP_HAS_RESIDENT };
    struct hp_trailer trailer = { .lost_events = 3, .inversions = UINT64_MAX, .exit_status = -1 };
    hp_writer *w = hp_writer_open(path, &meta, error, sizeof error);

    assert_string_equal(error, "");
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(hp_writer_append(w, &events[i]), 0);
        if (flush_every && i % flush_every == flush_every - 1)
            assert_int_equal(hp_writer_flush(w), 0);
    }
    hp_writer_count(w, &trailer);
    assert_int_equal(hp_writer_close(w, with_trailer ? &trailer : NULL), 0);
}

static int same(const struct hp_event *a, const struct hp_event *b)
{
    return a->kind == b->kind && a->thread == b->thread && a->time_ns == b->time_ns && a->id == b->id
        && a->old_id == b->old_id && a->size == b->size && a->count == b->count && a->alignment == b->alignment
        && a->resident_bytes == b->resident_bytes;
}

/* Reads the file at `from` and compares with events as far as it goes: the number of events delivered, *end the last
 * result of the reader (or the error of opening). */
static size_t read_events(const char *from, const struct hp_event *events, size_t count, int *end)
{
    char error[512];
    hp_reader *r = hp_reader_open(from, end, error, sizeof error);
    struct hp_event e;
    size_t n = 0;

    if (!r) {
        assert_true(strlen(error) > 0);
        return 0;
    }
    while ((*end = hp_reader_next(r, &e)) == 1) {
        assert_true(n < count);
        assert_true(same(&e, &events[n]));
        n++;
    }
    if (*end < 0)
        assert_true(strlen(hp_reader_error(r)) > 0);
    else
        assert_non_null(hp_reader_trailer(r));
    hp_reader_close(r);
    return n;
}

static struct hp_event *random_events(size_t count)
{
    struct hp_event *events = calloc(count, sizeof *events);
    uint64_t next_id = 1, time = 0;

    assert_non_null(events);
    for (size_t i = 0; i < count; i++)
        events[i] = random_event(&next_id, &time);
    return events;
}

static void test_round_trip(void **state)
{
    struct hp_event *events = random_events(MANY);
    int end;

    (void)state;
    write_events(events, MANY, 0, 1);
    assert_int_equal(read_events(path, events, MANY, &end), MANY);
    assert_int_equal(end, 0);
    free(events);
}

static void test_meta_and_trailer(void **state)
{
    char error[512];
    struct hp_event *events = random_events(100);
    struct hp_event e;
    int end;
    hp_reader *r;

    (void)state;
    write_events(events, 100, 0, 1);
    r = hp_reader_open(path, &end, error, sizeof error);
    assert_non_null(r);
    assert_null(hp_reader_trailer(r));
    while (hp_reader_next(r, &e) == 1)
        ;
    assert_string_equal(hp_reader_meta(r)->command, "prog arg");
    assert_string_equal(hp_reader_meta(r)->host, "host \xef\xbf\xbd");
    assert_true(hp_reader_meta(r)->start_unix_ns == UINT64_MAX && hp_reader_meta(r)->parent_pid == UINT32_MAX);
    assert_int_equal(hp_reader_meta(r)->flags, 7);
    assert_int_equal(hp_reader_trailer(r)->events, 100);
    assert_int_equal(hp_reader_trailer(r)->exit_status, -1);
    assert_true(hp_reader_trailer(r)->inversions == UINT64_MAX);
    hp_reader_close(r);
    free(events);
}

static void test_times_are_rounded_down(void **state)
{
    struct hp_event given = { .kind = HP_MALLOC, .id = 1, .size = 5, .time_ns = 1000 }, got = given;
    int end;

    (void)state;
    write_events(&given, 1, 0, 1);
    got.time_ns = 1000 >> HP_TIME_SHIFT << HP_TIME_SHIFT;
    assert_int_equal(read_events(path, &got, 1, &end), 1);
}

static unsigned char *load(size_t *size)
{
    FILE *f = fopen(path, "rb");
    unsigned char *bytes = malloc(1u << 20);

    assert_non_null(f);
    assert_non_null(bytes);
    *size = fread(bytes, 1, 1u << 20, f);
    assert_true(*size < 1u << 20);
    fclose(f);
    return bytes;
}

static void store(const char *to, const unsigned char *bytes, size_t size)
{
    FILE *f = fopen(to, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
}

/* Frames that end at or before byte `size`: events that must come out whole. */
static size_t whole_events(const unsigned char *bytes, size_t size)
{
    size_t at = HP_PREAMBLE_SIZE, events = 0;
    struct hp_frame f;

    while (at + HP_FRAME_SIZE <= size) {
        hp_frame_load(&f, bytes + at);
        at += HP_FRAME_SIZE + f.stored_bytes;
        if (at <= size)
            events += f.events;
    }
    return events;
}

static void test_cut_at_every_byte(void **state)
{
    struct hp_event *events = random_events(300);
    char cut[sizeof path + 4];
    unsigned char *bytes;
    size_t size;
    int end;

    (void)state;
    snprintf(cut, sizeof cut, "%s.cut", path);
    write_events(events, 300, 50, 1);
    bytes = load(&size);
    for (size_t n = 0; n < size; n++) {
        store(cut, bytes, n);
        assert_int_equal(read_events(cut, events, 300, &end), whole_events(bytes, n));
        assert_int_equal(end, n == 0 ? HP_E_NOT_A_TRACE : HP_E_CUT_OFF);
    }
    assert_int_equal(whole_events(bytes, size), 300);
    write_events(events, 300, 50, 0);
    assert_int_equal(read_events(path, events, 300, &end), 300);
    assert_int_equal(end, HP_E_CUT_OFF);
    unlink(cut);
    free(bytes);
    free(events);
}

static void test_flip_every_byte(void **state)
{
    static const unsigned char masks[] = { 0x01, 0x80, 0xff, 0x20 };
    struct hp_event *events = random_events(120);
    char bad[sizeof path + 4];
    unsigned char *bytes;
    size_t size;
    int end;

    (void)state;
    snprintf(bad, sizeof bad, "%s.bad", path);
    write_events(events, 120, 40, 1);
    bytes = load(&size);
    for (size_t n = 0; n < size; n++)
        for (size_t m = 0; m < sizeof masks; m++) {
            bytes[n] ^= masks[m];
            store(bad, bytes, size);
            read_events(bad, events, 120, &end);
            assert_true(end < 0);
            bytes[n] ^= masks[m];
        }
    bytes[size] = 0;
    store(bad, bytes, size + 1);
    read_events(bad, events, 120, &end);
    assert_int_equal(end, HP_E_CORRUPT);
    unlink(bad);
    free(bytes);
    free(events);
}

/* Damage behind a right checksum: the decoder must stand on its own. Any answer but a crash, a hang or an over-read. */
static void test_hostile_columns(void **state)
{
    struct hp_event *events = random_events(400), e;
    struct hp_encoder *encoder = hp_encoder_new();
    struct hp_decoder *decoder = hp_decoder_new();
    struct hp_block_start start = { 1, HP_HAS_TIME | HP_HAS_RESIDENT };
    const struct hp_bytes *out;

    (void)state;
    assert_int_equal(hp_encoder_run(encoder, events, 400, &start, &out), 0);
    for (int round = 0; round < 20000; round++) {
        unsigned char *copy = malloc(out->size);
        size_t n = 0;
        assert_non_null(copy);
        memcpy(copy, out->data, out->size);
        for (uint64_t hits = 1 + rnd() % 3; hits; hits--)
            copy[rnd() % out->size] = (unsigned char)rnd();
        if (hp_decoder_begin(decoder, copy, rnd() % 8 ? out->size : rnd() % out->size, 400, &start) == 0)
            while (hp_decoder_next(decoder, &e) == 1)
                assert_true(++n <= 400 && e.kind < HP_KIND_COUNT && (!e.old_id || e.old_id < 401));
        free(copy);
    }
    hp_encoder_free(encoder);
    hp_decoder_free(decoder);
    free(events);
}

/* A frame header that counts fewer or more events than the columns hold. */
static void test_wrong_count(void **state)
{
    struct hp_event *events = random_events(50), e;
    struct hp_encoder *encoder = hp_encoder_new();
    struct hp_decoder *decoder = hp_decoder_new();
    struct hp_block_start start = { 1, HP_HAS_TIME | HP_HAS_RESIDENT };
    const struct hp_bytes *out;

    (void)state;
    assert_int_equal(hp_encoder_run(encoder, events, 50, &start, &out), 0);
    for (uint32_t count = 49; count <= 51; count++) {
        int got;
        assert_int_equal(hp_decoder_begin(decoder, out->data, out->size, count, &start), 0);
        while ((got = hp_decoder_next(decoder, &e)) == 1)
            ;
        assert_int_equal(got, count == 50 ? 0 : HP_E_CORRUPT);
    }
    hp_encoder_free(encoder);
    hp_decoder_free(decoder);
    free(events);
}

static void expect_open(const unsigned char *bytes, size_t size, int wanted)
{
    char error[512];
    int code = 0;

    store(path, bytes, size);
    assert_null(hp_reader_open(path, &code, error, sizeof error));
    assert_int_equal(code, wanted);
}

static void test_hostile_headers(void **state)
{
    struct hp_event *events = random_events(10);
    unsigned char *bytes;
    size_t size;

    (void)state;
    write_events(events, 10, 0, 1);
    bytes = load(&size);
    hp_put_u32(bytes + HP_MAGIC_SIZE, HP_FORMAT_VERSION + 1);
    expect_open(bytes, size, HP_E_VERSION);
    hp_put_u32(bytes + HP_MAGIC_SIZE, HP_FORMAT_VERSION);
    hp_put_u32(bytes + HP_PREAMBLE_SIZE + 4, 0xffffffffu);
    expect_open(bytes, size, HP_E_CORRUPT);
    expect_open((const unsigned char *)"#!/bin/sh\necho no trace\n", 24, HP_E_NOT_A_TRACE);
    expect_open((const unsigned char *)"", 0, HP_E_NOT_A_TRACE);
    free(bytes);
    free(events);
}

/* Writes ten events and a table of call sites as often as `tables` says. */
static int write_sites(const struct hp_event *events, unsigned flags, int tables, const char *text)
{
    char error[512];
    struct hp_meta meta = { .flags = HP_HAS_TIME | HP_HAS_THREADS | HP_HAS_RESIDENT | flags };
    struct hp_trailer trailer = { 0 };
    hp_writer *w = hp_writer_open(path, &meta, error, sizeof error);

    assert_non_null(w);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(hp_writer_append(w, &events[i]), 0);
    for (int i = 0; i < tables; i++)
        hp_writer_sites(w, text);
    hp_writer_count(w, &trailer);
    return hp_writer_close(w, &trailer);
}

static void test_sites(void **state)
{
    static const char text[] = "3 300 200 a.out+0x10(main+0x4) ?\n1 1 1\n";
    struct hp_event *events = random_events(10), e;
    unsigned char *bytes;
    char error[512];
    size_t size;
    int end;
    hp_reader *r;

    (void)state;
    assert_int_equal(write_sites(events, HP_HAS_SITES, 1, text), 0);
    assert_int_equal(read_events(path, events, 10, &end), 10);
    r = hp_reader_open(path, &end, error, sizeof error);
    assert_null(hp_reader_sites(r));
    while (hp_reader_next(r, &e) == 1)
        ;
    assert_string_equal(hp_reader_sites(r), text);
    hp_reader_close(r);
    bytes = load(&size);
    assert_int_equal(hp_get_u32(bytes + HP_MAGIC_SIZE), 2);
    free(bytes);
    assert_int_equal(write_sites(events, HP_HAS_SITES, 2, text), 0);
    assert_int_equal(read_events(path, events, 10, &end), 10);
    assert_int_equal(end, HP_E_CORRUPT);
    assert_int_equal(write_sites(events, 0, 1, text), HP_E_INVALID);
    assert_int_equal(write_sites(events, 0, 0, text), 0);
    bytes = load(&size);
    assert_int_equal(hp_get_u32(bytes + HP_MAGIC_SIZE), 1);
    free(bytes);
    free(events);
}

static void test_writer_refuses(void **state)
{
    const struct hp_event wrong[] = {
        { .kind = HP_KIND_COUNT }, { .kind = HP_MALLOC, .id = 2 }, { .kind = HP_FREE, .old_id = 1 },
        { .kind = HP_FREE, .size = 1 }, { .kind = HP_MALLOC, .alignment = 8 }, { .kind = HP_MALLOC, .count = 1 },
        { .kind = HP_MEMALIGN, .alignment = 3 }, { .kind = HP_FREE, .id = 1 }, { .kind = HP_MALLOC, .time_ns = 1 },
        { .kind = HP_FREE, .resident_bytes = 1 },
    };
    char error[512];
    struct hp_meta meta = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        hp_writer *w = hp_writer_open(path, &meta, error, sizeof error);
        assert_non_null(w);
        assert_int_equal(hp_writer_append(w, &wrong[i]), HP_E_INVALID);
        assert_true(strlen(hp_writer_error(w)) > 0);
        assert_int_equal(hp_writer_close(w, NULL), HP_E_INVALID);
    }
}

static void test_checksum_is_crc32c(void **state)
{
    (void)state;
    assert_int_equal(hp_crc32c(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(hp_crc32c(hp_crc32c(0, "1234", 4), "56789", 5), 0xe3069283u);
}

/* Every "NAME = value" of FORMAT.md that names a constant, and every row of its table of kinds. */
static void test_document(void **state)
{
    static const struct { const char *name; uint64_t value; } constants[] = {
        { "version", HP_FORMAT_VERSION }, { "preamble bytes", HP_PREAMBLE_SIZE }, { "frame header bytes", HP_FRAME_SIZE },
        { "events per frame", HP_BLOCK_EVENTS }, { "stored bytes per frame", HP_STORED_MAX },
        { "stored bytes of META", HP_META_MAX }, { "time shift", HP_TIME_SHIFT }, { "columns", HP_COLUMNS },
        { "dictionary entries", HP_DICT_MAX }, { "size escape", HP_SIZE_ESCAPE }, { "recent codes", HP_OLD_RECENT },
        { "first far code", HP_OLD_NEAR }, { "old contexts", HP_OLD_CONTEXTS }, { "op none", HP_OP_NONE },
        { "op null", HP_OP_NULL }, { "op switch", HP_OP_SWITCH },
    };
    const char *src = getenv("SRC") ? getenv("SRC") : ".";
    char name[512], line[128], *text = calloc(1, 1u << 16);
    FILE *f;

    (void)state;
    snprintf(name, sizeof name, "%s/traces/FORMAT.md", src);
    f = fopen(name, "r");
    assert_non_null(f);
    assert_true(fread(text, 1, (1u << 16) - 1, f) > 1000);
    fclose(f);
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++) {
        snprintf(line, sizeof line, "| %s | %" PRIu64 " |", constants[i].name, constants[i].value);
        if (!strstr(text, line))
            fail_msg("traces/FORMAT.md has no row %s", line);
    }
    for (unsigned kind = 0; kind < HP_KIND_COUNT; kind++) {
        unsigned fields = hp_kind_fields(kind);
        snprintf(line, sizeof line, "| %u | %s |%s%s%s%s%s |", kind, hp_kind_name(kind), fields & HP_F_ID ? " id" : "",
                 fields & HP_F_OLD ? " old" : "", fields & HP_F_SIZE ? " size" : "", fields & HP_F_COUNT ? " count" : "",
                 fields & HP_F_ALIGN ? " alignment" : "");
        if (!strstr(text, line))
            fail_msg("traces/FORMAT.md has no row %s", line);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_meta_and_trailer),
        cmocka_unit_test(test_times_are_rounded_down), cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_flip_every_byte), cmocka_unit_test(test_hostile_columns), cmocka_unit_test(test_wrong_count),
        cmocka_unit_test(test_hostile_headers), cmocka_unit_test(test_writer_refuses),
        cmocka_unit_test(test_checksum_is_crc32c), cmocka_unit_test(test_sites), cmocka_unit_test(test_document),
    };
    int fd = mkstemp(path), failed;

    if (fd < 0)
        return 1;
    close(fd);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
