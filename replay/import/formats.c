/* formats.c - the table of importers. Adding a format: its file, its name in import.h, a row here. */
#include "import/import.h"

#include <string.h>

static const struct hp_importer *const importers[] = {
    &hp_import_android, &hp_import_csv, &hp_import_rep, &hp_import_mtrace, &hp_import_valgrind, &hp_import_heaptrack,
    &hp_import_wl, &hp_import_proto, &hp_import_ltrace, &hp_import_glibc_trace, &hp_import_utrace, &hp_import_alk,
    &hp_import_ctsrd, &hp_import_bpftrace,
};
#define IMPORTERS (sizeof importers / sizeof *importers)

const struct hp_importer *hp_importer_find(const char *name)
{
    for (size_t i = 0; i < IMPORTERS; i++)
        if (!strcmp(importers[i]->name, name))
            return importers[i];
    return NULL;
}

const struct hp_importer *hp_importer_detect(hp_source *source)
{
    const unsigned char *bytes;
    size_t size = hp_source_peek(source, &bytes, 4096);
    const struct hp_importer *best = NULL;
    int best_score = 0;

    for (size_t i = 0; i < IMPORTERS; i++) {
        int score = importers[i]->detect(bytes, size);
        if (score > best_score) {
            best_score = score;
            best = importers[i];
        }
    }
    return best;
}

void hp_importer_list(void (*each)(const struct hp_importer *importer))
{
    for (size_t i = 0; i < IMPORTERS; i++)
        each(importers[i]);
}
