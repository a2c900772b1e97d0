"""Programs: identity from the linker's bindings, rows and ratios from runs, inputs that never change."""
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import programs  # noqa: E402
from heaplay_bench import allocators, control, run  # noqa: E402
from heaplay_report import schema  # noqa: E402
from workloads import catalog, inputs  # noqa: E402

OUT = Path(os.environ.get("OUT", Path(__file__).resolve().parents[2] / "build" / "release"))


def bindings(*lines):
    return allocators.parse_bindings("".join(
        f"  12:\tbinding file {asker} [0] to {giver} [0]: normal symbol `{symbol}' [GLIBC_2.2.5]\n"
        for asker, giver, symbol in lines))


def test_every_call_bound_to_the_library_is_proof():
    assert allocators.judge_bindings(bindings(("/x/prog", "/x/liba.so", "malloc"),
                                              ("/x/libc.so.6", "/x/liba.so", "free")),
                                     "/x/liba.so") == (True, "proved")


def test_one_call_bound_elsewhere_is_no_proof():
    proved, text = allocators.judge_bindings(
        bindings(("/x/prog", "/x/liba.so", "malloc"), ("/x/libz.so", "/x/libc.so.6", "free")), "/x/liba.so")
    assert not proved and "/x/libz.so" in text and "/x/libc.so.6" in text


def test_a_program_that_takes_mallocs_address_is_followed():
    bound = bindings(("/x/prog", "/x/liba.so", "malloc"), ("/x/libc.so.6", "/x/prog", "malloc"))
    assert allocators.judge_bindings(bound, "/x/liba.so")[0]


def test_a_program_with_its_own_malloc_is_noticed():
    proved, text = allocators.judge_bindings(bindings(("/x/libc.so.6", "/x/prog", "malloc")), "/x/liba.so")
    assert not proved and "/x/prog" in text


OWN = r"""
#include <stdio.h>
#include <stdlib.h>
int main(void) { char *p = malloc(100); snprintf(p, 100, "%d", 42); puts(p); free(p); return 0; }
"""


@pytest.mark.skipif(not shutil.which("cc") or not (OUT / "broken" / "libnone.so").exists(), reason="no cc, or not built")
def test_a_program_linked_with_an_allocator_of_its_own_is_noticed(tmp_path):
    """As Debian's redis-server is with jemalloc: under "glibc" it must not run with the allocator that it brought."""
    library = (OUT / "broken" / "libnone.so").resolve()
    (tmp_path / "own.c").write_text(OWN)
    subprocess.run(["cc", "-o", tmp_path / "own", tmp_path / "own.c", library], check=True)
    subprocess.run(["cc", "-o", tmp_path / "plain", tmp_path / "own.c"], check=True)
    chosen = [allocators.find("glibc", OUT), allocators.find("cellmalloc", OUT)]
    for name, own in (("own", str(library)), ("plain", None)):
        subject = programs.Subject(catalog.Workload(name, (str(tmp_path / name),), (), "", "prints"), tmp_path / "out", 1)
        subject.prove(chosen)
        assert subject.own_allocator == own
        assert {subject.identity[one.name] for one in chosen} == {(True, "proved")}
        assert subject.environment(chosen[0]).get("LD_PRELOAD") == (allocators.libc_path() if own else None)


def test_the_allocators_own_calls_into_libc_do_not_count():
    bound = bindings(("/x/prog", "/x/liba.so", "malloc"), ("/x/liba.so", "/x/libc.so.6", "calloc"))
    assert allocators.judge_bindings(bound, "/x/liba.so")[0]


def test_variants_carry_their_settings(tmp_path):
    library = tmp_path / "lib.so"
    library.write_bytes(b"")
    found = allocators.find(f"x={library}@A=1,B=two", tmp_path)
    assert found.name == "x@A=1,B=two" and found.environment() == {"A": "1", "B": "two", "LD_PRELOAD": str(library)}
    assert allocators.find("glibc@MALLOC_ARENA_MAX=1", tmp_path).environment() == {"MALLOC_ARENA_MAX": "1"}
    assert allocators.find("glibc@CONF=a:1,b:2,X=3", tmp_path).environment() == {"CONF": "a:1,b:2", "X": "3"}
    with pytest.raises(allocators.AllocatorError, match="VAR=VALUE"):
        allocators.find("glibc@nonsense", tmp_path)


def test_find_names_what_is_absent(tmp_path):
    with pytest.raises(allocators.AllocatorError, match="unknown"):
        allocators.find("nosuch", tmp_path)
    with pytest.raises(allocators.AllocatorError, match="is installed"):
        allocators.find("jemalloc", tmp_path, cache={})
    with pytest.raises(allocators.AllocatorError, match="no file"):
        allocators.find("x=/nowhere/lib.so", tmp_path)
    with pytest.raises(allocators.AllocatorError, match="make build"):
        allocators.find("cellmalloc", tmp_path)


def line(**changed):
    return {"elapsed_ns": 10, "user_us": 3, "system_us": 4, "peak_rss_kib": 100, "minor_faults": 7, "major_faults": 0,
            "exit": 0, "signal": 0, "timeout": False, "output": "h", **changed}


@pytest.mark.parametrize("changed, status", [({}, "ok"), ({"exit": 3}, "crashed"), ({"signal": 11}, "crashed"),
                                             ({"signal": 9, "timeout": True}, "timeout")])
