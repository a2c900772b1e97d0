/* inspect.c - looks into a library without loading it: is it one, does it export malloc, which version is it. */
#include "allocs/allocs.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gnu/libc-version.h>
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

static const char *judge(const char *file, size_t size)
{
    const ElfW(Ehdr) *head = (const void *)file;

    if (size < sizeof *head || memcmp(head->e_ident, ELFMAG, SELFMAG) != 0)
        return "is not a shared library (no ELF file)";
    if (head->e_ident[EI_CLASS] != (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) ||
        (NATIVE_MACHINE != EM_NONE && head->e_machine != NATIVE_MACHINE))
        return "is built for another machine";
    if (head->e_type != ET_DYN)
        return "is not a shared library";
    if (!exports(file, size, "malloc"))
        return "does not export malloc";
    return NULL;
}

int hp_inspect_library(const char *path, char *error, size_t error_size)
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
        fault = file == MAP_FAILED ? "cannot be mapped" : judge(file, (size_t)st.st_size);
        if (file != MAP_FAILED)
            munmap(file, (size_t)st.st_size);
    }
    close(fd);
    if (fault)
        snprintf(error, error_size, "%s %s: give a library that can be preloaded in place of malloc", path, fault);
    return fault ? -1 : 0;
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
    if (!path[0]) {
        snprintf(version, size, "glibc %s", gnu_get_libc_version());
        return;
    }
    if (package_version(path, version, size))
        return;
    const char *base = strrchr(path, '/');
    const char *so = base ? strstr(base, ".so.") : NULL;
    snprintf(version, size, "%s", so ? so + 4 : "");
}
