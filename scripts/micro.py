#!/usr/bin/env python3
"""Micro-benchmarks (replay/bench/micro/, Google Benchmark) of every allocator in one table and one document.

Each block runs each benchmark once per allocator, preloaded, in a process of its own and in a random order: the process is
the sample, no benchmark finds the heap that another has left, and a process's peak is that benchmark's. "glibc-again" is
glibc a second time.
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

from heaplay_bench import allocators, control, document, run
from heaplay_report import stats

TIMEOUT_S = 300         # of one benchmark


def benchmarks_of(program, pattern):
    """Names of the benchmarks that match."""
    done = subprocess.run([program, "--benchmark_list_tests", f"--benchmark_filter={pattern}"], capture_output=True, text=True,
                          timeout=60, check=False)
    found = [line for line in done.stdout.splitlines() if "/" in line or line.isidentifier()]
    if done.returncode or not found:
        raise run.RunError(f"no benchmark matches '{pattern}'")
    return found


def run_once(program, allocator, name, seconds):
    """One process, one benchmark: (status, why, parsed JSON of Google Benchmark or None)."""
    with tempfile.NamedTemporaryFile(suffix=".json") as target:
        words = [program, f"--benchmark_min_time={seconds}", f"--benchmark_filter=^{name}$",
                 f"--benchmark_out={target.name}", "--benchmark_out_format=json"]
        plain = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
        plain["HEAPLAY_PAD"] = "x" * random.randrange(1, 4096)      # moves the stack: no layout is measured all the time
        try:
            done = subprocess.run(words, env={**plain, **allocator.environment()}, capture_output=True, text=True,
                                  timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            return "timeout", f"not done after {TIMEOUT_S} s", None
        if done.returncode:
            how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit status {done.returncode}"
            return "crashed", f"{how}: {done.stderr.strip()[-200:]}", None
        return "ok", "", json.loads(Path(target.name).read_text(encoding="utf-8"))


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
    """The file that malloc and the other calls came from must be the one that was preloaded."""
    seen = os.path.realpath(made["context"].get("malloc_from", "unknown"))
    wanted = os.path.realpath(allocator.path or allocators.libc_path())
    if seen != wanted:
        raise allocators.AllocatorError(f"micro under {allocator.name}: malloc came from {seen}, not from {wanted}")
    if made["context"]["strays"]:
        raise allocators.AllocatorError(f"micro under {allocator.name}: malloc came from {seen}, but {made['context']['strays']}")


def threads_of(name):
    """Google Benchmark ends the name with them when there can be several."""
    found = re.search(r"/threads:(\d+)$", name)
    return int(found.group(1)) if found else 1


def rows_of(samples, chosen, failed):
    """Rows from {allocator: {benchmark: [(block, (ns, KiB))]}} and {(benchmark, allocator): (status, why)}."""
    rows = []
    names = dict.fromkeys([name for found in samples.values() for name in found] + [name for name, _ in failed])
    for name in names:
        for allocator in chosen:
            row = {"trace": name, "allocator": allocator.name}
            runs = samples[allocator.name].get(name, [])
            if (name, allocator.name) in failed:
                status, why = failed[name, allocator.name]
                rows.append({**row, "status": status, "status_text": why})
            elif runs:
                rows.append({**row, "status": "ok", "blocks": [block for block, _ in runs],
                             "ns_per_op": document.figure([value[0] for _, value in runs]),
                             "peak_rss_kib": document.figure([value[1] for _, value in runs])})
    return rows


def print_table(rows, names, base, key, head):
    """Medians under base and ratios of the others to it, one benchmark a line; their geometric means below."""
    table = {(row["trace"], row["allocator"]): row for row in rows}
    others = [name for name in names if name != base]
    by_block = {at: dict(zip(row["blocks"], row[key]["samples"])) for at, row in table.items() if row["status"] == "ok"}
    print(f"\n{head + ' under ' + base + ', then ratios to it':44s}{base:>10s}" + "".join(f"{n[:11]:>12s} " for n in others))
    benchmarks = [name for name in dict.fromkeys(row["trace"] for row in rows)]
    for name in benchmarks:
        first = by_block.get((name, base))
        found = {other: stats.ratio(by_block.get((name, other), {}), first or {}) for other in others}
        floor = control.floor(found.get(control.NAME))
        cells = [f"{table[name, base][key]['median']:10.2f}" if first else f"{table[name, base]['status']:>10s}"]
        for other in others:
            cells.append(f"{found[other].ratio:12.3f}{control.mark(found[other], floor, other)}" if found[other] else
                         f"{table[name, other]['status'].replace('ok', '-'):>12s} ")
        print(f"{name:44s}" + "".join(cells))
    means = {other: stats.estimate([stats.paired_logs(by_block[n, other], by_block[n, base]) for n in benchmarks
                                    if (n, other) in by_block and (n, base) in by_block]) for other in others}
    floor = control.floor(means.get(control.NAME))
    for other, found in means.items():
        if found:
            print(f"geometric mean {other:12s} {found.ratio:.3f} [{found.low:.3f}, {found.high:.3f}]"
                  f"{control.mark(found, floor, other)}")
    print("* a difference that this run shows" + (", beyond what the control shows" if control.NAME in names else ""))


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


def measure(given, program, chosen):
    """(samples, failed) as rows_of takes them."""
    samples, failed = {allocator.name: {} for allocator in chosen}, {}
    benchmarks = benchmarks_of(program, given.filter)
    for block in range(given.blocks):
        for position, name in enumerate(random.sample(benchmarks, len(benchmarks))):
            for allocator in random.sample(chosen, len(chosen)):
                if (name, allocator.name) in failed:
                    continue
                status, why, made = run_once(program, allocator, name, given.seconds)
                if status != "ok":
                    failed[name, allocator.name] = (status, why)
                    continue
                check_identity(made, allocator)
                for found, figures in figures_of(made).items():
                    samples[allocator.name].setdefault(found, []).append((block, figures))
            if position % 10 == 9 or position == len(benchmarks) - 1:
                said(f"block {block + 1} of {given.blocks}: {position + 1} of {len(benchmarks)} benchmarks")
    order = {name: place for place, name in enumerate(benchmarks)}
    return {one: dict(sorted(found.items(), key=lambda item: order.get(item[0], len(order))))
            for one, found in samples.items()}, failed


def main(words=None):
    given = arguments(words)
    program = Path(given.out).resolve() / "micro"
    try:
        if not program.is_file():
            raise run.RunError(f"no file '{program}'; run make build")
        chosen = allocators.find_all(given.allocs.split(), given.out, said)
        if not given.allocs:
            chosen.append(allocators.Allocator(control.NAME, None))
        samples, failed = measure(given, str(program), chosen)
        described = {a.name: dict(allocators.describe(a), identity="proved") for a in chosen}
        rows = rows_of(samples, chosen, failed)
        traces = {row["trace"]: {"path": None, "sha256": None, "operations": 0, "threads": threads_of(row["trace"]),
                                 "peak_live_bytes": 0, "origin": "synthetic:micro", "command": row["trace"],
                                 "by_kind": {}} for row in rows}
        path = document.write(document.document("micro", described, traces, rows),
                              given.results or document.results_directory("micro"))
    except allocators.AllocatorError as error:
        said(error)
        return 4
    except (run.RunError, OSError) as error:
        said(error)
        return 2
    names = [allocator.name for allocator in chosen]
    base = "glibc" if "glibc" in names else names[0]

    def print_all():
        print_table(rows, names, base, "ns_per_op", "ns per call")
        print_table(rows, names, base, "peak_rss_kib", "KiB of peak above the start")

    document.show(path, print_all)
    for (name, allocator), (status, why) in failed.items():
        said(f"{name} under {allocator}: {status}: {why}")
    return 4 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
