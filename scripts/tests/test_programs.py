"""Programs: identity from the linker's bindings, rows and ratios from runs, inputs that never change."""
import hashlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import programs  # noqa: E402
from heaplay_bench import allocators, run  # noqa: E402
from workloads import catalog, inputs  # noqa: E402


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


def test_the_allocators_own_calls_into_libc_do_not_count():
    bound = bindings(("/x/prog", "/x/liba.so", "malloc"), ("/x/liba.so", "/x/libc.so.6", "calloc"))
    assert allocators.judge_bindings(bound, "/x/liba.so")[0]


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
                "elapsed_ns": figure, "peak_rss_kib": figure, "minor_faults": figure}
    found = programs.ratios([row("a", [2, 20, 200, 2]), row("b", [1, 10, 100, 1])], "b", ["a"])
    assert found["elapsed_ns"]["a"].ratio == pytest.approx(2.0)
    assert found["elapsed_ns"]["a"].high == pytest.approx(2.0)


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
