#include "tunables.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"
#include "place.h"
#include "sizeclass.h"
#include "text.h"

extern char **environ;

struct cell_options cell_option = {
#define CELL_TUNABLE(name, initial, minimum, maximum, unit, when, text) .name = (size_t)(initial),
#include "tunables.def"
#undef CELL_TUNABLE
    .binned_size = CELL_BINNED_MAX,
};

enum when { START, ANY };

struct row {
    const char *name;
    size_t *value;
    uint64_t minimum, maximum;
    enum when when;
};

static const struct row rows[] = {
#define CELL_TUNABLE(name, initial, minimum, maximum, unit, when, text) \
    { #name, &cell_option.name, minimum, maximum, when },
#include "tunables.def"
#undef CELL_TUNABLE
};

/* What CELLMALLOC_CONF=help prints of each row. */
static const struct { char unit[8], text[136]; } about[] CELL_LOOKS_ON = {
#define CELL_TUNABLE(name, initial, minimum, maximum, unit, when, text) { unit, text },
#include "tunables.def"
#undef CELL_TUNABLE
};

#define ROW_COUNT (sizeof rows / sizeof rows[0])

/* glibc's environment names that have a counterpart here. */
static const struct { const char *variable, *name; } glibc_names[] = {
    { "MALLOC_MMAP_THRESHOLD_", "mmap_threshold" },
    { "MALLOC_MMAP_MAX_",       "mmap_max" },
    { "MALLOC_TRIM_THRESHOLD_", "purge_min" },
    { "MALLOC_TOP_PAD_",        "top_pad" },
    { "MALLOC_PERTURB_",        "perturb" },
};

static const struct row *find_row(const char *name, size_t length)
{
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (strlen(rows[i].name) == length && memcmp(rows[i].name, name, length) == 0)
            return &rows[i];
    return NULL;
}

/* Caches keep chunks up to cache_limit; where that is at its highest, they may keep some beyond. Other threads may be reading. */
static void settle_bins(void)
{
    bool highest = cell_option.cache_limit >= CELL_CLASS_MIN - CELL_WORD;

    __atomic_store_n(&cell_option.binned_size, highest ? CELL_BINNED_MAX : cell_option.cache_limit + CELL_WORD, __ATOMIC_RELAXED);
}

/* What follows from the values; and what harden.c needs: each call on the slow path, from the first block on. */
static void settle(void)
{
    settle_bins();
    if (cell_option.harden > 1)
        cell_option.count_requests = 1;
    if (cell_option.count_requests != 0)
        cell_option.cache_bytes = cell_option.map_cache_share = 0;
    if (cell_option.perturb != 0)
        cell_option.cache_bytes = 0;    /* so that every call takes the slow path, which fills */
}

static enum cell_tunable_result set_row(const struct row *row, uint64_t value, bool started)
{
    if (row == NULL)
        return CELL_TUNABLE_UNKNOWN;
    if (value < row->minimum || value > row->maximum || value > SIZE_MAX)
        return CELL_TUNABLE_RANGE;
    if (row->when == START && started)
        return CELL_TUNABLE_TOO_LATE;
    if (row->value == &cell_option.small_limit)
        value = value / 16 * 16;        /* cells come in steps of the alignment */
    if (row->value == &cell_option.cache_limit)     /* and so do chunks, each of which is cached for all its requests or none */
        value = value < 16 - sizeof(size_t) ? 0 : (value + sizeof(size_t)) / 16 * 16 - sizeof(size_t);
    *row->value = (size_t)value;
    if (row->value == &cell_option.mmap_threshold)
        cell_option.mmap_dynamic = 0;
    settle();
    return CELL_TUNABLE_OK;
}

void cell_tunables_share(size_t limit)
{
    if (cell_option.cache_limit < limit)
        __atomic_store_n(&cell_option.cache_limit, limit, __ATOMIC_RELAXED);
    settle_bins();
}

enum cell_tunable_result cell_tunables_set(const char *name, size_t value, bool started)
{
    return set_row(find_row(name, strlen(name)), value, started);
}

void cell_tunables_set_nearest(const char *name, size_t value, bool started)
{
    const struct row *row = find_row(name, strlen(name));
    uint64_t nearest = value < row->minimum ? row->minimum : value > row->maximum ? row->maximum : value;

    set_row(row, nearest, started);
}

bool cell_tunables_get(const char *name, size_t *value)
{
    const struct row *row = find_row(name, strlen(name));

    if (row == NULL)
        return false;
    *value = *row->value;
    return true;
}

__attribute__((cold, noinline))
static void warn(const char *variable, const char *setting, size_t length, enum cell_tunable_result why,
                 const struct row *row)
{
    struct cell_text line;

    cell_text_start_fd(&line, 2);
    cell_text_string(&line, "cellmalloc: ");
    cell_text_string(&line, variable);
    cell_text_string(&line, ": \"");
    cell_text_add(&line, setting, length < 80 ? length : 80);
    if (why == CELL_TUNABLE_UNKNOWN) {
        cell_text_string(&line, "\" ignored: no such tunable; CELLMALLOC_CONF=help lists them");
    } else if (why == CELL_TUNABLE_TOO_LATE) {
        cell_text_string(&line, "\" ignored: memory has been allocated already, before there was an environment");
    } else {
        cell_text_string(&line, "\" ignored: the value must be a number from ");
        cell_text_number(&line, row->minimum);
        cell_text_string(&line, " to ");
        cell_text_number(&line, row->maximum);
    }
    cell_text_string(&line, "\n");
    cell_text_finish(&line);
}

void cell_tunables_help(void)
{
    struct cell_text line;

    cell_text_start_fd(&line, 2);
    for (size_t i = 0; i < ROW_COUNT; i++) {
        cell_text_string(&line, rows[i].name);
        cell_text_string(&line, ":");
        cell_text_number(&line, *rows[i].value);
        cell_text_string(&line, "  [");
        cell_text_number(&line, rows[i].minimum);
        cell_text_string(&line, "..");
        cell_text_number(&line, rows[i].maximum);
        cell_text_string(&line, " ");
        cell_text_string(&line, about[i].unit);
        cell_text_string(&line, rows[i].when == START ? ", at start] " : "] ");
        cell_text_string(&line, about[i].text);
        cell_text_string(&line, "\n");
    }
    cell_text_finish(&line);
}

/* A decimal number with an optional K, M or G; false on anything else. */
static bool parse_number(const char *text, size_t length, uint64_t *value)
{
    size_t i = 0;

    *value = 0;
    for (; i < length && text[i] >= '0' && text[i] <= '9'; i++) {
        if (*value > (UINT64_MAX - 9) / 10)
            return false;
        *value = *value * 10 + (uint64_t)(text[i] - '0');
    }
    if (i == 0)
        return false;
    if (i == length)
        return true;
    unsigned shift = text[i] == 'K' || text[i] == 'k' ? 10 : text[i] == 'M' || text[i] == 'm' ? 20
                   : text[i] == 'G' || text[i] == 'g' ? 30 : 0;
    if (shift == 0 || i + 1 != length || *value > UINT64_MAX >> shift)
        return false;
    *value <<= shift;
    return true;
}

static void apply(const char *variable, const char *setting, size_t setting_length, const struct row *row,
                  const char *text, size_t length, bool started)
{
    uint64_t value;
    enum cell_tunable_result result = row == NULL ? CELL_TUNABLE_UNKNOWN : CELL_TUNABLE_RANGE;

    if (row != NULL && parse_number(text, length, &value))
        result = set_row(row, value, started);
    if (result != CELL_TUNABLE_OK)
        warn(variable, setting, setting_length, result, row);
}

/* "name:value,name:value" */
static void apply_list(const char *variable, const char *list, bool started)
{
    while (*list != '\0') {
        size_t length = strcspn(list, ",");
        const char *colon = memchr(list, ':', length);

        if (length == 4 && memcmp(list, "help", 4) == 0)
            cell_tunables_help();
        else if (length != 0) {
            size_t name_length = colon == NULL ? length : (size_t)(colon - list);
            const char *text = colon == NULL ? list + length : colon + 1;
            apply(variable, list, length, find_row(list, name_length), text, (size_t)(list + length - text), started);
        }
        list += length;
        list += *list == ',';
    }
}

static const char *value_of(const char *entry, const char *variable)
{
    size_t length = strlen(variable);

    return strncmp(entry, variable, length) == 0 && entry[length] == '=' ? entry + length + 1 : NULL;
}

/* CEL... or MALL...: compared without a string, whose page a small process would have for this alone. */
static bool may_be_ours(const char *entry)
{
    return (entry[0] == 'C' && entry[1] == 'E' && entry[2] == 'L') ||
           (entry[0] == 'M' && entry[1] == 'A' && entry[2] == 'L' && entry[3] == 'L');
}

bool cell_tunables_load(bool started)
{
    if (environ == NULL)
        return false;
    if (cell_os_is_setuid())
        return true;
    for (char **entry = environ; *entry != NULL; entry++) {
        if (!may_be_ours(*entry))
            continue;
        const char *conf = value_of(*entry, "CELLMALLOC_CONF");
        if (conf != NULL)
            apply_list("CELLMALLOC_CONF", conf, started);
        for (size_t i = 0; i < sizeof glibc_names / sizeof glibc_names[0]; i++) {
            const char *text = value_of(*entry, glibc_names[i].variable);
            const char *name = glibc_names[i].name;
            if (text != NULL)
                apply(glibc_names[i].variable, text, strlen(text), find_row(name, strlen(name)), text, strlen(text), started);
        }
    }
    return true;
}
