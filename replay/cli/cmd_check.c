/* cmd_check.c - heaplay check FILE...: is the trace whole and consistent? One line each, exit 0 or 3. */
#include "cli/commands.h"
#include "trace/validate.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void print_ok(const char *path, const struct hp_validation *v, uint32_t sample)
{
    printf("%s: ok, %" PRIu64 " operations by %" PRIu32 " thread%s, %" PRIu64 " allocations, %" PRIu64 " reallocs, %"
           PRIu64 " frees, %" PRIu64 " blocks live at the end", path, v->operations, v->threads, v->threads == 1 ? "" : "s",
           v->made, v->moved, v->freed, v->live_at_end);
    if (sample)
        printf("; one object of %" PRIu32 " was recorded", sample);
    putchar('\n');
}

static int check_file(const char *path)
{
    char error[512];
    int code;
    hp_reader *reader = hp_reader_open(path, &code, error, sizeof error);
    struct hp_validation v;

    if (!reader) {
        fprintf(stderr, "heaplay check: %s\n", error);
        return HP_EXIT_BAD_INPUT;
    }
    code = hp_validate(reader, &v);
    if (code == 0) {
        print_ok(path, &v, hp_reader_meta(reader)->sample);
        if (hp_reader_trailer(reader)->lost_events)
            fprintf(stderr, "heaplay check: %s: the recorder lost %" PRIu64 " events; record it again\n", path,
                    hp_reader_trailer(reader)->lost_events);
    } else if (code == HP_E_INVALID) {
        fprintf(stderr, "heaplay check: %s: %s\n", path, v.text);
    } else {
        fprintf(stderr, "heaplay check: %s\n", v.text);
        printf("%s: not whole: the first %" PRIu64 " events are consistent, %" PRIu64 " blocks live after them\n", path,
               v.events, v.live_at_end);
    }
    hp_reader_close(reader);
    return code == 0 ? HP_EXIT_OK : HP_EXIT_BAD_INPUT;
}

int hp_cmd_check(int argc, char **argv)
{
    int worst = HP_EXIT_OK;

    if (argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        puts("usage: heaplay check FILE.hpt...      (- is standard input)\n"
             "Reads each trace to its end. Exit 0: whole and consistent; 3: what is wrong, and where, is printed.");
        return HP_EXIT_OK;
    }
    if (argc < 2) {
        fputs("heaplay check: no file given; usage: heaplay check FILE.hpt...\n", stderr);
        return HP_EXIT_USAGE;
    }
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-' && argv[i][1]) {
            fprintf(stderr, "heaplay check: unknown option '%s'; usage: heaplay check FILE.hpt...\n", argv[i]);
            return HP_EXIT_USAGE;
        }
        int code = check_file(argv[i]);
        if (code > worst)
            worst = code;
    }
    return worst;
}
