/* info_sites.c - heaplay info --sites: the call sites of a trace that was recorded with --sites, those that asked for most first.
 * Names of C++ are printed as in its sources when libstdc++ is there to do that: heaplay itself has no part in C++. */
#include "cli/info_sites.h"
#include "cli/commands.h"

#include <dlfcn.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 20 };

struct line {
    uint64_t count, bytes, at_peak;
    const char *frames;         /* to the end of the line */
};

static int by_bytes(const void *a, const void *b)
{
    const struct line *x = a, *y = b;

    return x->bytes > y->bytes ? -1 : x->bytes < y->bytes;
}

/* Every line of the text, or NULL: out of memory, or a line that is none. */
static struct line *parse(const char *text, size_t *count)
{
    size_t room = 1;
    struct line *lines;

    *count = 0;
    for (const char *c = text; *c; c++)
        room += *c == '\n';
    lines = malloc(room * sizeof *lines);
    while (lines && *text) {
        struct line *l = &lines[*count];
        int used = 0;

        if (*count + 1 == room ||
            sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64 "%n", &l->count, &l->bytes, &l->at_peak, &used) < 3) {
            free(lines);
            return NULL;
        }
        l->frames = text + used;
        text += strcspn(text, "\n");
        text += *text == '\n';
        ++*count;
    }
    return lines;
}

typedef char *demangler(const char *mangled, char *buffer, size_t *size, int *status);

static demangler *find_demangler(void)
{
    void *library = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_LOCAL);
    demangler *found = NULL;

    if (library)
        *(void **)&found = dlsym(library, "__cxa_demangle");
    return found;
}

/* "MODULE+0xOFFSET(NAME+0xOFFSET)" of n bytes. Returns whether the name is mangled still. */
static bool print_frame(const char *frame, size_t n, demangler *demangle)
{
    const char *open = memmem(frame, n, "(_Z", 3), *end = frame + n, *plus = open ? memrchr(frame, '+', n) : NULL;
    char *mangled = plus > open ? strndup(open + 1, (size_t)(plus - open - 1)) : NULL;
    int status = -1;
    char *name = mangled && demangle ? demangle(mangled, NULL, NULL, &status) : NULL;
    bool remains = mangled && !name;

    if (name)
        printf("      %.*s(%s%.*s\n", (int)(open - frame), frame, name, (int)(end - plus), plus);
    else
        printf("      %.*s\n", (int)n, frame);
    free(name);
    free(mangled);
    return remains;
}

static bool print_frames(const char *frames, demangler *demangle)
{
    bool remains = false;

    while (*frames == ' ') {
        size_t n = strcspn(++frames, " \n");

        remains |= print_frame(frames, n, demangle);
        frames += n;
    }
    return remains;
}

static void print(const char *path, uint32_t sample, const struct line *lines, size_t count)
{
    demangler *demangle = find_demangler();
    bool remains = false;

    printf("%s: %zu call site%s, by the bytes they asked for\n", path, count, count == 1 ? "" : "s");
    if (sample)
        printf("one object of %" PRIu32 " was recorded: the program asked for about %" PRIu32 " times as much\n", sample, sample);
    printf("%14s %14s %14s\n", "bytes", "calls", "live at peak");
    for (size_t i = 0; i < count && i < SHOWN; i++) {
        printf("%14" PRIu64 " %14" PRIu64 " %14" PRIu64 "\n", lines[i].bytes, lines[i].count, lines[i].at_peak);
        remains |= print_frames(lines[i].frames, demangle);
    }
    if (remains && !demangle)
        fprintf(stderr, "heaplay info: names of C++ are printed as the linker knows them, because libstdc++.so.6 is not "
                "installed; c++filt reads them\n");
}

int hp_info_sites(const char *path)
{
    char error[512];
    int code, got;
    struct hp_event event;
    struct line *lines = NULL;
    size_t count = 0;
    hp_reader *reader = hp_reader_open(path, &code, error, sizeof error);

    if (!reader) {
        fprintf(stderr, "heaplay info: %s\n", error);
        return HP_EXIT_BAD_INPUT;
    }
    while ((got = hp_reader_next(reader, &event)) == 1)
        continue;
    if (got < 0)
        fprintf(stderr, "heaplay info: %s\n", hp_reader_error(reader));
    else if (!hp_reader_sites(reader))
        fprintf(stderr, "heaplay info: %s: it holds no call sites; record it with --sites DEPTH\n", path);
    else if (!(lines = parse(hp_reader_sites(reader), &count)))
        fprintf(stderr, "heaplay info: %s: its table of call sites cannot be read; get a good copy of the file\n", path);
    if (lines) {
        qsort(lines, count, sizeof *lines, by_bytes);
        print(path, hp_reader_meta(reader)->sample, lines, count);
    }
    code = lines ? HP_EXIT_OK : HP_EXIT_BAD_INPUT;
    hp_reader_close(reader);
    free(lines);
    return code;
}
