"""Micro-benchmarks: nanoseconds per call from Google Benchmark's JSON, rows, identity."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import micro  # noqa: E402
from heaplay_bench import allocators  # noqa: E402


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
    rows = micro.rows_of({"a": [(0, {"p": (5.0, 1.0)}), (1, {"p": (7.0, 1.0)})]}, [a])
    assert rows[0]["blocks"] == [0, 1] and rows[0]["ns_per_op"]["samples"] == [5.0, 7.0]


def test_another_malloc_is_refused():
    with pytest.raises(allocators.AllocatorError, match="malloc came from"):
        micro.check_identity({"context": {"malloc_from": "/elsewhere.so"}}, allocators.Allocator("a", "/x/a.so"))


def test_usage_errors():
    for words in (["--filter", "("], ["--seconds", "0"]):
        with pytest.raises(SystemExit) as ended:
            micro.arguments(words)
        assert ended.value.code == 2
