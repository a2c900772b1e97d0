/* test_fuzz_import.c - importers on damaged input: mutated bytes of a small valid file of each format, a fixed seed. Whatever
 * comes in, an import ends, under AddressSanitizer without a fault, and what it wrote is a consistent trace.
 * LONG=1 (or HEAPLAY_LONG=1) makes a hundred times as many rounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "import/import.h"
#include "trace/validate.h"

#define ROUNDS 25

#define BYTES(text) (text), sizeof (text) - 1

static const struct seed {
    const char *format, *bytes;
    size_t size;
} seeds[] = {
    { "android", BYTES("7: malloc 0x10 100 10 20\n7: calloc 0x20 3 7 30 40\n8: realloc 0x30 0x10 50 50 60\n"
                       "8: memalign 0x40 64 9 70 80\n7: free 0x20 90 99 -1\n7: thread_done 0x0 100\n7: free 0x0 101 102\n") },
    { "csv", BYTES("kind,thread,time_ns,id,old_id,size,count,alignment\nmalloc,0,1,1,0,10,0,0\n"
                   "reallocarray,1,5,2,1,3,4,0\naligned_alloc,1,6,3,0,64,0,64\nfree_sized,0,9,0,2,12,0,0\n") },
    { "rep", BYTES("20\n2\n5\n1\na 0 512\na 1 128\nr 0 640\nf 1\nf 0\n") },
    { "mtrace", BYTES("= Start\n@ ./t:[0x1] + 0x10 0x64\n@ ./t:(main+0x1)[0x2] < 0x10\n@ ./t:[0x2] > 0x20 0x1388\n"
                      "! 0x20 0xfff\n+ (nil) 0x5\n- 0x20\n= End\n") },
    { "valgrind", BYTES("==5== Memcheck\n--5-- malloc(100) = 0x10\n--5-- realloc(0x0,7)malloc(7) = 0x20\n"
                        "--5-- memalign(al 64, size 200) = 0x30\n--5-- _Znwm(8) = 0x40\n--5-- _ZdlPvm(0x40)\n--5-- free(0x30)\n") },
    { "valgrind", BYTES("--00:00:00:01.250 5-- _Znwm(4)_Znwm(24) = 0x10\n--00:00:00:01.251 5--  = 0x30\n"
                        "--00:00:00:01.252 5-- realloc(0x20,0)free(0x20)\n--00:00:00:01.252 5--  = 0\n--00:00:00:01.252 6-- free(0x10)\n") },
    { "heaptrack", BYTES("v 10400 3\nx 5 ./prg\nc 0\n+ 64 1 7f10\nc a\n+ 20 1 7f20\n- 7f10\n") },
    { "heaptrack", BYTES("v 10400 3\na 64 1\n+ 0\na 20 1\n+ 1\n+ 0\nc a\n- 0\n- 0\n- 1\n+ 1\n") },
    { "ltrace", BYTES("9 malloc(100) = 0x10\n9 libc.so.6->calloc(3, 0x7) = 0x20\n9 realloc(0x10, 50 <unfinished ...>\n"
                      "8 _Znwm(8 <unfinished ...>\n8 malloc(8) = 0x30\n8 <... _Znwm resumed> , 1) = 0x30\n"
                      "9 <... realloc resumed> ) = 0x40\n8 12:00:00.5 [0x1] free(nil) = <void>\n") },
    { "utrace", BYTES(" 7 p USER  malloc_init()\n 7 p USER  0x10 = malloc(100)\n 7 p USER  0x20 = realloc(0x10, 50)\n"
                      " 7 p USER  free(0x20)\n") },
    { "ctsrd", BYTES("@record-type:call-trace\ttimestamp-unix-ns\tcallstack\ttid\tname\targs\tresult\talloc-stack\tcpu-time-ns\n"
                     "call-trace\t1000\ta\t70\tmalloc\t100\t7fa0\t\t1\ncall-trace\t1768\ta\t71\trealloc\t7fa0 9\t7fc0\t\t1\n"
                     "call-trace\t1832\ta\t70\tfree\t7fc0\t\t\t1\n") },
    { "bpftrace", BYTES("Attaching 15 probes...\n70 5000 malloc 100 = 0x10\n71 5064 posix_memalign 64 9 = 0x20\n"
                        "71 5128 reallocarray 0x10 7 2 = 0x30\n70 5192 free 0x30\nLost 5 events\n") },
    { "wl", BYTES("\10\5\11\2\12\2\13\14\13\34\1\0" "\2\1\211\122\3\2\202\54\6\1\14\3\100\201\0\1"
                  "\7\1\4\1\1\204\242\160\5\1\5\0\15\4\12\2\4\24\1") },
    { "proto", BYTES("\12\7\12\5\10\0\20\322\11" "\12\10\42\6\10\1\20\3\30\7" "\12\11\32\7\10\0\20\0\30\210\47"
                     "\12\2\22\0" "\12\6\22\4\10\0\20\5\20\3") },
    { "glibc-trace", BYTES("\5\0\0\0\377\0\0\0\64\22\0\0\0\0\0\0" "\0\0\0\0\0\0\0\0\10\0\0\0\0\0\0\0" "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                           "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                           "\5\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0" "\0\20\0\0\0\0\0\0\144\0\0\0\0\0\0\0" "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                           "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                           "\6\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0" "\0\20\0\0\0\0\0\0\62\0\0\0\0\0\0\0" "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                           "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                           "\5\0\0\0\4\0\0\0\0\20\0\0\0\0\0\0" "\0\40\0\0\0\0\0\0\144\0\0\0\0\0\0\0" "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                           "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0") },
    /* Buffers of threads 2 and 1, a death, a barrier and the end: the words are those of make_foreign.py. */
    { "alk", BYTES("\344\143\275\154" "\47\2\10\25" "\3\102\6\2\110\201" "\103\2\14\5" "\101\141\2\3\5"
                   "\36\10\2\120\117\2\124\37") },
    { "alk", BYTES("\5\0\0\0\0\0\0\0" "\7\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" "\7\0\0\0\0\0\0\0\0\372\0\0\0\0\0\0\1\0\0\0\0\0\0\0"
                   "\0\0\0\0\0\0\0\0" "\144\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" "\4\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\54\1\0\0\0\0\0\0"
                   "\2\2\0\0\0\0\0\0" "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0") },
};
#define SEEDS (sizeof seeds / sizeof *seeds)

