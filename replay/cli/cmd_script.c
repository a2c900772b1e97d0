/* cmd_script.c - heaplay bench, report, compare, advise: hand over to scripts/NAME.py of the source tree.
 * The tree is found upwards from the program, or named by HEAPLAY_HOME; scripts/python.sh names the interpreter. */
#include "cli/commands.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Leaves in home the directory that has scripts/python.sh; 0 when there is none. */
static int find_home(char home[PATH_MAX])
{
    const char *named = getenv("HEAPLAY_HOME");
    char probe[PATH_MAX + 32];
    ssize_t n;

    if (named) {
        snprintf(home, PATH_MAX, "%s", named);
        snprintf(probe, sizeof probe, "%s/scripts/python.sh", home);
        return access(probe, R_OK) == 0;
    }
    n = readlink("/proc/self/exe", home, PATH_MAX - 1);
    if (n < 0)
        return 0;
    home[n] = 0;
    for (char *slash; (slash = strrchr(home, '/')) && slash != home;) {
        *slash = 0;
        snprintf(probe, sizeof probe, "%s/scripts/python.sh", home);
        if (access(probe, R_OK) == 0)
            return 1;
    }
    return 0;
}

/* First line that scripts/python.sh prints: the interpreter. */
static int find_python(const char *home, char python[PATH_MAX])
{
    char command[PATH_MAX + 64];
    FILE *pipe;
    size_t n = 0;

    if (strchr(home, '\''))
        return 0;
    snprintf(command, sizeof command, "bash '%s/scripts/python.sh'", home);
    pipe = popen(command, "r");
    if (!pipe)
        return 0;
    if (fgets(python, PATH_MAX, pipe))
        n = strcspn(python, "\n");
    python[n] = 0;
    return pclose(pipe) == 0 && n > 0;
}

int hp_cmd_script(int argc, char **argv)
{
    char home[PATH_MAX], python[PATH_MAX], script[PATH_MAX + 64];
    char **arguments = calloc((size_t)argc + 2, sizeof *arguments);

    if (!arguments || !find_home(home)) {
        fprintf(stderr, "heaplay %s: the directory scripts/ was not found upwards from the program; set HEAPLAY_HOME to "
                "the source tree\n", argv[0]);
        free(arguments);
        return HP_EXIT_USAGE;
    }
    snprintf(script, sizeof script, "%s/scripts/%s.py", home, argv[0]);
    if (access(script, R_OK)) {
        fprintf(stderr, "heaplay %s: %s: %s\n", argv[0], script, strerror(errno));
    } else if (!find_python(home, python)) {
        fprintf(stderr, "heaplay %s: no Python with the needed packages was found; 'make deps' in %s installs them\n",
                argv[0], home);
    } else {
        arguments[0] = python;
        arguments[1] = script;
        for (int i = 1; i < argc; i++)
            arguments[i + 1] = argv[i];
        execv(python, arguments);
        fprintf(stderr, "heaplay %s: cannot run %s: %s\n", argv[0], python, strerror(errno));
    }
    free(arguments);
    return HP_EXIT_USAGE;
}
