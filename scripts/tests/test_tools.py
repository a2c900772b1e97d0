"""The test runner, the layer check, the set-up and the choice of Python, each made to fail as well as to pass."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import check_layers
import run_tests

SCRIPTS = Path(__file__).resolve().parent.parent


def program(tmp_path, body, name="test_it.sh"):
    path = tmp_path / name
    path.write_text("#!/bin/bash\n" + body)
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("body, passed, failed, problem", [
    ("echo 'ok 1 - a'; echo 'ok 2 - b'; echo 1..2", 2, 0, None),
    ("echo 1..2; echo 'ok 1 - a'; echo 'not ok 2 - b'; exit 1", 1, 1, "not ok 2"),
    ("echo 'ok 1 - a'", 1, 1, "no plan"),
    ("echo 1..3; echo 'ok 1 - a'", 1, 1, "planned 3 tests, ran 1"),
    ("echo 1..0", 0, 1, "no test ran"),
    ("true", 0, 1, "no plan"),
    ("echo 1..1; echo 'ok 1 - a'; kill -SEGV $$", 1, 1, "SIGSEGV"),
    ("echo 1..1; echo 'ok 1 - a'; exit 3", 1, 1, "exit status 3"),
    ("echo 1..1; echo 'ok 1 - a'; sleep 60", 1, 1, "did not end within"),
    ("echo 1..1; echo 'ok 1 - a'; sleep 60 & exit 0", 1, 0, None),
])
def test_runner_counts(tmp_path, body, passed, failed, problem):
    outcome = run_tests.run_program(program(tmp_path, body), "it", tmp_path, timeout=2)
    assert (outcome.passed, outcome.failed) == (passed, failed)
    assert problem is None or any(problem in text for text in outcome.problems)


def test_runner_counts_skips(tmp_path):
    body = "echo 'ok 1 - a # SKIP no such tool'; echo 'ok 2 - b'; echo 1..2"
    outcome = run_tests.run_program(program(tmp_path, body), "it", tmp_path, timeout=5)
    assert (outcome.passed, outcome.skipped, outcome.failed) == (1, 1, 0)


def test_runner_gives_out_and_src(tmp_path):
    body = f'[ "$OUT" = "{tmp_path}" ] && [ -f "$SRC/Makefile" ] && echo "ok 1 - a"; echo 1..1'
    assert run_tests.run_program(program(tmp_path, body), "it", tmp_path, timeout=5).passed == 1


@pytest.mark.parametrize("body, status, last", [
    ("echo 1..1; echo 'ok 1 - a'", 0, "1 passed, 0 failed"),
    ("echo 1..1; echo 'not ok 1 - a'; exit 1", 1, "0 passed, 1 failed"),
])
def test_runner_closes_with_the_count(tmp_path, body, status, last):
    done = subprocess.run([sys.executable, SCRIPTS / "run_tests.py", program(tmp_path, body)], text=True,
                          capture_output=True, check=False)
    assert done.returncode == status
    assert done.stdout.splitlines()[-1] == last


def test_tap_helper(tmp_path):
    body = f"""source {SCRIPTS}/tests/tap.sh