def test_status(changed, status):
    assert run.status_of(line(**changed))[0] == status


class FakeSubject:
    workload = catalog.BY_NAME["perl"]
    own_allocator = None
    identity = {"a": (True, "proved"), "b": (False, "malloc came from elsewhere")}


def test_rows():
    a, b = allocators.Allocator("a", "/x/a.so"), allocators.Allocator("b", "/x/b.so")
    row = programs.row_of(FakeSubject, a, [(0, line()), (1, line(elapsed_ns=30))], "h")
    assert row["status"] == "ok" and row["elapsed_ns"]["samples"] == [10, 30] and row["blocks"] == [0, 1]
    assert row["cpu_ns"]["median"] == 7000
    assert programs.row_of(FakeSubject, a, [(0, line(output="other"))], "h")["status"] == "wrong"
    assert programs.row_of(FakeSubject, b, [(0, line())], "h")["status"] == "wrong"


def test_ratios_are_paired_by_block():
    def row(name, values):
        figure = {"samples": values}
        return {"trace": "p", "allocator": name, "status": "ok", "blocks": list(range(len(values))),
                "elapsed_ns": figure, "cpu_ns": figure, "peak_rss_kib": figure, "minor_faults": figure}
    found = programs.ratios([row("a", [2, 20, 200, 2]), row("b", [1, 10, 100, 1])], "b", ["a"])
    assert found["elapsed_ns"]["a"].ratio == pytest.approx(2.0)
    assert found["elapsed_ns"]["a"].high == pytest.approx(2.0)


def test_only_differences_beyond_the_control_are_starred(capsys):
    def row(name, factor):
        values = {"samples": [factor * value for value in (10, 10.1, 10.2, 10.1, 10, 10.05)], "median": factor * 10.05}
        return {"trace": "p", "allocator": name, "status": "ok", "blocks": list(range(6)),
                **{figure: values for figure in programs.FIGURES}}
    rows = [row("glibc", 1), row("near", 1.05), row("far", 1.3), row(control.NAME, 1.1)]
    programs.print_table(rows, ["glibc", "near", "far", control.NAME], "glibc")
    said = capsys.readouterr().out
    assert re.search(r"^p +\S+ +1\.050 +1\.300\* +1\.100 *$", said, re.M)
    assert "glibc against itself is at worst 10.0 % apart (p)" in said
    bounds = r"[\d.]+ \[[^]]*\]"
    assert re.search(rf"^elapsed_ns +near {bounds}    far {bounds}\*   glibc-again {bounds} *$", said, re.M)
    programs.print_table(rows[:3], ["glibc", "near", "far"], "glibc")
    assert "1.050*" in capsys.readouterr().out
    programs.print_table([rows[0], {**rows[1], "status": "wrong", "status_text": "x"}], ["glibc", "near"], "glibc")
    assert "without near: p (wrong)" in capsys.readouterr().out


@pytest.mark.skipif(not shutil.which("hyperfine") or not shutil.which("gawk") or not (OUT / "launcher").exists(),
                    reason="hyperfine, gawk or the launcher is not there")
def test_a_small_run_from_end_to_end(tmp_path, capsys):
    """A real program under an allocator, a control, and a library that a program with its own malloc would not notice."""
    status = programs.main(["--programs", "gawk", "--blocks", "4", "--scale", "0.02", "--out", str(OUT),
                            "--allocs", f"glibc cellmalloc stranger={OUT}/broken/libstranger.so",
                            "--results", str(tmp_path / "run")])
    said = capsys.readouterr().out
    assert status == 1
    made = schema.read(tmp_path / "run")
    rows = {row["allocator"]: row for row in made["rows"]}
    assert rows["cellmalloc"]["identity"] == "proved" and rows["cellmalloc"]["blocks"] == [0, 1, 2, 3]
    assert rows["stranger"]["status"] == "wrong" and "malloc came from" in rows["stranger"]["status_text"]
    assert min(rows["glibc"]["peak_rss_kib"]["samples"]) > 500 and min(rows["glibc"]["minor_faults"]["samples"]) > 50
    assert "without stranger: gawk (wrong)" in said
    assert (tmp_path / "run" / "report.txt").read_text() in said


def test_inputs_are_the_same_everywhere():
    made = inputs.text(500) + inputs.json_lines(20) + inputs.sql(60) + inputs.git_stream(3) + inputs.smt(5)
    assert made == inputs.text(500) + inputs.json_lines(20) + inputs.sql(60) + inputs.git_stream(3) + inputs.smt(5)
    assert hashlib.sha256(inputs.text(500).encode()).hexdigest()[:16] == "577aa9d71d828d4b"


def test_names_are_unique_and_scripts_exist():
    assert len(catalog.BY_NAME) == len(catalog.WORKLOADS)
    assert sum(workload.program for workload in catalog.WORKLOADS) >= 12
    for workload in catalog.WORKLOADS:
        assert all((catalog.HERE / script).is_file() for script in workload.scripts)


def test_usage_errors():
    for words in (["--programs", "nosuch"], ["--blocks", "0"]):
        with pytest.raises(SystemExit) as ended:
            programs.arguments(words)
        assert ended.value.code == 2
