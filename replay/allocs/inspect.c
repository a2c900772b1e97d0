/* inspect.c - looks into a library without loading it: is it one, does it export malloc, which version is it. */
#include "allocs/allocs.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__x86_64__)
#define NATIVE_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define NATIVE_MACHINE EM_AARCH64
#elif defined(__i386__)
#define NATIVE_MACHINE EM_386
#else
#define NATIVE_MACHINE EM_NONE
#endif

static bool exports(const char *file, size_t size, const char *name)
{
    const ElfW(Ehdr) *head = (const void *)file;

    if (head->e_shoff == 0 || head->e_shoff + (size_t)head->e_shnum * sizeof(ElfW(Shdr)) > size)
        return false;
    const ElfW(Shdr) *section = (const void *)(file + head->e_shoff);
    for (unsigned i = 0; i < head->e_shnum; i++) {
        const ElfW(Shdr) *s = &section[i];
        if (s->sh_type != SHT_DYNSYM || s->sh_link >= head->e_shnum || s->sh_offset + s->sh_size > size)
            continue;
        const ElfW(Shdr) *names = &section[s->sh_link];
        if (names->sh_offset + names->sh_size > size || names->sh_size == 0)
            continue;
        const ElfW(Sym) *symbol = (const void *)(file + s->sh_offset);
        for (size_t k = 0; k < s->sh_size / sizeof *symbol; k++)
            if (symbol[k].st_shndx != SHN_UNDEF && symbol[k].st_name < names->sh_size &&
                strncmp(file + names->sh_offset + symbol[k].st_name, name, names->sh_size - symbol[k].st_name) == 0)
                return true;
    }
    return false;
}

/* What is wrong with the file; NULL: nothing. symbol NULL: whatever it exports. */
static const char *judge(const char *file, size_t size, const char *symbol)
{
    const ElfW(Ehdr) *head = (const void *)file;

    if (size < sizeof *head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0)
        return "is not a shared library (no ELF file)";
    if (head->e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
        (NATIVE_MACHINE != EM_NONE && head->e_machine != NATIVE_MACHINE))
        return "is built for another machine";
    if (head->e_type != ET_DYN)
        return "is not a shared library";
    if (symbol && !exports(file, size, symbol))
        return "does not export";
    return NULL;
}

int hp_inspect_library(const char *path, const char *symbol, char *error, size_t error_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    const char *fault = "is empty";

    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        snprintf(error, error_size, "%s: cannot be read as a library: %s", path,
                 fd < 0 ? strerror(errno) : "not a regular file");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (st.st_size > 0) {
        char *file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        fault = file == MAP_FAILED ? "cannot be mapped" : judge(file, (size_t)st.st_size, symbol);
        if (file != MAP_FAILED)
            munmap(file, (size_t)st.st_size);
    }
    close(fd);
    if (fault && strcmp(fault, "does not export") == 0)
        snprintf(error, error_size, "%s does not export %s: give a library that can be preloaded in place of malloc, or "
                 "NAME=PREFIX:PATH for one whose calls have a prefix", path, symbol);
    else if (fault)
        snprintf(error, error_size, "%s %s: give a library that can be preloaded in place of malloc", path, fault);
    return fault ? -1 : 0;
}

/* Texts of a section, each once, to `build` as far as it has room. */
static void add_texts(const char *from, size_t bytes, char *build, size_t size)
{
    for (size_t at = 0, n; at < bytes; at += n + 1) {
        const char *text = from + at;
        size_t used = strlen(build);
        n = strnlen(text, bytes - at);
        if (n && n < bytes - at && !strstr(build, text))
            snprintf(build + used, size - used, "%s%s", used ? "; " : "", text);
    }
}

/* What compilers leave behind: their name in .comment, with -frecord-gcc-switches or -frecord-command-line their flags. */
static void read_build(const char *file, size_t size, char *build, size_t build_size)
{
    const ElfW(Ehdr) *head = (const void *)file;

    if (judge(file, size, NULL) || head->e_shoff == 0 || head->e_shstrndx >= head->e_shnum ||
        head->e_shoff + (size_t)head->e_shnum * sizeof(ElfW(Shdr)) > size)
        return;
    const ElfW(Shdr) *section = (const void *)(file + head->e_shoff), *names = &section[head->e_shstrndx];
    if (names->sh_offset + names->sh_size > size || names->sh_size == 0)
        return;
    for (unsigned i = 0; i < head->e_shnum; i++) {
        const ElfW(Shdr) *s = &section[i];
        if (s->sh_name >= names->sh_size || s->sh_type == SHT_NOBITS || s->sh_offset + s->sh_size > size)
            continue;
        const char *name = file + names->sh_offset + s->sh_name;
        size_t room = names->sh_size - s->sh_name;
        if (strncmp(name, ".comment", room) == 0 || strncmp(name, ".GCC.command.line", room) == 0)
            add_texts(file + s->sh_offset, s->sh_size, build, build_size);
    }
}

void hp_inspect_build(const char *path, char *build, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    build[0] = 0;
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0) {
        char *file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (file != MAP_FAILED) {
            read_build(file, (size_t)st.st_size, build, size);
            munmap(file, (size_t)st.st_size);
        }
    }
    if (fd >= 0)
        close(fd);
}

bool hp_inspect_is_allocator(const char *path)
{
    static const char *const calls[] = { "malloc", "free", "calloc", "realloc" };
    char error[1200];

    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (hp_inspect_library(path, calls[i], error, sizeof error) != 0)
            return false;
    return true;
}

/* The package manager knows best; a versioned file name is the next best. */
static bool package_version(const char *path, char *version, size_t size)
{
    static const char script[] = "p=$(dpkg-query -S \"$1\" 2>/dev/null | head -n1 | cut -d: -f1) && [ -n \"$p\" ] && "
                                 "dpkg-query -W -f='${Package} ${Version}\n' \"$p\" 2>/dev/null | head -n1";
    int pipe_fd[2];
    size_t used = 0;
    ssize_t n;

    if (pipe2(pipe_fd, O_CLOEXEC) != 0)
        return false;
    pid_t child = fork();
    if (child == 0) {
        dup2(pipe_fd[1], 1);
        execl("/bin/sh", "sh", "-c", script, "sh", path, (char *)NULL);
        _exit(127);
    }
    close(pipe_fd[1]);
    while (child > 0 && used < size - 1 && (n = read(pipe_fd[0], version + used, size - 1 - used)) > 0)
        used += (size_t)n;
    close(pipe_fd[0]);
    if (child > 0)
        waitpid(child, NULL, 0);
    version[used] = 0;
    version[strcspn(version, "\n")] = 0;
    return version[0] != 0;
}

void hp_inspect_version(const char *path, char *version, size_t size)
{
    version[0] = 0;
    if (package_version(path, version, size))
        return;
    const char *base = strrchr(path, '/');
    const char *so = base ? strstr(base, ".so.") : NULL;
    snprintf(version, size, "%s", so ? so + 4 : "");
}
