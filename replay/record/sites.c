/* sites.c - see sites.h. */
#include "record/sites.h"

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "record/shared.h"

/* Live bytes at the peak are noted late: when they change for the first time after it. */
struct site {
    uint64_t count, bytes, live, at_peak, peak;
    unsigned frames;
    uint64_t pc[HP_SITE_DEPTH];
};

struct function {
    uint64_t address, size;
    const char *name;
};

struct module {
    uint64_t base, size;
    char path[HP_PATH_BYTES];
    size_t path_room, path_used;
    void *file;                 /* mapped while names are looked up */
    size_t file_size;
    struct function *functions; /* by address */
    size_t function_count;
    uint64_t first;             /* lowest address of the file's segments */
};

struct hp_sites {
    struct site *site[HP_SITE_COUNT];
    struct module *modules;
    size_t module_count;
    uint64_t live, most, peak;  /* peak: number of the last one */
};

struct hp_sites *hp_sites_new(void)
{
    return calloc(1, sizeof(struct hp_sites));
}

void hp_sites_free(struct hp_sites *s)
{
    for (unsigned i = 0; s && i < HP_SITE_COUNT; i++)
        free(s->site[i]);
    if (s)
        free(s->modules);
    free(s);
}

static struct site *site_of(struct hp_sites *s, uint64_t number)
{
    static struct site none;
    struct site **at = &s->site[number % HP_SITE_COUNT];

    if (!*at)
        *at = calloc(1, sizeof **at);
    return *at ? *at : &none;
}

void hp_sites_module(struct hp_sites *s, uint64_t base, uint64_t size, size_t path_length)
{
    struct module *modules = realloc(s->modules, (s->module_count + 1) * sizeof *modules);

    if (!modules)
        return;
    s->modules = modules;
    modules[s->module_count++] = (struct module){.base = base, .size = size,
        .path_room = path_length < HP_PATH_BYTES ? path_length : HP_PATH_BYTES - 1};
}

void hp_sites_path(struct hp_sites *s, uint64_t first, uint64_t second)
{
    const uint64_t part[2] = {first, second};
    struct module *m = s->module_count ? &s->modules[s->module_count - 1] : NULL;
    size_t n = m ? m->path_room - m->path_used : 0;

    if (!n)
        return;
    n = n < sizeof part ? n : sizeof part;
    memcpy(m->path + m->path_used, part, n);
    m->path_used += n;
}

void hp_sites_frame(struct hp_sites *s, uint64_t number, uint64_t pc)
{
    struct site *site = site_of(s, number);

    if (site->frames < HP_SITE_DEPTH)
        site->pc[site->frames++] = pc;
}

static void change(struct hp_sites *s, struct site *site)
{
    if (site->peak != s->peak) {
        site->at_peak = site->live;
        site->peak = s->peak;
    }
}

void hp_sites_made(struct hp_sites *s, uint64_t number, uint64_t bytes)
{
    struct site *site = site_of(s, number);

    change(s, site);
    site->count++;
    site->bytes += bytes;
    site->live += bytes;
    s->live += bytes;
    if (s->live > s->most) {
        s->most = s->live;
        s->peak++;
    }
}

void hp_sites_freed(struct hp_sites *s, uint64_t number, uint64_t bytes)
{
    struct site *site = site_of(s, number);

    change(s, site);
    site->live -= bytes;
    s->live -= bytes;
}

static int by_address(const void *a, const void *b)
{
    const struct function *x = a, *y = b;

    return x->address < y->address ? -1 : x->address > y->address;
}

static const void *within(const struct module *m, uint64_t offset, uint64_t size)
{
    return offset <= m->file_size && size <= m->file_size - offset ? (const char *)m->file + offset : NULL;
}

