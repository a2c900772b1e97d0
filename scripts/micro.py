#!/usr/bin/env python3
"""Micro-benchmarks (replay/bench/micro.cc, Google Benchmark) of every allocator in one table and one document.

Each block runs the benchmark program once per allocator, preloaded, in a random order; a process is the sample.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from heaplay_bench import allocators, document, run
from heaplay_report import stats


def run_once(program, allocator, pattern, seconds):
    """One process: the parsed JSON of Google Benchmark."""
    with tempfile.NamedTemporaryFile(suffix=".json") as target:
        words = [program, f"--benchmark_min_time={seconds}", f"--benchmark_filter={pattern}",
                 f"--benchmark_out={target.name}", "--benchmark_out_format=json"]
        plain = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
        done = subprocess.run(words, env={**plain, **allocator.environment()}, capture_output=True, text=True,
                              timeout=1800, check=False)
        if done.returncode:
            how = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
            raise run.RunError(f"micro under {allocator.name} ended with {how}: {done.stderr.strip()[-200:]}")
        try:
            return json.loads(Path(target.name).read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise run.RunError(f"micro: no benchmark matches '{pattern}' ({error.msg})") from None


def figures_of(made):
    """{benchmark: (ns per item, peak KiB)} of one process. Wall time, divided by the calls of an iteration."""
    found = {}
    for entry in made["benchmarks"]:
        if entry.get("run_type", "iteration") != "iteration" or entry.get("error_occurred"):
            continue
        rate = entry.get("items_per_second", 0)
        # items_per_second is of CPU time unless the benchmark asks for real time; the pair of times corrects it.
        busy = entry["real_time"] if entry["name"].find("/real_time") >= 0 else entry["cpu_time"]
        items = rate * busy / 1e9 if rate else 1.0
        found[entry["name"]] = (entry["real_time"] / items, max(0, entry.get("max_bytes_used", 0)) / 1024)
    return found


def check_identity(made, allocator):
    """The file that malloc came from must be the one that was preloaded."""
    seen = os.path.realpath(made["context"].get("malloc_from", "unknown"))
    wanted = os.path.realpath(allocator.path or allocators.libc_path())
    if seen != wanted:
        raise allocators.AllocatorError(f"micro under {allocator.name}: malloc came from {seen}, not from {wanted}")


def rows_of(samples, chosen):
    """Rows from {allocator: [(block, figures)]}."""
    rows = []
    names = list(dict.fromkeys(name for runs in samples.values() for _, figures in runs for name in figures))
    for name in names:
        for allocator in chosen:
            runs = [(block, figures[name]) for block, figures in samples[allocator.name] if name in figures]
            if not runs:
                continue
            rows.append({"trace": name, "allocator": allocator.name, "status": "ok",
                         "blocks": [block for block, _ in runs],
                         "ns_per_op": document.figure([value[0] for _, value in runs]),
                         "peak_rss_kib": document.figure([value[1] for _, value in runs])})
    return rows


def print_table(rows, names, base):
    table = {(row["trace"], row["allocator"]): row for row in rows}
    others = [name for name in names if name != base]
    print(f"{'ns per call under ' + base + ', then ratios':44s}{base:>10s}" + "".join(f"{n[:11]:>12s}" for n in others))
    by_block = {key: dict(zip(row["blocks"], row["ns_per_op"]["samples"])) for key, row in table.items()}
    benchmarks = list(dict.fromkeys(row["trace"] for row in rows))
    for benchmark in benchmarks:
        first = table.get((benchmark, base))
        if not first:
            continue
        ratios = [stats.ratio(by_block.get((benchmark, n), {}), by_block[benchmark, base]) for n in others]
        print(f"{benchmark:44s}{first['ns_per_op']['median']:10.2f}"
              + "".join(f"{e.ratio:12.3f}" if e else f"{'-':>12s}" for e in ratios))
    for name in others:
        estimate = stats.estimate([stats.paired_logs(by_block[b, name], by_block[b, base]) for b in benchmarks
                                   if (b, name) in table and (b, base) in table])
        if estimate:
            print(f"geometric mean {name:12s} {estimate.ratio:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]")


def arguments(words):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--allocs", default="", help="names or NAME=PATH, blank-separated (default: all installed)")
    parser.add_argument("--filter", default=".", help="regular expression of benchmarks (default: all)")
    parser.add_argument("--blocks", type=int, default=4, help="processes per allocator (default 4)")
    parser.add_argument("--seconds", type=float, default=0.05, help="least time of a benchmark (default 0.05)")
    parser.add_argument("--out", default=os.environ.get("OUT", "build/release"), help="build directory")
    parser.add_argument("--results", help="directory to write (default: results/DATE-micro)")
    given = parser.parse_args(words)
    if given.blocks < 1 or given.seconds <= 0:
        parser.error("--blocks and --seconds must be above 0")
    try:
        re.compile(given.filter)
    except re.error as error:
        parser.error(f"--filter '{given.filter}': {error}")
    return given


def said(text):
    print(f"micro: {text}", file=sys.stderr, flush=True)


def main(words=None):
    given = arguments(words)
    program = Path(given.out).resolve() / "micro"
    try:
        if not program.is_file():
            raise run.RunError(f"no file '{program}'; run make build")
        chosen = allocators.find_all(given.allocs.split(), given.out, said)
        samples = {allocator.name: [] for allocator in chosen}
        for block in range(given.blocks):
            for allocator in random.sample(chosen, len(chosen)):
                made = run_once(str(program), allocator, given.filter, given.seconds)
                check_identity(made, allocator)
                samples[allocator.name].append((block, figures_of(made)))
                said(f"block {block + 1}/{given.blocks} {allocator.name}")
        described = {a.name: dict(allocators.describe(a), identity="proved") for a in chosen}
        rows = rows_of(samples, chosen)
        traces = {row["trace"]: {"path": None, "sha256": None, "operations": 0, "threads": 1, "peak_live_bytes": 0,
                                 "origin": "synthetic:micro", "command": row["trace"], "by_kind": {}} for row in rows}
        path = document.write(document.document("micro", described, traces, rows),
                              given.results or document.results_directory("micro"))
    except allocators.AllocatorError as error:
        said(error)
        return 4
    except (run.RunError, OSError) as error:
        said(error)
        return 2
    names = [allocator.name for allocator in chosen]
    print_table(rows, names, "glibc" if "glibc" in names else names[0])
    print(f"\n{path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
