#!/usr/bin/env python3
"""The scoreboard: cellmalloc against each peer on every bundled trace, program and threads row, won, held or lost.

A row is won when cellmalloc is at most 1.00 of the best peer in time and in peak RSS, held up to 1.03, else lost.
Every run appends its rows to results/history.csv with the commit, so that each change's effect can be read.
"""

import argparse
import csv
import dataclasses
import json
import os
import random
import subprocess
import sys
import tempfile
import typing
from pathlib import Path

import programs
from heaplay_bench import allocators, document, probe, run
from heaplay_report import stats
from workloads import catalog

HISTORY = document.ROOT / "results" / "history.csv"
COLUMNS = ("created", "commit", "mode", "set", "row", "subject", "verdict", "time_ratio", "time_low", "time_high",
           "time_peer", "rss_ratio", "rss_peer", "faults_ratio", "time_vs_glibc", "rss_vs_glibc",
           "instructions_per_op", "system_calls")
WON, HELD = 1.00, 1.03
# The threads set: row -> program and its arguments (threads, percent of its work).
THREADS = {"larson-4": ("larson", "4"), "larson-16": ("larson", "16", "30"), "handoff-2": ("handoff", "2"),
           "handoff-8": ("handoff", "8", "30"), "churn-8": ("churn", "8", "30"), "phases-4": ("phases", "4"),
           "sharing-2": ("sharing", "2"), "private-8": ("private", "8")}


@dataclasses.dataclass
class Measured:
    """One row of the board under one allocator: {block: value} for each axis, and single counts."""
    elapsed: dict
    rss: dict
    faults: dict
    counts: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Row:
    kind: str                           # "traces", "programs", "threads"
    name: str
    by: dict                            # allocator -> Measured
    failed: dict = dataclasses.field(default_factory=dict)      # allocator -> why


@dataclasses.dataclass
class Axis:
    peer: str                           # the best one
    estimate: typing.Any                # stats.Estimate of subject / that peer


def best(row, subject, peers, axis):
    """The peer with the lowest median on the axis, and the subject's ratio to it."""
    have = {name: stats.median_interval(list(getattr(row.by[name], axis).values()))[0]
            for name in peers if name in row.by}
    if subject not in row.by or not have:
        return None
    peer = min(have, key=have.get)
    estimate = stats.ratio(getattr(row.by[subject], axis), getattr(row.by[peer], axis))
    return Axis(peer, estimate) if estimate else None


def verdict(time, rss):
    """won, held or lost; a row without figures is lost."""
    if time is None or rss is None:
        return "lost"
    worst = max(time.estimate.ratio, rss.estimate.ratio)
    return "won" if worst <= WON else "held" if worst <= HELD else "lost"


def geometric(rows, subject, other, axis):
    """Estimate of subject / other over the rows that both have."""
    return stats.estimate([stats.paired_logs(getattr(row.by[subject], axis), getattr(row.by[other], axis))
                           for row in rows if subject in row.by and other in row.by])


def geometric_of_best(rows, subject, peers, axis):
    """Geometric mean of the subject's ratios to each row's best peer."""
    found = [best(row, subject, peers, axis) for row in rows]
    values = [one.estimate.ratio for one in found if one]
    return stats.geometric_mean(values) if values else None


def from_document(made):
    """Row of a document that `heaplay replay --json` wrote: one trace."""
    name = next(iter(made["traces"]))
    row = Row("traces", name, {})
    for entry in made["rows"]:
        if entry["status"] != "ok":
            row.failed[entry["allocator"]] = entry.get("status_text") or entry["status"]
            continue
        pairs = {axis: dict(zip(entry["blocks"], entry[figure]["samples"]))
                 for axis, figure in (("elapsed", "ns_per_op"), ("rss", "peak_rss_kib"), ("faults", "minor_faults"))}
        row.by[entry["allocator"]] = Measured(**pairs)
    return row, made["traces"][name]["operations"]


def alloc_word(allocator):
    """How heaplay is told of an allocator: built-in names as they are, libraries by path."""
    return "glibc" if allocator.path is None else f"{allocator.name}={allocator.path}"


