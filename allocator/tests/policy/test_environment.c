/* test_environment.c - tunables by the environment: what is read, what is said about wrong names and values (one line, and the
 * default holds), and that a setuid program reads none of it. Run with an argument it is the program that is made setuid. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include "support.h"

struct text {
    const char *variable, *value;
    const char *name;           /* the tunable to look at */
    size_t wanted;
    const char *said;           /* on stderr; NULL: nothing */
};

static const struct text texts[] = {
    { "CELLMALLOC_CONF", "batch:7", "batch", 7, NULL },
    { "CELLMALLOC_CONF", "top_pad:3K,batch:9", "top_pad", 3072, NULL },
    { "CELLMALLOC_CONF", "batch:9,top_pad:2m", "top_pad", 2 << 20, NULL },
    { "CELLMALLOC_CONF", "mmap_threshold:1G", "mmap_threshold", 1 << 30, NULL },
    { "CELLMALLOC_CONF", ",,batch:9,", "batch", 9, NULL },
    { "CELLMALLOC_CONF", "batch:9,batch:10", "batch", 10, NULL },
    { "CELLMALLOC_CONF", "bitch:9,batch:5", "batch", 5, "\"bitch:9\" ignored: no such tunable" },
    { "CELLMALLOC_CONF", "batch:0", "batch", 0, "\"batch:0\" ignored: the value must be a number from 1 to 512" },
    { "CELLMALLOC_CONF", "batch:x", "batch", 0, "\"batch:x\" ignored: the value must be" },
    { "CELLMALLOC_CONF", "batch:5x", "batch", 0, "\"batch:5x\" ignored" },
    { "CELLMALLOC_CONF", "batch:-1", "batch", 0, "\"batch:-1\" ignored" },
    { "CELLMALLOC_CONF", "batch:5KK", "batch", 0, "\"batch:5KK\" ignored" },
    { "CELLMALLOC_CONF", "batch:", "batch", 0, "\"batch:\" ignored" },
    { "CELLMALLOC_CONF", "batch", "batch", 0, "\"batch\" ignored" },
    { "CELLMALLOC_CONF", "top_pad:99999999999999999999999", "top_pad", 0, "ignored" },
    { "CELLMALLOC_CONF", "top_pad:99999999999999999G", "top_pad", 0, "ignored" },
    { "CELLMALLOC_CONF", "help", "batch", 0, "small_limit:128" },
    { "MALLOC_MMAP_THRESHOLD_", "70000", "mmap_threshold", 70000, NULL },
    { "MALLOC_MMAP_MAX_", "5", "mmap_max", 5, NULL },
    { "MALLOC_TRIM_THRESHOLD_", "70000", "purge_min", 70000, NULL },
    { "MALLOC_TOP_PAD_", "70000", "top_pad", 70000, NULL },
    { "MALLOC_PERTURB_", "17", "perturb", 17, NULL },
    { "MALLOC_TOP_PAD_", "seven", "top_pad", 0, "MALLOC_TOP_PAD_" },
    { "MALLOC_PERTURB_", "256", "perturb", 0, "MALLOC_PERTURB_: \"256\" ignored: the value must be a number from 0 to 255" },
    { "CELLMALLOC_CONF2", "batch:7", "batch", 0, NULL },
};

static void read_text(const void *argument)
{
    const struct text *t = argument;
    size_t before = option_value(t->name);
    char said[16384] = "";
    int pipes[2], old = dup(2);

    setenv(t->variable, t->value, 1);
    REQUIRE(pipe(pipes) == 0);
    dup2(pipes[1], 2);
    must_malloc(10);
    dup2(old, 2);
    fcntl(pipes[0], F_SETFL, O_NONBLOCK);
    ssize_t length = read(pipes[0], said, sizeof said - 1);
    said[length > 0 ? length : 0] = '\0';

    if (t->said != NULL && strcmp(t->value, "help") != 0)      /* one line, and nothing behind it */
        REQUIRE(strchr(said, '\n') == said + strlen(said) - 1);
    size_t wanted = t->wanted != 0 ? t->wanted : before, got = option_value(t->name);
    if (got != wanted || (t->said == NULL ? said[0] != '\0' : strstr(said, t->said) == NULL)) {
        fprintf(stderr, "# %s=%s: %s is %zu, wanted %zu; said: %s\n", t->variable, t->value, t->name, got, wanted, said);
        _exit(1);
    }
}

