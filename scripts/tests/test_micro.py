"""Micro-benchmarks: nanoseconds per call from Google Benchmark's JSON, rows, identity; what the patterns do."""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import micro  # noqa: E402
from heaplay_bench import allocators, control  # noqa: E402
from heaplay_report import schema  # noqa: E402

OUT = Path(os.environ.get("OUT", Path(__file__).resolve().parents[2] / "build" / "release"))
needs_program = pytest.mark.skipif(not (OUT / "micro").exists(), reason=f"{OUT / 'micro'} is not built")


def entry(name, real, cpu, rate, **more):
    return {"name": name, "run_type": "iteration", "real_time": real, "cpu_time": cpu, "items_per_second": rate,
            **more}


def recorded(directory, pattern):
    """What heaplay says of the benchmarks that match, all in one process."""
    words = [OUT / "micro", "--benchmark_min_time=0.005", f"--benchmark_filter={pattern}"]
    trace = directory / "micro.hpt"
    for command in (["record", "-o", trace, "--", *words], ["info", "--json", trace]):
        done = subprocess.run([OUT / "heaplay", *command], capture_output=True, timeout=100, check=True)
    return json.loads(done.stdout)


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
        micro.check_identity({"context": {"malloc_from": "/elsewhere.so", "strays": ""}}, allocators.Allocator("a", "/x/a.so"))


@needs_program
def test_a_library_that_leaves_calls_to_libc_is_refused(tmp_path, capsys):
    status = micro.main(["--filter", "pair/8$", "--blocks", "1", "--seconds", "0.001", "--out", str(OUT),
                         "--allocs", f"partial={OUT}/broken/libpartial.so", "--results", str(tmp_path / "run")])
    assert status == 4 and not (tmp_path / "run").exists()
    assert re.search(r"partial\.so, but aligned_alloc from \S*libc", capsys.readouterr().err)


def test_only_differences_beyond_the_control_are_starred(capsys):
    """Ratios of 1.05 and 1.3 with little noise, next to a control that is 1.1 apart."""
    def row(name, factor):
        values = [factor * value for value in (10, 10.1, 10.2, 10.1, 10, 10.05)]
        return {"trace": "p", "allocator": name, "status": "ok", "blocks": list(range(6)),
                "ns_per_op": {"samples": values, "median": factor * 10.05}}
    names = ["glibc", "near", "far", control.NAME]
    micro.print_table([row(*pair) for pair in zip(names, (1, 1.05, 1.3, 1.1))], names, "glibc", "ns_per_op", "ns")
    said = capsys.readouterr().out
    assert re.search(r"^p +\S+ +1\.050 +1\.300\* +1\.100 *$", said, re.M) and "beyond what the control shows" in said
    assert re.findall(r"^geometric mean (\S+) +[\d.]+ \[.*?\](.?)$", said, re.M) == [
        ("near", " "), ("far", "*"), (control.NAME, " ")]


def test_usage_errors():
    for words in (["--filter", "("], ["--seconds", "0"]):
        with pytest.raises(SystemExit) as ended:
            micro.arguments(words)
        assert ended.value.code == 2


# Patterns that run in several threads, and in how many.
PATTERNS = {
    (1, 2, 4, 8): ("pair", "lifo", "fifo", "random_replacement", "batch", "calloc_pair", "realloc_growth", "aligned_pair",
                   "trees", "hand_off", "larson", "false_sharing", "thread_start_stop", "varied_sizes", "varied_aligned",
                   "shrinking", "buffers"),
    (1, 4): ("bursts", "hash_map", "documents", "requests", "large_varied", "skewed_sizes", "resizes", "fill_and_drop", "stress",
             "cross_frees"),
    (4,): ("passed_batches", "producers_consumers"),
}


@needs_program
def test_every_pattern_is_there():
    found = {}
    for name in micro.benchmarks_of(str(OUT / "micro"), "threads"):
        found.setdefault(name.split("/")[0], set()).add(micro.threads_of(name))
    assert found == {pattern: set(threads) for threads, patterns in PATTERNS.items() for pattern in patterns}


@needs_program
def test_patterns_of_many_threads_end_and_free_what_they_made(tmp_path):
    """Also when Google Benchmark calls them again with more iterations, and with the first thread alone."""
    patterns = [*PATTERNS[(1, 4)], *PATTERNS[(4,)], "hand_off", "larson"]
    own = recorded(tmp_path, "^pair/64/.*threads:4$")["never_freed"]
    assert recorded(tmp_path, f"^({'|'.join(patterns)})/.*threads:4$")["never_freed"] == own


@needs_program
def test_blocks_are_freed_by_other_threads(tmp_path):
    """Where that is the pattern: threads that free their own blocks only are another benchmark."""
    for pattern, least in (("hand_off", 0.2), ("cross_frees", 0.05), ("passed_batches", 0.2), ("producers_consumers", 0.5)):
        assert recorded(tmp_path, f"^{pattern}/.*threads:4$")["cross_thread_share"] > least, pattern


@needs_program
def test_a_run_of_every_kind(tmp_path, capsys):
    """A process for each benchmark: lifo's memory does not hide behind that of the one before; a crash is a row."""
    status = micro.main(["--filter", "lifo/4096|pair/8$|^pair/64.*threads:2", "--blocks", "2", "--seconds", "0.001",
                         "--out", str(OUT), "--allocs", f"glibc cellmalloc crash={OUT}/broken/libcrash.so",
                         "--results", str(tmp_path / "run")])
    assert status == 4
    made = schema.read(tmp_path / "run")
    rows = {(row["trace"], row["allocator"]): row for row in made["rows"]}
    assert {key[1] for key, row in rows.items() if row["status"] != "ok"} == {"crash"}
    assert {name: about["threads"] for name, about in made["traces"].items()} == {
        "lifo/4096": 1, "pair/8": 1, "pair/64/real_time/threads:2": 2}
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
