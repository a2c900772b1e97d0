/* image.c - see image.h. */
#include "record/image.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_HEADERS = 64, MAX_DYNAMIC = 256, BATCH = 512 };

bool hp_image_read(int memory, uint64_t address, void *to, size_t size)
{
    return pread(memory, to, size, (off_t)address) == (ssize_t)size;
}

/* A string ends at a NUL or at the end of what can be read. */
static void read_string(int memory, uint64_t address, char *to, size_t size)
{
    ssize_t n = pread(memory, to, size - 1, (off_t)address);

    to[n > 0 ? n : 0] = '\0';
}

static uint64_t auxiliary(pid_t pid, uint64_t type)
{
    char path[64];
    uint64_t pair[2], value = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/auxv", (int)pid);
    f = fopen(path, "re");
    while (f && fread(pair, sizeof pair, 1, f) == 1 && pair[0] != AT_NULL)
        if (pair[0] == type)
            value = pair[1];
    if (f)
        fclose(f);
    return value;
}

/* The program's DT_DEBUG, which the loader makes point to its list. */
static uint64_t debug_address(int memory, pid_t pid)
{
    Elf64_Phdr headers[MAX_HEADERS];
    uint64_t at = auxiliary(pid, AT_PHDR), count = auxiliary(pid, AT_PHNUM), base = 0, dynamic = 0;
    Elf64_Dyn entry;

    if (!at || count > MAX_HEADERS || !hp_image_read(memory, at, headers, count * sizeof *headers))
        return 0;
    for (uint64_t i = 0; i < count; i++) {
        if (headers[i].p_type == PT_PHDR)
            base = at - headers[i].p_vaddr;
        else if (headers[i].p_type == PT_DYNAMIC)
            dynamic = headers[i].p_vaddr;
    }
    for (unsigned i = 0; dynamic && i < MAX_DYNAMIC; i++) {
        if (!hp_image_read(memory, base + dynamic + i * sizeof entry, &entry, sizeof entry) || entry.d_tag == DT_NULL)
            break;
        if (entry.d_tag == DT_DEBUG)
            return entry.d_un.d_ptr;
    }
    return 0;
}

uint64_t hp_image_first(int memory, pid_t pid, unsigned *state)
{
    uint64_t at = debug_address(memory, pid);
    struct r_debug debug;

    if (!at || !hp_image_read(memory, at, &debug, sizeof debug))
        return 0;
    *state = (unsigned)debug.r_state;
    return (uint64_t)(uintptr_t)debug.r_map;
}

static void note(struct hp_image *image, const Elf64_Dyn *entry)
{
    /* The loader has made these absolute, except in objects whose dynamic section cannot be written. */
    uint64_t address = entry->d_un.d_ptr < image->base ? image->base + entry->d_un.d_ptr : entry->d_un.d_ptr;

    switch (entry->d_tag) {
    case DT_SYMTAB:   image->symbols = address; break;
    case DT_STRTAB:   image->strings = address; break;
    case DT_GNU_HASH: image->hash = address; break;
    case DT_JMPREL:   image->calls = address; break;
    case DT_PLTRELSZ: image->calls_size = entry->d_un.d_val; break;
    case DT_RELA:     image->data = address; break;
    case DT_RELASZ:   image->data_size = entry->d_un.d_val; break;
    default: break;
    }
}

bool hp_image_load(int memory, uint64_t entry, struct hp_image *image)
{
    struct link_map map;
    Elf64_Dyn dynamic;

    memset(image, 0, sizeof *image);
    if (!hp_image_read(memory, entry, &map, sizeof map))
        return false;
    image->entry = entry;
    image->next = (uint64_t)(uintptr_t)map.l_next;
    image->base = map.l_addr;
    read_string(memory, (uint64_t)(uintptr_t)map.l_name, image->name, sizeof image->name);
    for (unsigned i = 0; i < MAX_DYNAMIC; i++) {
        if (!hp_image_read(memory, (uint64_t)(uintptr_t)(map.l_ld + i), &dynamic, sizeof dynamic))
            return false;
        if (dynamic.d_tag == DT_NULL)
            break;
        note(image, &dynamic);
    }
    return true;
}

