"""Cost of recording: ratios by round, failing tools, and a run of the real thing."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(SRC / "scripts"))
import record_overhead  # noqa: E402

OUT = Path(os.environ.get("OUT", SRC / "build" / "release"))


def test_ratios_are_of_runs_in_the_same_round():
    samples = {("w", "none"): [(0, 10, 10, 100, ""), (1, 20, 20, 200, "")],
               ("w", "heaplay"): [(0, 20, 30, 400, "3 lost"), (1, 40, 60, 800, "heaplay: 1 lost")]}
    row, = record_overhead.summary(samples, {}, ["w"], ["heaplay"])
    assert [row[key]["ratio"] for key in ("wall", "cpu", "whole")] == pytest.approx([2, 3, 4])
    assert row["lost"] == 4


def test_ltrace_is_compared_with_a_run_of_as_little():
    samples = {("w", "none"): [(0, 1, 1, 1, ""), (1, 1, 1, 1, "")], ("w", "none, small"): [(0, 5, 5, 5, ""), (1, 5, 5, 5, "")],
               ("w", "ltrace"): [(0, 50, 50, 50, ""), (1, 50, 50, 50, "")]}
    row, = record_overhead.summary(samples, {}, ["w"], ["ltrace"])
    assert row["wall"]["ratio"] == pytest.approx(10)


def test_a_tool_that_fails_is_named_and_left_out(capsys, monkeypatch):
    def run(tool, *_):
        if tool == "heaptrack":
            raise record_overhead.Failed("heaptrack: exit status 9: no")
        return 1.0, 1.0, 1.0, "0 lost"
    monkeypatch.setattr(record_overhead, "run", run)
    samples, failures = {}, {}
    for number in range(2):
        record_overhead.one_round(number, ["heaplay", "heaptrack"], OUT, {"w": lambda share: []}, samples, failures)
    record_overhead.show(record_overhead.summary(samples, failures, ["w"], ["heaplay", "heaptrack"]))
    said = capsys.readouterr().out.splitlines()
    assert "1.00x (1.00-1.00)" in said[1] and said[2].endswith("failed: heaptrack: exit status 9: no")


@pytest.mark.skipif(not (OUT / "replay/bench/record_overhead").exists(), reason="replay/bench/record_overhead is not built")
def test_a_small_run_of_the_real_thing(tmp_path):
    done = subprocess.run([sys.executable, str(SRC / "scripts/record_overhead.py"), "--out", str(OUT), "--rounds", "2", "--pairs",
                           "2000", "--threads", "1,2", "--tools", "heaplay", "--json", str(tmp_path / "o.json")],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads((tmp_path / "o.json").read_text())["rows"]
    assert [row["workload"] for row in rows][:3] == ["loop, nothing else, 1 thread", "loop, 100 rounds of work, 1 thread",
                                                     "loop, nothing else, 2 threads"]
    assert all(row["lost"] == 0 and row["wall"]["ratio"] > 0 for row in rows)


@pytest.mark.parametrize("words", (["--tools", "strace"], ["--rounds", "1"], ["--threads", "x"], ["--pairs", "10"]))
def test_bad_arguments(words):
    done = subprocess.run([sys.executable, str(SRC / "scripts/record_overhead.py"), *words], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 2 and "error:" in done.stderr