static void text_of_the_environment(void **state)
{
    int wrong = 0;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        wrong += status_of_child(read_text, &texts[i]) != 0;
    assert_int_equal(wrong, 0);
}

/* ---- memory before there is an environment ------------------------------------------------------------------------------- */

static void *use_malloc(void *unused)
{
    cell_free(must_malloc(112));
    return unused;
}

/* The next thread's first call reads what the first could not: what a heap may change, and no more. */
TEST(the_environment_may_come_late)
{
    char late[] = "CELLMALLOC_CONF=small_limit:0,batch:9", said[300] = "", *variables[] = { late, NULL };
    size_t small_limit = option_value("small_limit");
    pthread_t thread;
    int ends[2];

    REQUIRE(pipe(ends) == 0 && dup2(ends[1], 2) == 2);
    environ = NULL;
    memset(must_malloc(112), 1, 112);
    environ = variables;
    REQUIRE(pthread_create(&thread, NULL, use_malloc, NULL) == 0);
    pthread_join(thread, NULL);
    REQUIRE_EQUAL(option_value("batch"), 9);
    REQUIRE_EQUAL(option_value("small_limit"), small_limit);
    REQUIRE(read(ends[0], said, sizeof said - 1) > 0);
    REQUIRE(strstr(said, "\"small_limit:0\" ignored: memory has been allocated already") != NULL);
    REQUIRE_SOUND_HEAP();
}

/* ---- setuid programs ---------------------------------------------------------------------------------------------------- */

#define NOBODY 65534

/* The program that is made setuid: what it has read. */
static int show(void)
{
    cell_free(must_malloc(10));
    printf("secure:%lu batch:%zu top_pad:%zu\n", getauxval(AT_SECURE), option_value("batch"), option_value("top_pad"));
    return 0;
}

static void copy_self(const char *path, mode_t mode)
{
    int from = open("/proc/self/exe", O_RDONLY), to = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    char bytes[65536];
    ssize_t length;

    assert_true(from >= 0 && to >= 0);
    while ((length = read(from, bytes, sizeof bytes)) > 0)
        assert_int_equal(write(to, bytes, (size_t)length), length);
    assert_int_equal(fchmod(to, mode), 0);
    close(from);
    close(to);
}

/* Runs the copy as another user with tunables in the environment; leaves what it says on both streams. */
static void run_as_nobody(const char *path, char *said, size_t size)
{
    static char conf[] = "CELLMALLOC_CONF=batch:7,nonsense:1,help", pad[] = "MALLOC_TOP_PAD_=70000";
    int pipes[2], status = -1;
    size_t have = 0;
    ssize_t length;

    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(pipes[1], 1);
        dup2(pipes[1], 2);
        if (setgid(NOBODY) == 0 && setuid(NOBODY) == 0)
            execve(path, (char *[]){ (char *)(uintptr_t)path, (char *)(uintptr_t)"show", NULL }, (char *[]){ conf, pad, NULL });
        _exit(127);
    }
    close(pipes[1]);
    while ((length = read(pipes[0], said + have, size - 1 - have)) > 0)
        have += (size_t)length;
    said[have] = '\0';
    close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void setuid_programs_read_nothing(void **state)
{
    char directory[] = "/tmp/cellmalloc-setuid-XXXXXX", path[64], said[16384], wanted[128];

    (void)state;
    if (getuid() != 0) {
        print_message("# needs root, to make a program setuid and run it as another user\n");
        skip();
    }
    assert_non_null(mkdtemp(directory));
    chmod(directory, 0755);
    snprintf(path, sizeof path, "%s/program", directory);

    copy_self(path, 0755);                  /* the same program without the bit reads it all */
    run_as_nobody(path, said, sizeof said);
    int reads = strstr(said, "secure:0 batch:7 top_pad:70000\n") != NULL && strstr(said, "nonsense") != NULL;
    unlink(path);

    copy_self(path, 04755);
    run_as_nobody(path, said, sizeof said);
    unlink(path);
    rmdir(directory);
    assert_true(reads);
    if (strncmp(said, "secure:0", 8) == 0) {
        print_message("# /tmp is mounted nosuid: no program there is setuid\n");
        skip();
    }
    snprintf(wanted, sizeof wanted, "secure:1 batch:%zu top_pad:%zu\n", option_value("batch"), option_value("top_pad"));
    assert_string_equal(said, wanted);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_of_the_environment), cmocka_unit_test(the_environment_may_come_late), cmocka_unit_test(setuid_programs_read_nothing),
    };

    (void)argv;
    if (argc > 1)
        return show();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
