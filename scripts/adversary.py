#!/usr/bin/env python3
"""The worst single calls of each allocator under hard sequences: percentiles up to the 99.999th, and the longest.

replay/bench/adversary times every malloc and free by itself and tells apart those that met nothing of the kernel's, a page
fault, a system call (seen by Syscall User Dispatch), or a loss of the processor. Interrupts remain: they only ever lengthen a
call, so of several runs the least figure of each percentile stands. `clock` is what the clock and the machine show when
nothing is called.
"""

import argparse
import json
import os
import random
import subprocess
import sys
from pathlib import Path

from heaplay_bench import allocators, document, run, tables

CLASSES = {"alone": "nothing of the kernel's", "fault": "a page fault, no system call", "syscall": "a system call",
           "switched": "a loss of the processor"}
FIGURES = ("p50", "p99.9", "p99.999", "max")
AIM_NS = 10_000             # of calls without a system call, at the 99.999th percentile
CONTROL = "clock"


def patterns_of(program):
    if not Path(program).is_file():
        raise run.RunError(f"no file '{program}'; run make build")
    return subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()


def measure_once(program, out, pattern, calls, allocator):
    line, said_text = run.through_launcher(out, [program, pattern, str(calls)], allocator.environment(), 600)
    status, text = run.status_of(line)
    if status != "ok":
        raise run.RunError(f"{pattern} under {allocator.name}: {status}: {text}")
    return json.loads(said_text)


def combine(samples):
    """Of several runs: the least of each percentile, and the mean share of each class of calls."""
    made = {"sees_syscalls": all(sample["sees_syscalls"] for sample in samples)}
    total = sum(one["count"] for sample in samples for one in sample["ns"].values())
    for name in CLASSES:
        found = [sample["ns"][name] for sample in samples]
        made[name] = {"share": sum(one["count"] for one in found) / total}
        for figure in FIGURES:
            have = [one[figure] for one in found if figure in one]
            if have:
                made[name][figure] = min(have)
    return made


def microseconds(value):
    return "-" if value is None else f"{value / 1000:.2f}"


def times_table(rows):
    heads = ("pattern", "allocator", *[f"{figure}, us" for figure in FIGURES], "with a fault, %", "with a system call, %",
             "p99.999 with them, us")
    body = [(row["pattern"], row["allocator"], *[microseconds(row["alone"].get(figure)) for figure in FIGURES],
             f"{100 * row['fault']['share']:.3f}", f"{100 * row['syscall']['share']:.3f}",
             microseconds(max((row[name].get("p99.999") or 0 for name in ("fault", "syscall")), default=0) or None))
            for row in rows]
    return heads, body


def sentences(rows, control):
    """What the figures say of the aim, for each allocator; the control says what may be the machine's."""
    alone = control["alone"]
    out = [f"clock alone: p99.999 {microseconds(alone['p99.999'])} us, longest {microseconds(alone['max'])} us: what is below "
           "may be the machine's"]
    for name in dict.fromkeys(row["allocator"] for row in rows):
        mine = [row for row in rows if row["allocator"] == name]
        worst = max(mine, key=lambda row: row["alone"]["p99.999"])
        above = [row["pattern"] for row in mine if row["alone"]["p99.999"] > AIM_NS]
        out.append(f"{name}: p99.999 of calls without a system call or a fault is at worst "
                   f"{microseconds(worst['alone']['p99.999'])} us ({worst['pattern']}); "
                   f"above {AIM_NS / 1000:.0f} us: {', '.join(above) or 'none'}")
    if not all(row["sees_syscalls"] for row in rows):
        out.append("this kernel does not show system calls to the program (Syscall User Dispatch): calls that made one are among "
                   "the others")
    return out


def measure(given, chosen):
    """(rows, control): one row a pattern and allocator."""
    program = str(Path(given.out).resolve() / "adversary")
    known = patterns_of(program)
    unknown = sorted(set(given.patterns.split()) - set(known))
    if unknown:
        raise run.RunError(f"unknown pattern '{unknown[0]}'; there are: {' '.join(known)}")
    plain = allocators.Allocator("glibc", None)
    control = combine([measure_once(program, given.out, CONTROL, given.calls, plain) for _ in range(given.runs)])
    rows = []
    for pattern in [one for one in (given.patterns.split() or known) if one != CONTROL]:
        samples = {allocator.name: [] for allocator in chosen}
        for _ in range(given.runs):
            for allocator in random.sample(chosen, len(chosen)):
                samples[allocator.name].append(measure_once(program, given.out, pattern, given.calls, allocator))
        rows += [{"pattern": pattern, "allocator": name, **combine(found)} for name, found in samples.items()]
        said(pattern)
    return rows, control


def arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--allocs", default="", help="names or NAME=PATH, blank-separated (default: all installed)")
    parser.add_argument("--patterns", default="", help="blank-separated (default: all)")
    parser.add_argument("--calls", type=int, default=1_000_000, help="timed calls of a run (default 1000000)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each pattern under each allocator (default 5)")
    parser.add_argument("--out", default=os.environ.get("OUT", "build/release"), help="build directory")
    parser.add_argument("--results", help="directory to write (default: results/DATE-adversary)")
    given = parser.parse_args(words)
    if given.calls < 100_000 or given.runs < 1:
        parser.error("--calls must be 100000 at least (fewer have no 99.999th percentile), --runs 1")
    return given


def said(text):
    print(f"adversary: {text}", file=sys.stderr, flush=True)


def main(words=None):
    given = arguments(words)
    try:
        chosen = allocators.find_all(given.allocs.split(), given.out, said)
        rows, control = measure(given, chosen)
    except allocators.AllocatorError as error:
        said(error)
        return 4
    except (run.RunError, OSError) as error:
        said(error)
        return 2
    report = tables.Report("Worst single calls", document.environment())
    report.table(f"times of single calls that met nothing of the kernel's, least of {given.runs} runs", *times_table(rows))
    report.lines(sentences(rows, control))
    print(report.write(given.results or document.results_directory("adversary"), "adversary",
                       {"rows": rows, "control": control, "classes": CLASSES}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