static uint32_t gnu_hash(const char *name)
{
    uint32_t h = 5381;

    for (; *name; name++)
        h = h * 33 + (unsigned char)*name;
    return h;
}

uint64_t hp_image_symbol(int memory, const struct hp_image *image, const char *name)
{
    struct {
        uint32_t buckets, first, bloom, shift;
    } table;
    uint32_t wanted = gnu_hash(name), index, chained;
    uint64_t chains;
    char found[HP_SYMBOL_NAME];
    Elf64_Sym symbol;

    if (!image->hash || !hp_image_read(memory, image->hash, &table, sizeof table) || !table.buckets)
        return 0;
    chains = image->hash + sizeof table + table.bloom * 8ull;
    if (!hp_image_read(memory, chains + wanted % table.buckets * 4ull, &index, sizeof index) || index < table.first)
        return 0;
    chains += table.buckets * 4ull;
    for (;; index++) {
        if (!hp_image_read(memory, chains + (index - table.first) * 4ull, &chained, sizeof chained))
            return 0;
        if ((chained | 1) == (wanted | 1) &&
            hp_image_read(memory, image->symbols + index * sizeof symbol, &symbol, sizeof symbol)) {
            read_string(memory, image->strings + symbol.st_name, found, sizeof found);
            if (!strcmp(found, name) && symbol.st_shndx != SHN_UNDEF && ELF64_ST_TYPE(symbol.st_info) == STT_FUNC)
                return image->base + symbol.st_value;
        }
        if (chained & 1)
            return 0;
    }
}

void hp_image_functions(int memory, const struct hp_image *image, hp_image_function *take, void *context)
{
    char name[HP_SYMBOL_NAME];
    Elf64_Sym symbol;

    for (uint64_t at = image->symbols; at + sizeof symbol <= image->strings; at += sizeof symbol) {
        if (!hp_image_read(memory, at, &symbol, sizeof symbol) || symbol.st_shndx == SHN_UNDEF ||
            ELF64_ST_TYPE(symbol.st_info) != STT_FUNC)
            continue;
        read_string(memory, image->strings + symbol.st_name, name, sizeof name);
        take(context, name, image->base + symbol.st_value);
    }
}

/* The ways in which a symbol's address is written: for a call, to be fetched, and as data. */
#if defined(__x86_64__)
enum { CALL = R_X86_64_JUMP_SLOT, FETCH = R_X86_64_GLOB_DAT, STORED = R_X86_64_64 };
#elif defined(__aarch64__)
enum { CALL = R_AARCH64_JUMP_SLOT, FETCH = R_AARCH64_GLOB_DAT, STORED = R_AARCH64_ABS64 };
#else
enum { CALL = -1, FETCH = -1, STORED = -1 };
#endif

static void scan(int memory, const struct hp_image *image, uint64_t at, uint64_t size, hp_image_take *take, void *context)
{
    Elf64_Rela batch[BATCH];
    Elf64_Sym symbol;
    struct hp_slot_use use;

    for (uint64_t done = 0, n; done < size; done += n) {
        n = size - done < sizeof batch ? size - done : sizeof batch;
        if (!hp_image_read(memory, at + done, batch, n))
            return;
        for (uint64_t i = 0; i < n / sizeof *batch; i++) {
            int type = (int)ELF64_R_TYPE(batch[i].r_info);

            if ((type != CALL && type != FETCH && type != STORED) ||
                !hp_image_read(memory, image->symbols + ELF64_R_SYM(batch[i].r_info) * sizeof symbol, &symbol, sizeof symbol))
                continue;
            use.address = image->base + batch[i].r_offset;
            use.is_data = type == STORED;
            read_string(memory, image->strings + symbol.st_name, use.symbol, sizeof use.symbol);
            take(context, &use);
        }
    }
}

void hp_image_slots(int memory, const struct hp_image *image, hp_image_take *take, void *context)
{
    scan(memory, image, image->calls, image->calls_size, take, context);
    scan(memory, image, image->data, image->data_size, take, context);
}