/* The functions of a table of symbols. */
static void take_symbols(struct module *m, const Elf64_Shdr *table, const Elf64_Shdr *strings)
{
    const Elf64_Sym *symbols = within(m, table->sh_offset, table->sh_size);
    const char *names = within(m, strings->sh_offset, strings->sh_size);
    size_t count = table->sh_size / sizeof *symbols;

    if (!symbols || !names || !strings->sh_size || names[strings->sh_size - 1] != '\0' ||
        !(m->functions = malloc((count + 1) * sizeof *m->functions)))
        return;
    for (size_t i = 0; i < count; i++)
        if (ELF64_ST_TYPE(symbols[i].st_info) == STT_FUNC && symbols[i].st_value && symbols[i].st_name < strings->sh_size)
            m->functions[m->function_count++] =
                (struct function){symbols[i].st_value, symbols[i].st_size, names + symbols[i].st_name};
    qsort(m->functions, m->function_count, sizeof *m->functions, by_address);
}

static void read_sections(struct module *m)
{
    const Elf64_Ehdr *header = within(m, 0, sizeof *header);
    const Elf64_Phdr *segments;
    const Elf64_Shdr *sections, *best = NULL;

    if (!header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS64)
        return;
    segments = within(m, header->e_phoff, header->e_phnum * sizeof *segments);
    sections = within(m, header->e_shoff, header->e_shnum * sizeof *sections);
    m->first = UINT64_MAX;
    for (unsigned i = 0; segments && i < header->e_phnum; i++)
        if (segments[i].p_type == PT_LOAD && segments[i].p_vaddr < m->first)
            m->first = segments[i].p_vaddr;
    for (unsigned i = 0; sections && i < header->e_shnum; i++)
        if ((sections[i].sh_type == SHT_DYNSYM && !best) || sections[i].sh_type == SHT_SYMTAB)
            best = &sections[i];
    if (best && best->sh_link < header->e_shnum)
        take_symbols(m, best, &sections[best->sh_link]);
}

/* A module without a file that can be read has no names, only offsets. */
static void open_module(struct module *m)
{
    int fd = open(m->path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
        m->file_size = (size_t)st.st_size;
        m->file = mmap(NULL, m->file_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (m->file == MAP_FAILED)
            m->file = NULL;
        else
            read_sections(m);
    }
    if (fd >= 0)
        close(fd);
}

static void close_module(struct module *m)
{
    free(m->functions);
    if (m->file)
        munmap(m->file, m->file_size);
}

/* The function around an address of the file, or NULL. */
static const struct function *function_at(const struct module *m, uint64_t address)
{
    size_t low = 0, high = m->function_count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (m->functions[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low && address - m->functions[low - 1].address < m->functions[low - 1].size ? &m->functions[low - 1] : NULL;
}

/* " MODULE+0xOFFSET(NAME+0xOFFSET)"; the offset into the module is that of the file's addresses, which addr2line takes. */
static void print_frame(FILE *out, const struct hp_sites *s, uint64_t pc)
{
    for (size_t i = 0; i < s->module_count; i++) {
        const struct module *m = &s->modules[i];
        uint64_t address = pc - 1 - m->base + (m->file ? m->first : 0);        /* of the call, not behind it */
        const struct function *f;

        if (pc - m->base >= m->size)
            continue;
        fputc(' ', out);
        for (const char *c = strrchr(m->path, '/') ? strrchr(m->path, '/') + 1 : m->path; *c; c++)
            fputc(*c <= ' ' ? '_' : *c, out);
        fprintf(out, "+0x%llx", (unsigned long long)address);
        f = function_at(m, address);
        if (f)
            fprintf(out, "(%s+0x%llx)", f->name, (unsigned long long)(address - f->address));
        return;
    }
    fputs(" ?", out);
}

char *hp_sites_text(struct hp_sites *s)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    if (!out)
        return NULL;
    for (size_t i = 0; i < s->module_count; i++)
        open_module(&s->modules[i]);
    for (unsigned i = 0; i < HP_SITE_COUNT; i++) {
        struct site *site = s->site[i];

        if (!site || !site->count)
            continue;
        change(s, site);
        fprintf(out, "%llu %llu %llu", (unsigned long long)site->count, (unsigned long long)site->bytes,
                (unsigned long long)site->at_peak);
        for (unsigned k = 0; k < site->frames; k++)
            print_frame(out, s, site->pc[k]);
        fputc('\n', out);
    }
    for (size_t i = 0; i < s->module_count; i++)
        close_module(&s->modules[i]);
    return fclose(out) == 0 ? text : NULL;
}
