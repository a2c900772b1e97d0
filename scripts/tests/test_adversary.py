"""Worst single calls: the recorder tells system calls and faults apart, figures of several runs, what is said of the aim."""
import io
import json
import os
import subprocess
from pathlib import Path

import pytest
import rich.console

import adversary
from heaplay_bench import allocators, run, tables

OUT = Path(os.environ.get("OUT", "build/release")).resolve()
PROGRAM = str(OUT / "adversary")
ENVIRONMENT = {"cpu": "x", "cpus": 2, "kernel": "Linux", "git_commit": "abc", "thp": "madvise"}


def times(p50, p99999, count=100):
    return {"count": count, "p50": p50, "p99.9": p50, "p99.999": p99999, "max": p99999}


def sample(p99999, faults=0, sees=True):
    return {"sees_syscalls": sees, "ns": {"alone": times(20, p99999), "fault": {"count": faults}, "syscall": {"count": 0},
                                          "switched": {"count": 0}}}


def row(pattern, allocator, p99999, sees=True):
    return {"pattern": pattern, "allocator": allocator, **adversary.combine([sample(p99999, sees=sees)])}


def test_the_least_of_several_runs_stands():
    made = adversary.combine([sample(900, faults=100), sample(300), sample(500)])
    assert made["alone"]["p99.999"] == 300 and made["alone"]["p50"] == 20
    assert made["fault"] == {"share": pytest.approx(0.25)} and made["sees_syscalls"]


def test_what_is_said_of_the_aim():
    rows = [row("comb", "a", 10_000), row("ring", "a", 4_000), row("comb", "b", 10_001), row("ring", "b", 50)]
    said = adversary.sentences(rows, adversary.combine([sample(230)]))
    assert "clock alone: p99.999 0.23 us" in said[0]
    assert "a: p99.999" in said[1] and "10.00 us (comb)" in said[1] and said[1].endswith("none")
    assert said[2].endswith("above 10 us: comb") and len(said) == 3


def test_a_kernel_that_hides_system_calls_is_named():
    said = adversary.sentences([row("comb", "a", 1, sees=False)], adversary.combine([sample(1)]))
    assert "Syscall User Dispatch" in said[-1]


def run_program(pattern, calls=100000, **environment):
    done = subprocess.run([PROGRAM, pattern, str(calls)], capture_output=True, text=True, check=True,
                          env={**os.environ, **environment})
    return json.loads(done.stdout)


@pytest.mark.parametrize("pattern", [name for name in adversary.patterns_of(PROGRAM) if name != "cross-thread"])
def test_every_pattern_records_as_many_calls_as_asked_for(pattern):
    made = run_program(pattern, 20000)
    assert 20000 <= sum(one["count"] for one in made["ns"].values()) <= 4 * 20000
    alone = made["ns"]["alone"]
    assert alone["p50"] <= alone["p99.9"] <= alone["p99.999"] <= alone["max"]


def test_two_threads_both_record():
    made = run_program("cross-thread", 20000)
    assert sum(one["count"] for one in made["ns"].values()) > 30000


def test_system_calls_are_seen():
    made = run_program("ping-pong", GLIBC_TUNABLES="glibc.malloc.mmap_threshold=131072")
    if not made["sees_syscalls"]:
        pytest.skip("this kernel has no Syscall User Dispatch")
    assert made["ns"]["syscall"]["count"] > 0, "blocks beyond mmap_threshold are mapped and unmapped"
    assert run_program("clock")["ns"]["syscall"]["count"] == 0


@pytest.mark.parametrize("words", [[], ["nosuch"], ["comb", "0"], ["comb", "1", "2"]])
def test_the_program_refuses_wrong_arguments(words):
    done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("usage:")


def test_an_unknown_pattern_is_named():
    given = adversary.arguments(["--patterns", "comb nosuch", "--out", str(OUT)])
    with pytest.raises(run.RunError, match="unknown pattern 'nosuch'"):
        adversary.measure(given, [allocators.Allocator("glibc", None)])


def test_usage_errors():
    with pytest.raises(SystemExit) as ended:
        adversary.arguments(["--calls", "10"])
    assert ended.value.code == 2


def test_a_report_is_printed_and_written(tmp_path):
    out = io.StringIO()
    report = tables.Report("Worst", ENVIRONMENT, rich.console.Console(file=out, width=200))
    report.table("times", *adversary.times_table([row("comb", "a", 12345)]))
    report.lines(["a sentence"])
    path = report.write(tmp_path / "r", "worst", {"rows": [1]})
    for text in (out.getvalue(), path.read_text()):
        assert "12.35" in text or "12.34" in text
        assert "a sentence" in text
    assert "| comb | a | 0.02 |" in path.read_text() and "|---|---|---:|" in path.read_text()
    assert json.loads((tmp_path / "r" / "worst.json").read_text()) == {"environment": ENVIRONMENT, "rows": [1]}