def replay_trace(heaplay, trace, chosen, samples):
    with tempfile.NamedTemporaryFile(suffix=".json") as target:
        words = [str(heaplay), "replay", str(trace), "--samples", str(samples), "--json", target.name]
        for allocator in chosen:
            words += ["--alloc", alloc_word(allocator)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        try:
            return from_document(json.loads(Path(target.name).read_text(encoding="utf-8")))
        except json.JSONDecodeError:
            raise run.RunError(f"{trace}: heaplay replay ended with {done.returncode}: "
                               f"{done.stderr.strip()[-300:]}") from None


def add_counts(row, operations, heaplay, trace, chosen, said):
    """Instructions per operation and system calls of each allocator, net of the null allocator's."""
    for kind, divisor in (("instructions", operations), ("system_calls", 1)):
        if not probe.available(kind):
            said(f"{kind} left out: {probe.WRAPPERS[kind][0]} is not installed")
            continue
        floor = probe.count(kind, heaplay, trace, "null")
        for allocator in chosen:
            if allocator.name in row.by:
                total = probe.count(kind, heaplay, trace, alloc_word(allocator))
                row.by[allocator.name].counts[kind] = (total - floor) / divisor


def run_threads(out, name, chosen, blocks):
    """One row of the threads set, blocks interleaved in random order."""
    row = Row("threads", name, {allocator.name: Measured({}, {}, {}) for allocator in chosen})
    words = [str(Path(out).resolve() / "threads" / THREADS[name][0])] + list(THREADS[name][1:])
    with tempfile.TemporaryDirectory(prefix="heaplay-threads-") as work:
        log, said = Path(work) / "log", Path(work) / "said"
        for block in range(blocks):
            for allocator in random.sample(chosen, len(chosen)):
                if allocator.name not in row.by:
                    continue
                log.unlink(missing_ok=True)
                run.plain(run.launch_words(out, words, allocator.environment(), work, log, stdout=said,
                                           timeout_s=120))
                line = run.read_log(log)[-1]
                status, text = run.status_of(line)
                if status != "ok":
                    row.failed[allocator.name] = f"{status}: {text}"
                    del row.by[allocator.name]
                    continue
                done = json.loads(said.read_text(encoding="ascii"))
                measured = row.by[allocator.name]
                measured.elapsed[block] = done["elapsed_ns"] / done["operations"]
                measured.rss[block], measured.faults[block] = line["peak_rss_kib"], line["minor_faults"]
    return row


def run_program(out, workload, chosen, blocks, said):
    subject = programs.Subject(workload, out, 1.0)
    row = Row("programs", workload.name, {})
    for entry in programs.measure(subject, chosen, blocks, said):
        if entry["status"] != "ok":
            row.failed[entry["allocator"]] = entry["status_text"]
            continue
        row.by[entry["allocator"]] = Measured(*(programs.by_block(entry, figure)
                                                for figure in ("elapsed_ns", "peak_rss_kib", "minor_faults")))
    return row


def history_row(row, subject, peers, fixed):
    """One line of history.csv as a dictionary."""
    time, rss = best(row, subject, peers, "elapsed"), best(row, subject, peers, "rss")
    line = dict(fixed, set=row.kind, row=row.name, subject=subject, verdict=verdict(time, rss))
    if time and rss:
        faults = best(row, subject, peers, "faults")
        line.update(time_ratio=time.estimate.ratio, time_low=time.estimate.low, time_high=time.estimate.high,
                    time_peer=time.peer, rss_ratio=rss.estimate.ratio, rss_peer=rss.peer,
                    faults_ratio=faults.estimate.ratio if faults else "")
        if "glibc" in row.by:
            for key, axis in (("time_vs_glibc", "elapsed"), ("rss_vs_glibc", "rss")):
                estimate = stats.ratio(getattr(row.by[subject], axis), getattr(row.by["glibc"], axis))
                line[key] = estimate.ratio if estimate else ""
        counts = row.by[subject].counts
        line.update(instructions_per_op=counts.get("instructions", ""), system_calls=counts.get("system_calls", ""))
    return {key: f"{value:.4f}" if isinstance(value, float) else value for key, value in line.items()}


def append_history(path, lines):
    """Append, with the header when the file is new; a header of another version is an error."""
    new = not path.exists() or path.stat().st_size == 0
    if not new:
        header = path.read_text(encoding="utf-8").splitlines()[0]
        if header != ",".join(COLUMNS):
            raise run.RunError(f"{path}: line 1 has other columns than this version writes; move the file away")
    with open(path, "a", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(lines)


def means(lines, rows, subject, peers):
    """Text: won, held, lost, and the geometric means of one set."""
    tally = {word: sum(line["verdict"] == word for line in lines) for word in ("won", "held", "lost")}
    out = [f"  {len(lines)} rows: {tally['won']} won, {tally['held']} held, {tally['lost']} lost"]
    for axis, title in (("elapsed", "time"), ("rss", "peak RSS"), ("faults", "faults")):
        parts = []
        for peer in peers:
            estimate = geometric(rows, subject, peer, axis)
            if estimate:
                parts.append(f"{peer} {estimate.ratio:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]")
        if parts:
            overall = geometric_of_best(rows, subject, peers, axis)
            out.append(f"  {title:9s}{subject} against " + "  ".join(parts) + f"  each row's best {overall:.3f}")
    return "\n".join(out)


def line_text(line):
    if not line.get("time_ratio"):
        return f"  {line['row']:16s} lost  no figure"
    more = "".join(f"  {line[key]} {title}" for key, title in (("instructions_per_op", "instructions/op"),
                                                               ("system_calls", "system calls")) if line.get(key))
    return (f"  {line['row']:16s} {line['verdict']:5s} time {float(line['time_ratio']):.3f} "
            f"[{float(line['time_low']):.3f}, {float(line['time_high']):.3f}] of {line['time_peer']:9s} "
            f"RSS {float(line['rss_ratio']):.3f} of {line['rss_peer']:9s} faults {line['faults_ratio'] or '-'}{more}")


def measure(given, chosen, said):
    """All rows, and a warning for each allocator that failed in one."""
    heaplay, rows = Path(given.out).resolve() / "heaplay", []
    if "traces" in given.sets:
        for trace in traces_of(given):
            row, operations = replay_trace(heaplay, trace, chosen, given.samples)
            if given.counts:
                add_counts(row, operations, heaplay, trace, chosen, said)
            rows.append(row)
            said(f"{row.name}")
    if "threads" in given.sets:
        rows += [run_threads(given.out, name, chosen, given.blocks) for name in THREADS]
    if "programs" in given.sets:
        for workload in (w for w in catalog.WORKLOADS if w.program):
            try:
                rows.append(run_program(given.out, workload, chosen, given.blocks, said))
            except catalog.Unavailable as error:
                said(f"left out: {error}")
    for row in rows:
        for name, why in row.failed.items():
            said(f"{row.kind}/{row.name} under {name}: {why}")
    return rows


def traces_of(given):
    if given.trace:
        return given.trace
    directory = document.ROOT / "traces"
    table = json.loads((directory / "suites.json").read_text(encoding="utf-8"))["suites"]
    suite = "quick" if given.quick else "default"
    found = [path for pattern in table[suite] for path in sorted(directory.glob(pattern))]
    if not found:
        raise run.RunError(f"suite {suite}: {directory} holds none of its traces; make traces records them")
    return found


def arguments(words):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0],
                                     epilog="A row is won at most 1.00 of the best peer on both axes, held up to 1.03.")
    parser.add_argument("--quick", action="store_true", help="suite quick and the threads set, under two minutes")
    parser.add_argument("--sets", default="",
                        help="of: traces threads programs (default all; --quick: the first two)")
    parser.add_argument("--trace", action="append", help="these traces instead of the suite")
    parser.add_argument("--subject", default="cellmalloc", help="the allocator that is scored (default cellmalloc)")
    parser.add_argument("--allocs", default="", help="subject and peers, names or NAME=PATH (default all installed)")
    parser.add_argument("--samples", type=int, help="processes per trace and allocator (default 10; --quick: 4)")
    parser.add_argument("--blocks", type=int, help="runs per program and threads row (default 6; --quick: 2)")
    parser.add_argument("--counts", action="store_true",
                        help="instructions and system calls of each trace too (slow)")
    parser.add_argument("--out", default=os.environ.get("OUT", "build/release"), help="build directory")
    parser.add_argument("--history", default=str(HISTORY), help="file to append to ('' for none)")
    given = parser.parse_args(words)
    given.samples = (4 if given.quick else 10) if given.samples is None else given.samples
    given.blocks = (2 if given.quick else 6) if given.blocks is None else given.blocks
    given.sets = given.sets.split() or (["traces", "threads"] if given.quick else ["traces", "threads", "programs"])
    wrong = set(given.sets) - {"traces", "threads", "programs"}
    if wrong or given.samples < 1 or given.blocks < 1:
        parser.error(f"unknown set '{sorted(wrong)[0]}'" if wrong else "--samples and --blocks must be above 0")
    return given


