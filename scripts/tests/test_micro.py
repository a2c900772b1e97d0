"""Micro-benchmarks: nanoseconds per call from Google Benchmark's JSON, rows, identity."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import micro  # noqa: E402
from heaplay_bench import allocators  # noqa: E402
from heaplay_report import schema  # noqa: E402

OUT = Path(os.environ.get("OUT", Path(__file__).resolve().parents[2] / "build" / "release"))
needs_program = pytest.mark.skipif(not (OUT / "micro").exists(), reason=f"{OUT / 'micro'} is not built")


def entry(name, real, cpu, rate, **more):
    return {"name": name, "run_type": "iteration", "real_time": real, "cpu_time": cpu, "items_per_second": rate,
            **more}


def test_time_is_divided_by_the_calls_of_an_iteration():
    made = {"benchmarks": [entry("lifo/16", 2560, 2560, 1e8, max_bytes_used=4096),
                           entry("larson/real_time/threads:2", 10, 20, 1e8),
                           entry("bad", 1, 1, 1, error_occurred=True),
                           {"name": "x_mean", "run_type": "aggregate"}]}
    assert micro.figures_of(made) == {"lifo/16": (pytest.approx(10), 4.0),
                                      "larson/real_time/threads:2": (pytest.approx(10), 0.0)}


def test_rows_pair_by_block():
    a = allocators.Allocator("a", "/x")
    rows = micro.rows_of({"a": {"p": [(0, (5.0, 1.0)), (1, (7.0, 1.0))]}}, [a], {("q", "a"): ("crashed", "signal 11")})
    assert rows[0]["blocks"] == [0, 1] and rows[0]["ns_per_op"]["samples"] == [5.0, 7.0]
    assert rows[1] == {"trace": "q", "allocator": "a", "status": "crashed", "status_text": "signal 11"}


def test_another_malloc_is_refused():
    with pytest.raises(allocators.AllocatorError, match="malloc came from"):
        micro.check_identity({"context": {"malloc_from": "/elsewhere.so"}}, allocators.Allocator("a", "/x/a.so"))


def test_usage_errors():
    for words in (["--filter", "("], ["--seconds", "0"]):
        with pytest.raises(SystemExit) as ended:
            micro.arguments(words)
        assert ended.value.code == 2


@needs_program
def test_every_pattern_is_there():
    names = micro.benchmarks_of(str(OUT / "micro"), ".")
    for pattern in ("pair", "lifo", "fifo", "random_replacement", "batch", "calloc_pair", "realloc_growth", "aligned_pair",
                    "hand_off", "larson", "false_sharing", "thread_start_stop"):
        assert any(name.split("/")[0] == pattern for name in names), pattern
    for pattern in ("pair/64", "random_replacement", "larson", "false_sharing", "hand_off"):
        threads = {name.rpartition("threads:")[2] for name in names if name.startswith(pattern) and "threads" in name}
        assert {"2", "4", "8"} <= threads, pattern


@needs_program
def test_a_run_of_every_kind(tmp_path, capsys):
    """A process for each benchmark: lifo's memory does not hide behind that of the one before; a crash is a row."""
    status = micro.main(["--filter", "lifo/4096|pair/8$", "--blocks", "2", "--seconds", "0.001", "--out", str(OUT),
                         "--allocs", f"glibc cellmalloc crash={OUT}/broken/libcrash.so", "--results", str(tmp_path / "run")])
    assert status == 4
    made = schema.read(tmp_path / "run")
    rows = {(row["trace"], row["allocator"]): row for row in made["rows"]}
    assert {key[1] for key, row in rows.items() if row["status"] != "ok"} == {"crash"}
    for name in ("glibc", "cellmalloc"):
        assert rows["lifo/4096", name]["blocks"] == [0, 1]
        small, large = (rows[one, name]["peak_rss_kib"]["median"] for one in ("pair/8", "lifo/4096"))
        assert large - small > 0.6 * 256 * 4 and small < 1024
    said = capsys.readouterr().out
    assert said.count("geometric mean cellmalloc") == 2 and "crashed" in said and made["kind"] == "micro"


@needs_program
def test_a_pattern_without_benchmark(tmp_path):
    done = subprocess.run([sys.executable, Path(micro.__file__), "--filter", "nosuch", "--out", OUT, "--results",
                           tmp_path / "run"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.splitlines()[-1] == "micro: no benchmark matches 'nosuch'"
    assert not (tmp_path / "run").exists() and not done.stdout
