"""Large heaps: what fits into memory, growth between sizes, fragmentation, and the program that is measured."""
import json
import os
import subprocess
from pathlib import Path

import pytest

import heap_scale
from heaplay_bench import allocators, run

GIB = 1 << 30
OUT = Path(os.environ.get("OUT", "build/release")).resolve()


def row(size, allocator="a", replace=100.0, floor=20.0):
    return {"kind": "heap", "bytes": size, "allocator": allocator, "fill": 10.0, "replace": replace, "drain": 5.0,
            "floor": floor, "blocks": 1000, "peak_live_bytes": size, "peak_rss_kib": size / 512, "fragmentation": 2.0}


def test_a_heap_that_fits_is_not_cut():
    assert heap_scale.largest(8 * GIB, 64 * GIB) == (8 * GIB, None)


def test_a_heap_that_does_not_fit_is_cut_and_said():
    size, why = heap_scale.largest(8 * GIB, 4 * GIB)
    assert size * heap_scale.NEED < 4 * GIB and "4.0 are available" in why and "sizes go up to 2.12 GiB" in why


def test_available_memory_is_read():
    assert heap_scale.available_bytes("MemTotal: 9 kB\nMemAvailable:   5 kB\n") == 5 * 1024
    with pytest.raises(run.RunError, match="MemAvailable"):
        heap_scale.available_bytes("MemTotal: 9 kB\n")


def test_growth_is_against_the_next_smaller_size_of_the_same_allocator():
    rows = heap_scale.growth([row(1), row(10, replace=120.0), row(100, replace=240.0, floor=60.0), row(10, "b", 7.0)])
    assert "growth" not in rows[0] and "growth" not in rows[3]
    assert rows[1]["growth"]["replace"] == pytest.approx(1.2)
    assert rows[2]["growth"]["replace"] == pytest.approx(2.0) and rows[2]["growth"]["floor"] == pytest.approx(3.0)


def test_the_floor_is_taken_off_before_growth_is_judged():
    rows = heap_scale.growth([row(1), row(10, replace=200.0, floor=120.0), row(1, "b"), row(10, "b", 180.0)])
    assert heap_scale.net_growth(rows) == {"a": pytest.approx(1.0), "b": pytest.approx(2.0)}
    said = heap_scale.sentences(rows)
    assert "a: " in said[0] and "1.00x" in said[0] and "within the aim" in said[0]
    assert "2.00x" in said[1] and "beyond the aim" in said[1]


def test_medians_and_fragmentation():
    samples = [{"ladder": value, "blocks": 7, "peak_live_bytes": 1024, "peak_rss_kib": 2} for value in (1.0, 9.0, 2.0)]
    assert heap_scale.combine(samples) == {"ladder": 2.0, "peak_rss_kib": 2.0, "blocks": 7, "peak_live_bytes": 1024,
                                           "fragmentation": 2.0}


def test_the_program_makes_the_heap_that_it_says():
    for kind, phases in heap_scale.PHASES.items():
        size = 16 << 20
        done = subprocess.run([OUT / "scale", kind, str(size)], capture_output=True, text=True, check=True)
        made = json.loads(done.stdout)
        assert set(phases) <= set(made) and all(made[name] > 0 for name in phases)
        assert size * 0.95 < made["peak_live_bytes"] < size * 1.45
        assert 1 < made["peak_rss_kib"] * 1024 / made["peak_live_bytes"] < 4
    assert 50e6 * 0.98 < heap_scale.FULL / made_average() < 50e6 * 1.02


def test_memory_is_used_before_it_is_measured():
    program = str(OUT / "scale")
    pid = os.posix_spawn(program, [program, "touch", str(256 << 20)], os.environ)
    _, status, usage = os.wait4(pid, 0)
    assert status == 0 and 256 << 10 <= usage.ru_maxrss < 300 << 10
    with pytest.raises(run.RunError, match="exit status 1: scale: cannot map"):
        heap_scale.touch(program, 1 << 50)


def test_each_process_finds_memory_that_has_been_used(monkeypatch):
    calls = []
    sample = {"fill": 1.0, "floor": 1.0, "replace": 1.0, "drain": 1.0, "ladder": 1.0, "blocks": 1, "peak_live_bytes": 1024,
              "peak_rss_kib": 1}
    monkeypatch.setattr(heap_scale, "touch", lambda program, size: calls.append(size))
    monkeypatch.setattr(heap_scale, "measure_once", lambda program, out, kind, size, *_: calls.append(-size) or dict(sample))
    chosen = [allocators.Allocator("a", None), allocators.Allocator("b", None)]
    heap_scale.measure(heap_scale.arguments(["--runs", "2"]), chosen, 1 << 30)
    assert len(calls) == 2 * 2 * (2 * 2 * 2 + 2) and all(a == -b > 0 for a, b in zip(calls[::2], calls[1::2]))


def made_average():
    done = subprocess.run([OUT / "scale", "heap", str(64 << 20)], capture_output=True, text=True, check=True)
    made = json.loads(done.stdout)
    return made["peak_live_bytes"] / made["blocks"]


@pytest.mark.parametrize("words", [[], ["heap"], ["nosuch", "2000000"], ["heap", "12"], ["heap", "x"]])
def test_the_program_refuses_wrong_arguments(words):
    done = subprocess.run([OUT / "scale", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("usage:")


@pytest.mark.parametrize("words", [["--gib", "0.1"], ["--runs", "0"]])
def test_usage_errors(words):
    with pytest.raises(SystemExit) as ended:
        heap_scale.arguments(words)
    assert ended.value.code == 2