static uint64_t random_state = 0x5eed;

static uint64_t rnd(uint64_t below)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (random_state >> 11) % below;
}

/* Overwrites, inserts, deletes, repeats or cuts: what damage there is. */
static size_t mutate(unsigned char *bytes, size_t size, size_t room)
{
    static const unsigned char telling[] = { 0, 1, 127, 128, 255, '0', '9', ' ', '\n', '(', ')', '-', '<', '\t' };
    size_t at = rnd(size), n = 1 + rnd(8);

    switch (rnd(6)) {
    case 0:
        bytes[at] = (unsigned char)rnd(256);
        break;
    case 1:
        bytes[at] = telling[rnd(sizeof telling)];
        break;
    case 2:
        bytes[at] ^= (unsigned char)(1u << rnd(8));
        break;
    case 3:
        if (size > 1)
            memmove(bytes + at, bytes + at + 1, --size - at);
        break;
    case 4:
        if (size + n <= room) {
            memmove(bytes + at + n, bytes + at, size - at);
            size += n;
        }
        break;
    default:
        size = rnd(4) ? size : 1 + rnd(size);
    }
    return size;
}

/* Imports the bytes and returns how many operations came of it; the trace must be consistent. */
static uint64_t import_bytes(const char *format, const void *bytes, size_t size)
{
    char in[64], out[64], origin[] = "imported:fuzz", error[512];
    int in_fd = memfd_create("in", 0), out_fd = memfd_create("out", 0), code;
    const struct hp_importer *importer = hp_importer_find(format);
    struct hp_import_report report;
    struct hp_validation validation;
    struct hp_trailer trailer = { .exit_status = -1 };
    struct hp_meta meta = { .origin = origin };
    const unsigned char *head;
    hp_source *source;
    hp_reader *reader;
    hp_writer *writer;
    hp_import *import;

    snprintf(in, sizeof in, "/proc/self/fd/%d", in_fd);
    snprintf(out, sizeof out, "/proc/self/fd/%d", out_fd);
    assert_int_equal(write(in_fd, bytes, size), size);
    source = hp_source_open(in, error, sizeof error);
    if (!source) {                      /* damage that looks like a broken archive */
        close(in_fd);
        close(out_fd);
        return 0;
    }
    size = hp_source_peek(source, &head, 4096);
    (void)hp_importer_detect(source);
    assert_non_null(importer);
    meta.flags = importer->flags(head, size);
    writer = hp_writer_open(out, &meta, error, sizeof error);
    assert_non_null(writer);
    import = hp_import_begin(writer, meta.flags);
    importer->parse(import, source);
    if (hp_import_end(import, &report))
        fail_msg("%s: the writer refused: %s", format, hp_writer_error(writer));
    hp_writer_count(writer, &trailer);
    assert_int_equal(hp_writer_close(writer, &trailer), 0);
    hp_source_close(source);
    reader = hp_reader_open(out, &code, error, sizeof error);
    assert_non_null(reader);
    if (hp_validate(reader, &validation))
        fail_msg("%s: %s", format, validation.text);
    assert_int_equal(validation.operations, report.operations + report.replaced);
    hp_reader_close(reader);
    close(in_fd);
    close(out_fd);
    return report.operations;
}

static void test_seeds_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < SEEDS; i++)
        if (import_bytes(seeds[i].format, seeds[i].bytes, seeds[i].size) < 2)
            fail_msg("%s: the undamaged input %zu gives fewer than two operations", seeds[i].format, i);
}

static void test_damage(void **state)
{
    unsigned char bytes[4096];
    int rounds = getenv("LONG") || getenv("HEAPLAY_LONG") ? 100 * ROUNDS : ROUNDS;

    (void)state;
    for (int round = 0; round < rounds; round++)
        for (size_t i = 0; i < SEEDS; i++) {
            size_t size = seeds[i].size;
            memcpy(bytes, seeds[i].bytes, size);
            for (uint64_t hits = 1 + rnd(5); hits > 0; hits--)
                size = mutate(bytes, size, sizeof bytes);
            import_bytes(seeds[i].format, bytes, size);
        }
}

/* Every seed as every format: what is not meant for an importer must not hurt it either. */
static void test_wrong_format(void **state)
{
    (void)state;
    for (size_t i = 0; i < SEEDS; i++)
        for (size_t j = 0; j < SEEDS; j++)
            import_bytes(seeds[j].format, seeds[i].bytes, seeds[i].size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seeds_are_read),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_wrong_format),
    };

    return cmocka_run_group_tests_name("damaged input of importers", tests, NULL, NULL);
}
