#!/usr/bin/env python3
"""Measures the figures that allocator/DESIGN.md states, of cellmalloc and of the C library's allocator.

Instructions come from callgrind and repeat exactly; faults and resident sizes are medians of several runs; the worst time is
the smallest of the maxima of several runs, since any one may meet an interrupt. --json writes them for other programs.
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

SRC = Path(__file__).resolve().parent.parent
PROGRAMS = {"true": ["true"], "cat": ["cat", "/dev/null"], "python3 -c pass": ["/usr/bin/python3", "-c", "pass"]}
ROUNDS = (1000, 11000)
CALLS = 4 * (ROUNDS[1] - ROUNDS[0])


class Bench:
    """Runs the programs of allocator/tests/figures under one allocator; `preload` None is the C library's own."""

    def __init__(self, out, preload):
        self.programs = Path(out).resolve() / "allocator/tests/figures"
        self.preload = preload

    def environment(self):
        env = {key: value for key, value in os.environ.items() if key not in ("LD_PRELOAD", "CELLMALLOC_CONF")}
        return dict(env, LD_PRELOAD=str(self.preload)) if self.preload else env

    def numbers(self, *command):
        done = subprocess.run([str(self.programs / command[0]), *command[1:]], env=self.environment(), check=True,
                              stdout=subprocess.PIPE, text=True)
        return [int(word) for word in done.stdout.split()]

    def launch(self, command):
        """Resident KiB when it ends, how many of them are its own, and minor faults of a whole program."""
        done = subprocess.run([str(self.programs / "launch"), str(self.preload or "-"), *command], check=True,
                              stdout=subprocess.PIPE, text=True)
        return [int(word) for word in done.stdout.split()[-3:]]


def self_costs(text):
    """Instructions of each function itself, from a callgrind.out file."""
    costs, names, function, skip = {}, {}, None, False
    for line in text.splitlines():
        named = re.match(r"(c?)fn=\((\d+)\)(?: (.*))?$", line)
        if named:
            called, number, name = named.groups()
            names[number] = name or names[number]
            function = function if called else names[number]
        elif line.startswith("calls="):
            skip = True
        elif re.match(r"[+\-*\d]\S* \d+$", line):
            if not skip and function:
                costs[function] = costs.get(function, 0) + int(line.split()[1])
            skip = False
    return costs


def callgrind(bench, size, rounds):
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out"
        subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", str(bench.programs / "fastpath"),
                        str(size), str(rounds)], env=bench.environment(), check=True, stderr=subprocess.DEVNULL)
        return self_costs(out.read_text())


def instructions(bench, size):
    """Instructions of one malloc and of one free that meet no slow path: what 40,000 more calls cost."""
    few, many = (callgrind(bench, size, rounds) for rounds in ROUNDS)
    cost = {name: many[name] - few.get(name, 0) for name in many}
    grouped = {"malloc": 0, "free": 0}
    for name, count in cost.items():
        if name not in ("main", "(below main)"):
            grouped["free" if "free" in name else "malloc"] += count
    return {name: round(count / CALLS, 2) for name, count in grouped.items()}


def programs(bench, runs):
    result = {}
    for name, command in PROGRAMS.items():
        seen = [bench.launch(command) for _ in range(runs)]
        result[name] = {figure: statistics.median(run[position] for run in seen)
                        for position, figure in enumerate(("rss_kib", "own_kib", "minor_faults"))}
    return result


def idle_thread_bytes(bench, runs):
    seen = [bench.numbers("idle_threads", "alloc")[0] - bench.numbers("idle_threads", "none")[0] for _ in range(runs)]
    return round(statistics.median(seen) / 64)


def fork_faults(bench, runs):
    """Minor faults of a fork: the parent's and the child's."""
    seen = [bench.numbers("forks") for _ in range(runs)]
    return {who: statistics.median(run[position] for run in seen) / 100 for position, who in enumerate(("parent", "child"))}


def measure(bench, runs):
    figures = {"programs": programs(bench, runs), "idle_thread_bytes": idle_thread_bytes(bench, runs),
               "fork_faults": fork_faults(bench, runs), "worst_operation_ns": min(bench.numbers("worst")[0] for _ in range(runs))}
    if shutil.which("valgrind"):
        figures["instructions"] = {str(size): instructions(bench, size) for size in (32, 200)}
    else:
        print("figures: valgrind is not installed: instructions are left out", file=sys.stderr)
    return figures


def metadata(bench):
    result = {}
    for mib in (1, 10, 100):
        meta, footprint = bench.numbers("metadata", str(mib))
        result[f"{mib} MiB"] = round(100 * meta / footprint, 2)
    return result


def table(ours, theirs, shares, empty):
    rows = [("", "cellmalloc", "C library", "C library, an empty library preloaded")]
    for size, pair in ours.get("instructions", {}).items():
        for call in ("malloc", "free"):
            rows.append((f"instructions of {call}, {size} bytes", pair[call], theirs["instructions"][size][call], "-"))
    for name, seen in ours["programs"].items():
        for figure, words in (("rss_kib", "resident size of {}, KiB"), ("own_kib", "of that not shared, {}, KiB"),
                              ("minor_faults", "minor faults of {}")):
            rows.append((words.format(f"`{name}`"), seen[figure], theirs["programs"][name][figure], empty[name][figure]))
    rows.append(("bytes for an idle thread, of 64", ours["idle_thread_bytes"], theirs["idle_thread_bytes"], "-"))
    for who, faults in ours["fork_faults"].items():
        rows.append((f"minor faults of a fork, {who}", f"{faults:.1f}", f"{theirs['fork_faults'][who]:.1f}", "-"))
    rows.append(("worst operation of a million, ns", ours["worst_operation_ns"], theirs["worst_operation_ns"], "-"))
    rows += [(f"metadata share with {size} live, %", share, "-", "-") for size, share in shares.items()]
    rows.insert(1, ("---", "---:", "---:", "---:"))
    return "\n".join("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="build/release", help="build directory")
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args(argv)
    library = (SRC / options.out / "libcellmalloc.so").resolve()
    if not library.exists():
        print(f"figures: {library} is missing; `make build` makes it", file=sys.stderr)
        return 2
    system = Bench(SRC / options.out, None)
    ours, theirs = measure(Bench(SRC / options.out, library), options.runs), measure(system, options.runs)
    shares = metadata(system)
    empty = programs(Bench(SRC / options.out, system.programs / "empty.so"), options.runs)
    print(table(ours, theirs, shares, empty))
    if options.json:
        figures = {"cellmalloc": ours, "system": theirs, "empty_library": empty, "metadata_percent": shares}
        options.json.write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
