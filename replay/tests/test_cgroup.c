/* test_cgroup.c - limits of control groups, read from made up hierarchies of both versions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "measure/cgroup.h"

static char root[64], groups[80];

/* Writes a file below the root; directories are made on the way. */
static void put(const char *path, const char *text)
{
    char command[512];

    snprintf(command, sizeof command, "mkdir -p \"$(dirname '%s/%s')\" && printf '%%s\\n' '%s' >'%s/%s'", root, path, text, root,
             path);
    assert_int_equal(system(command), 0);
}

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/heaplay-cgroup-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    snprintf(groups, sizeof groups, "%s/groups", root);
    return 0;
}

static int remove_root(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -r '%s'", root);
    return system(command);
}

static void the_least_limit_of_version_2_counts(void **state)
{
    (void)state;
    put("a/b/memory.max", "max");
    put("a/b/cpu.max", "150000 100000");
    put("a/memory.max", "1048576");
    put("a/cpu.max", "max 100000");
    put("groups", "0::/a/b");
    assert_int_equal(hp_cgroup_memory_kib(groups, root), 1024);
    assert_true(hp_cgroup_cpus(groups, root) == 1.5);
    put("a/b/memory.max", "524288");
    assert_int_equal(hp_cgroup_memory_kib(groups, root), 512);
    put("groups", "0::/");
    assert_int_equal(hp_cgroup_memory_kib(groups, root), -1);
    assert_true(hp_cgroup_cpus(groups, root) < 0);
}

static void the_least_limit_of_version_1_counts(void **state)
{
    (void)state;
    put("memory/x/memory.limit_in_bytes", "2097152");
    put("memory/memory.limit_in_bytes", "9223372036854771712");
    put("cpu,cpuacct/cpu.cfs_quota_us", "-1");
    put("cpu,cpuacct/cpu.cfs_period_us", "100000");
    put("groups", "4:memory:/x/gone\n2:cpu,cpuacct:/\n0::/");
    assert_int_equal(hp_cgroup_memory_kib(groups, root), 2048);
    assert_true(hp_cgroup_cpus(groups, root) < 0);
    put("cpu,cpuacct/y/cpu.cfs_quota_us", "50000");
    put("cpu,cpuacct/y/cpu.cfs_period_us", "100000");
    put("groups", "4:memory:/\n2:cpu,cpuacct:/y\n0::/");
    assert_int_equal(hp_cgroup_memory_kib(groups, root), -1);
    assert_true(hp_cgroup_cpus(groups, root) == 0.5);
}

static void version_2_beside_version_1_is_found(void **state)
{
    (void)state;
    put("unified/z/memory.max", "4194304");
    put("groups", "1:name=systemd:/z\n0::/z");
    assert_int_equal(hp_cgroup_memory_kib(groups, root), 4096);
}

static void nothing_known_is_no_limit(void **state)
{
    (void)state;
    assert_int_equal(hp_cgroup_memory_kib("/nonexistent", root), -1);
    put("groups", "nonsense\n0::/..");
    assert_true(hp_cgroup_cpus(groups, root) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_least_limit_of_version_2_counts, make_root, remove_root),
        cmocka_unit_test_setup_teardown(the_least_limit_of_version_1_counts, make_root, remove_root),
        cmocka_unit_test_setup_teardown(version_2_beside_version_1_is_found, make_root, remove_root),
        cmocka_unit_test_setup_teardown(nothing_known_is_no_limit, make_root, remove_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
