#!/usr/bin/env python3
"""Large heaps: CPU time per call and fragmentation of each allocator at 1/100, 1/10 and all of 8 GiB, 50 million blocks.

`heap` allocates as many blocks as make the size, replaces a fifth of them at random and frees all; `ladder` frees most of the
smaller blocks before it allocates larger ones (replay/bench/scale/scale.c). Growth is the ratio between one size and
a tenth of it; `floor` is that of the misses on the blocks themselves, which no allocator can avoid.
"""

import argparse
import json
import os
import random
import subprocess
import sys
from pathlib import Path

from heaplay_bench import allocators, document, run, tables
from heaplay_report import stats

FULL = 8 << 30
SHARES = (100, 10, 1)
GROWTH_AIM = 1.3            # ns per call at ten times the size
PHASES = {"heap": ("fill", "replace", "drain", "floor"), "ladder": ("ladder",)}
LADDER_SHARE = 4            # each rung of the ladder is this part of the heap
# Resident per byte that is asked for, with the table of pointers, under the allocator that needs most.
NEED = 1.7


def available_bytes(text):
    """MemAvailable of /proc/meminfo's text."""
    for line in text.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise run.RunError("/proc/meminfo has no MemAvailable")


def largest(wanted, available):
    """The bytes to go up to, and a sentence when they are fewer than wanted."""
    allowed = int(available * 0.9 / NEED)
    if allowed >= wanted:
        return wanted, None
    return allowed, (f"{wanted / 2**30:.1f} GiB of blocks need {wanted * NEED / 2**30:.1f} GiB of memory, "
                     f"{available / 2**30:.1f} are available: sizes go up to {allowed / 2**30:.2f} GiB")


def touch(program, size):
    """Has another process use as much memory as the next one will: else a virtual machine, which reports free memory to its host,
    gets it back from there in the time of whichever allocator comes first."""
    done = subprocess.run([program, "touch", str(int(size * NEED))], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise run.RunError(f"{program} touch: exit status {done.returncode}: {done.stderr.strip()}")


def measure_once(program, out, kind, size, allocator, timeout_s):
    line, said_text = run.through_launcher(out, [program, kind, str(size)], allocator.environment(), timeout_s)
    status, text = run.status_of(line)
    if status != "ok":
        raise run.RunError(f"{kind} of {size} bytes under {allocator.name}: {status}: {text}")
    return json.loads(said_text)


def combine(samples):
    """One row's figures of its samples: medians of times, fragmentation of the median peak."""
    row = {name: stats.median_interval([sample[name] for sample in samples])[0]
           for name in samples[0] if name not in ("blocks", "peak_live_bytes")}
    row["blocks"], row["peak_live_bytes"] = samples[0]["blocks"], samples[0]["peak_live_bytes"]
    row["fragmentation"] = row["peak_rss_kib"] * 1024 / row["peak_live_bytes"]
    return row


def growth(rows):
    """Adds to each row the ratio of each phase to that of the same kind and allocator at the next smaller size."""
    for row in rows:
        smaller = [one for one in rows if (one["kind"], one["allocator"]) == (row["kind"], row["allocator"]) and
                   one["bytes"] < row["bytes"]]
        if smaller:
            base = max(smaller, key=lambda one: one["bytes"])
            row["growth"] = {name: row[name] / base[name] for name in PHASES[row["kind"]]}
    return rows


def net_growth(rows):
    """{allocator: the largest growth of replacing, after the floor is taken off both}, for those that have two sizes."""
    worst = {}
    for row in rows:
        if row["kind"] != "heap" or "growth" not in row:
            continue
        floor_before = row["floor"] / row["growth"]["floor"]
        before = row["replace"] / row["growth"]["replace"] - floor_before
        if before > 0:
            worst[row["allocator"]] = max(worst.get(row["allocator"], 0), (row["replace"] - row["floor"]) / before)
    return worst


def cells(row, phase):
    value = f"{row[phase]:.1f}"
    return value + (f" ({row['growth'][phase]:.2f}x)" if "growth" in row else "")


def table_of(rows, kind):
    phases = PHASES[kind]
    heads = ("GiB", "million blocks", "allocator", *[f"{name}, ns" for name in phases], "peak RSS / live")
    body = [(f"{row['bytes'] / 2**30:.2f}", f"{row['blocks'] / 1e6:.2f}", row["allocator"],
             *[cells(row, phase) for phase in phases], f"{row['fragmentation']:.3f}") for row in rows if row["kind"] == kind]
    return heads, body


def sentences(rows):
    out = []
    for name, worst in net_growth(rows).items():
        reached = "within" if worst <= GROWTH_AIM else "beyond"
        out.append(f"{name}: replacing at 10x the size costs at most {worst:.2f}x, floor taken off; {reached} the aim of "
                   f"{GROWTH_AIM}x")
    return out


def measure(given, chosen, top):
    program = str(Path(given.out).resolve() / "scale")
    rows = []
    for share in SHARES:
        for kind in PHASES:
            size = top // share // (LADDER_SHARE if kind == "ladder" else 1)
            samples = {allocator.name: [] for allocator in chosen}
            for _ in range(given.runs if share > 1 else 1):
                for allocator in random.sample(chosen, len(chosen)):
                    touch(program, size)
                    samples[allocator.name].append(measure_once(program, given.out, kind, size, allocator, 1800))
                    said(f"{kind} of {size / 2**30:.2f} GiB under {allocator.name}")
            rows += [{"kind": kind, "bytes": size, "allocator": name, **combine(found)} for name, found in samples.items()]
    return growth(rows)


def arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--allocs", default="", help="names or NAME=PATH, blank-separated (default: all installed)")
    parser.add_argument("--gib", type=float, default=FULL / 2**30, help="the largest heap's blocks (default 8: 50 million)")
    parser.add_argument("--runs", type=int, default=3, help="processes of the two smaller sizes (default 3)")
    parser.add_argument("--out", default=os.environ.get("OUT", "build/release"), help="build directory")
    parser.add_argument("--results", help="directory to write (default: results/DATE-heap-scale)")
    given = parser.parse_args(words)
    if given.gib < 0.5 or given.runs < 1:
        parser.error("--gib must be 0.5 at least, --runs 1")
    return given


def said(text):
    print(f"heap-scale: {text}", file=sys.stderr, flush=True)


def main(words=None):
    given = arguments(words)
    try:
        chosen = allocators.find_all(given.allocs.split(), given.out, said)
        top, why = largest(int(given.gib * 2**30), available_bytes(Path("/proc/meminfo").read_text(encoding="ascii")))
        if why:
            said(why)
        rows = measure(given, chosen, top)
    except allocators.AllocatorError as error:
        said(error)
        return 4
    except (run.RunError, OSError) as error:
        said(error)
        return 2
    report = tables.Report("Large heaps", document.environment())
    report.table("heap: ns per call, in brackets against a tenth of the size", *table_of(rows, "heap"))
    report.table("ladder: ns per call, in brackets against a tenth of the size", *table_of(rows, "ladder"))
    report.lines(sentences(rows))
    print(report.write(given.results or document.results_directory("heap-scale"), "heap-scale", {"rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