ok 'true is true' true
not_ok 'false is false' false
exits 'seven' 7 bash -c 'exit 7'
is 'equal' a a
like 'alike' 'abc 123' '[0-9]+'
skip 'away' 'no reason'
{{}}
tap_end
"""
    good = run_tests.run_program(program(tmp_path, body.format("")), "it", tmp_path, timeout=5)
    assert (good.passed, good.skipped, good.failed) == (5, 1, 0)
    for wrong in ("ok x false", "not_ok x true", "exits x 3 true", "is x a b", "like x abc '^b'"):
        bad = run_tests.run_program(program(tmp_path, body.format(wrong)), "it", tmp_path, timeout=5)
        assert (bad.passed, bad.failed) == (5, 1), wrong


@pytest.mark.parametrize("path, line, rule", [
    ("replay/record/preload.c", '#include "trace/reader_internal.h"', "replay/record may not know"),
    ("replay/engine/loop.c", '#include "cli/commands.h"', "replay/engine may not know"),
    ("replay/engine/loop.c", "#include <jemalloc/jemalloc.h>", "only allocs/ may know"),
    ("replay/trace/reader.c", '#include "trace/format.c"', "no file includes a .c file"),
    ("allocator/src/bins.c", '#include "heap.h"', "bins may not know heap"),
    ("allocator/src/novel.c", '#include "heap.h"', "novel.c belongs to no layer"),
    ("allocator/src/heap.c", "void *p = mmap(0, n, 0, 0, -1, 0);", "only os_*.c makes system calls"),
    ("allocator/src/pool.c", 'char *s = getenv("X");', "only tunables.c reads the environment"),
    ("allocator/src/heap.c", "errno = ENOMEM;", "only api*.c sets errno"),
    ("replay/bench/micro/main.cc", '#include "trace/trace.h"', "replay/bench may not know"),
    ("allocator/tests/unit/test_pool.c", "TEST(cells_come_back)", "cells_come_back is never run"),
])
def test_layer_check_sees(tmp_path, path, line, rule):
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(f"/* mmap( and getenv( in a comment are fine */\n{line}\n")
    offences = check_layers.check(tmp_path)
    assert len(offences) == 1 and rule in offences[0] and f"{path}:2" in offences[0]


def test_layer_check_passes_what_is_allowed(tmp_path):
    for path, line in [("replay/record/preload.c", '#include "trace/trace.h"'),
                       ("replay/cli/cmd_replay.c", '#include "engine/run.h"'),
                       ("allocator/src/heap.c", '#include "bins.h"'), ("allocator/src/os_linux.c", "mmap(0);"),
                       ("allocator/src/api.c", "errno = ENOMEM;"), ("allocator/src/pool.c", "if (errno == 3) x();"),
                       ("replay/tests/unit/test_plan.c", "TEST(ends)\n{ cmocka_unit_test(ends) }")]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(line + "\n")
    assert not check_layers.check(tmp_path)


def run_setup(tmp_path, needs, os_release="ID=debian", tools=None, **env):
    """Runs setup.sh with a package table and package tools of its own; returns (status, stderr, log of commands)."""
    table = tmp_path / "packages.txt"
    table.write_text("".join(f"g {need}\n" for need in needs))
    release = tmp_path / "os-release"
    release.write_text(os_release + "\n")
    log = tmp_path / "log"
    log.write_text("")
    tools = {"dpkg-query": 'echo "installed have-it"', "sudo": 'exec "$@"',
             "apt-get": f'echo "apt-get $*" >> {log}',
             "apt-cache": '[ "$2" = unknown ] || printf "%s:\\n  Candidate: 1.0\\n" "$2"', **(tools or {})}
    place = tmp_path / "bin"
    place.mkdir(exist_ok=True)
    for name, body in tools.items():
        program(place, body, name)
    done = subprocess.run(["bash", SCRIPTS / "setup.sh", "g"], text=True, capture_output=True, check=False, env={
        **{key: value for key, value in os.environ.items() if key != "NO_INSTALL"},
        "PATH": f"{place}:{os.environ['PATH']}", "HEAPLAY_PACKAGES": str(table), "HEAPLAY_OS_RELEASE": str(release), **env})
    return done.returncode, done.stderr, log.read_text()


def test_setup_is_silent_when_nothing_is_missing(tmp_path):
    assert run_setup(tmp_path, ["have-it f a r", "other|have-it f a r"]) == (0, "", "")


def test_setup_installs_what_is_missing_after_an_update(tmp_path):
    status, said, log = run_setup(tmp_path, ["have-it f a r", "wanted f a r", "unknown|second f a r"])
    assert status == 0 and "missing packages: wanted" in said
    assert [line.split()[-1] for line in log.splitlines()] == ["update", "second"]
    assert " wanted second" in log and "have-it" not in log


def test_setup_only_names_with_no_install(tmp_path):
    status, said, log = run_setup(tmp_path, ["wanted f a r"], NO_INSTALL="1")
    assert status == 2 and "missing packages: wanted" in said and log == ""


def test_setup_goes_on_without_optional_packages(tmp_path):
    status, said, log = run_setup(tmp_path, ["?unknown f a r"])
    assert status == 0 and "has no unknown" in said and "install" not in log
    assert run_setup(tmp_path, ["?unknown f a r"], NO_INSTALL="1")[0] == 0


def test_setup_refuses_what_no_source_offers(tmp_path):
    status, said, _ = run_setup(tmp_path, ["unknown f a r"])
    assert status == 2 and "no package source offers unknown" in said


@pytest.mark.parametrize("system, tool, name, command", [
    ("fedora", "rpm", "for-fedora", "dnf install"), ("alpine", "apk", "for-alpine", "apk add"),
    ("arch", "pacman", "for-arch", "pacman -S"),
])
def test_setup_names_the_packages_of_other_systems(tmp_path, system, tool, name, command):
    status, said, log = run_setup(tmp_path, ["d for-fedora for-alpine for-arch"], f"ID={system}", {tool: "exit 1"})
    assert status == 2 and f"missing packages: {name}" in said and command in said and log == ""
    assert run_setup(tmp_path, ["d for-fedora for-alpine for-arch"], f"ID={system}", {tool: "exit 0"})[0] == 0


def test_package_table_is_whole():
    for line in (SCRIPTS / "packages.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            assert len(line.split()) == 5, line


def python_sh(tmp_path, *modules, **env):
    return subprocess.run(["bash", SCRIPTS / "python.sh", *modules], text=True, capture_output=True, check=False,
                          env={**os.environ, **env})


def test_python_says_which_and_why(tmp_path):
    program(tmp_path, "echo \"ModuleNotFoundError: No module named 'numpy'\" >&2; exit 1", "python3")
    done = python_sh(tmp_path, "numpy", PATH=f"{tmp_path}:/usr/bin:/bin", PYTHON="")
    assert done.returncode == 0 and Path(done.stdout.strip()).is_file()
    assert f"because {tmp_path}/python3: ModuleNotFoundError" in done.stderr


def test_python_puts_semicolons_between_reasons_only(tmp_path):
    bad = [program(tmp_path, f"echo '{name} is old' >&2; exit 1", name) for name in ("first", "python3")]
    for named, reasons in (("first", f"{bad[0]}: first is old; {bad[1]}: python3 is old"), ("", f"{bad[1]}: python3 is old")):
        done = python_sh(tmp_path, "json", PATH=f"{tmp_path}:/usr/bin:/bin", PYTHON=named)
        assert done.stderr == f"python: using {done.stdout.strip()}, because {reasons}\n"


def test_python_without_any(tmp_path):
    done = python_sh(tmp_path, "no_such_module_anywhere")
    assert done.returncode == 2 and done.stdout == "" and "none can import" in done.stderr
    assert "; run scripts/setup.sh scripts" in done.stderr and ";;" not in done.stderr and "; ;" not in done.stderr


@pytest.mark.skipif(not shutil.which("make"), reason="no make")
def test_make_knows_every_documented_command():
    done = subprocess.run(["make", "help"], cwd=SCRIPTS.parent, text=True, capture_output=True, check=True)
    for target in ("bench", "test", "replay", "report", "record", "micro", "programs", "build", "scoreboard", "traces",
                   "lint", "clean", "test-long", "test-portability"):
        assert f"make {target} " in done.stdout
    done = subprocess.run(["make", "-n", "record", "CMD=true", "OUT=some.hpt"], cwd=SCRIPTS.parent, text=True,
                          capture_output=True, check=False)
    assert 'build/release/heaplay record -o "some.hpt" -- true' in done.stdout


@pytest.mark.skipif(not shutil.which("make"), reason="no make")
@pytest.mark.parametrize("variable", ["RUN", "RESULTS"])
def test_make_report_takes_a_run(variable):
    done = subprocess.run(["make", "-n", "report", f"{variable}=results/some"], cwd=SCRIPTS.parent, text=True,
                          capture_output=True, check=False)
    assert "scripts/report.py results/some" in done.stdout
