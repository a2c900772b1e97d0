#!/usr/bin/env python3
"""What cellmalloc's checks cost: the library against a build without them, in instructions and in time.

The build (allocator/src/assert.h, CELL_UNCHECKED) has no test that guards against misuse, no seals in headers and no tags in
freed blocks. Instructions are counted by callgrind and repeat: of the fast paths, and of the first operations of each trace,
without the harness's. Time is that of replays, both libraries in each block.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

import figures
import scoreboard
from heaplay_bench import allocators, board, document, run, tables
from heaplay_report import stats

SIZES = (32, 200)           # of the fast paths: a cell, and a chunk that caches keep
CHECKED, UNCHECKED = "checked", "unchecked"


def libraries(out):
    """The two builds as allocators."""
    found = []
    for name, path in ((CHECKED, "libcellmalloc.so"), (UNCHECKED, "unchecked/libcellmalloc.so")):
        library = Path(out).resolve() / path
        if not library.is_file():
            raise allocators.AllocatorError(f"no file '{library}'; make checks-cost makes it")
        found.append(allocators.Allocator(name, str(library)))
    return found


def fast_paths(out, chosen):
    """[(what, instructions with checks, without)]"""
    by = {allocator.name: {size: figures.instructions(figures.Bench(out, allocator.path), size) for size in SIZES}
          for allocator in chosen}
    return [(f"{call}, {size} bytes", by[CHECKED][size][call], by[UNCHECKED][size][call])
            for size in SIZES for call in ("malloc", "free")]


def share(checked, unchecked):
    """What the checks add, in percent of what is left without them."""
    return f"{100 * (checked / unchecked - 1):+.1f} %"


def path_rows(paths):
    return [(what, f"{checked:.1f}", f"{unchecked:.1f}", f"{checked - unchecked:+.1f}") for what, checked, unchecked in paths]


def trace_cells(row):
    """A trace's line: instructions with and without checks, what they add; time, the ratio with its interval."""
    with_them, without = row.by[CHECKED], row.by[UNCHECKED]
    counted = [one.counts.get("instructions") for one in (with_them, without)]
    instructions = [f"{counted[0]:.1f}", f"{counted[1]:.1f}", share(*counted)] if None not in counted else ["-"] * 3
    ratio = stats.ratio(with_them.elapsed, without.elapsed)
    return (row.name, *instructions, f"{board.median(with_them.elapsed):.1f}", f"{board.median(without.elapsed):.1f}",
            f"{ratio.ratio:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]")


def sentences(rows):
    out = []
    counted = [row.by[CHECKED].counts["instructions"] / row.by[UNCHECKED].counts["instructions"] for row in rows
               if "instructions" in row.by[CHECKED].counts and "instructions" in row.by[UNCHECKED].counts]
    if counted:
        out.append(f"instructions per operation, geometric mean of {len(counted)} traces: the checks add "
                   f"{100 * (stats.geometric_mean(counted) - 1):.1f} %")
    time = board.geometric(rows, CHECKED, UNCHECKED, "elapsed")
    if time:
        out.append(f"time per operation, geometric mean of {time.series} traces: with checks {time.ratio:.3f} of without "
                   f"[{time.low:.3f}, {time.high:.3f}]")
    rss = board.geometric(rows, CHECKED, UNCHECKED, "rss")
    if rss:
        out.append(f"peak RSS likewise: {rss.ratio:.3f} [{rss.low:.3f}, {rss.high:.3f}]")
    return out


def measure(given, told, chosen):
    """The traces' rows; those that failed under one of the two are left out, and it is said."""
    heaplay, rows = Path(given.out).resolve() / "heaplay", []
    for row in scoreboard.trace_rows(told, heaplay, chosen):
        said(row.name)
        if row.failed:
            said(f"{row.name} left out: {row.failed}")
            continue
        rows.append(row)
    return rows


def arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--suite", default="default", help="suite of traces (default: default)")
    parser.add_argument("--trace", action="append", help="these traces instead of the suite")
    parser.add_argument("--samples", help="processes per trace and library (default: what a few seconds allow, 10 at most)")
    parser.add_argument("--out", default=os.environ.get("OUT", "build/release"), help="build directory")
    parser.add_argument("--results", help="directory to write (default: results/DATE-checks-cost)")
    given = parser.parse_args(words)
    told = ["--sets", "traces", "--suite", given.suite, "--out", given.out, "--instructions"]
    told += ["--samples", given.samples] if given.samples else []
    for trace in given.trace or []:
        told += ["--trace", trace]
    return given, scoreboard.arguments(told)


def said(text):
    print(f"checks-cost: {text}", file=sys.stderr, flush=True)


def main(words=None):
    given, told = arguments(words)
    try:
        chosen = libraries(given.out)
        paths = fast_paths(given.out, chosen) if shutil.which("valgrind") else []
        rows = measure(given, told, chosen)
    except allocators.AllocatorError as error:
        said(error)
        return 4
    except (run.RunError, OSError) as error:
        said(error)
        return 2
    report = tables.Report("What the checks cost", document.environment())
    if paths:
        report.table("instructions of calls that meet no slow path", ("call", "with checks", "without", "they add"),
                     path_rows(paths))
    report.table("traces", ("trace", "instr/op with", "without", "they add", "ns/op with", "without", "ratio of times"),
                 [trace_cells(row) for row in rows])
    report.lines(sentences(rows))
    print(report.write(given.results or document.results_directory("checks-cost"), "checks-cost",
                       {"fast_paths": paths, "traces": [trace_cells(row) for row in rows]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