def said(text):
    print(f"scoreboard: {text}", file=sys.stderr, flush=True)


def main(words=None):
    given = arguments(words)
    try:
        chosen = allocators.find_all(given.allocs.split(), given.out, said)
        names = [allocator.name for allocator in chosen]
        if given.subject not in names:
            raise allocators.AllocatorError(f"subject '{given.subject}' is not among the allocators: {' '.join(names)}")
        peers = [name for name in names if name != given.subject]
        if not peers:
            raise allocators.AllocatorError("no peer to compare with; install one or name it with --allocs")
        rows = measure(given, chosen, said)
        fixed = {"created": document.document("bench", {}, {}, [])["created"], "commit": document.git_commit() or "",
                 "mode": "quick" if given.quick else "full"}
        lines = [history_row(row, given.subject, peers, fixed) for row in rows]
        for kind in given.sets:
            print(f"\n{kind}")
            of_kind = [line for line in lines if line["set"] == kind]
            print("\n".join(line_text(line) for line in of_kind))
            print(means(of_kind, [row for row in rows if row.kind == kind], given.subject, peers))
        if given.history:
            append_history(Path(given.history), lines)
            print(f"\nappended to {given.history}")
    except allocators.AllocatorError as error:
        said(error)
        return 4
    except (run.RunError, OSError) as error:
        said(error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
