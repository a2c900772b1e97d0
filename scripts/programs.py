#!/usr/bin/env python3
"""Whole programs under each allocator: wall time, peak RSS, faults, with the output compared and the malloc proved.

Each block runs every allocator once in a random order: hyperfine takes the wall time, and the static launcher that it
starts takes peak RSS (wait4) and faults. Servers run under their load, whose wall time is taken. "glibc-again" is glibc
a second time.
"""

import argparse
import hashlib
import os
import random
import shlex
import sys
from pathlib import Path

from heaplay_bench import allocators, control, document, prediction, run
from heaplay_report import stats
from workloads import catalog

FIGURES = ("elapsed_ns", "cpu_ns", "peak_rss_kib", "minor_faults", "major_faults")


class Subject:
    """One program with its inputs made, and what is needed to run it under an allocator."""

    def __init__(self, workload, out, scale):
        self.workload, self.out = workload, out
        self.work = catalog.prepare(workload, Path(out) / "workloads", workload.size * scale)
        self.plain = catalog.environment(workload, self.work)
        self.stdin = self._stdin()
        self.identity = {}

    def _stdin(self):
        name = self.workload.stdin
        return str(self.work / name) if name and not name.startswith("/") else name

    def environment(self, allocator):
        # A program that brings its own allocator gets libc's only when libc comes first.
        preload = allocator.environment() or ({"LD_PRELOAD": allocators.libc_path()} if self.own_allocator else {})
        return {**self.plain, **preload}

    @property
    def own_allocator(self):
        """The library that the unchanged program takes malloc from, when it is not libc."""
        return self.identity.get("own")

    def prove(self, chosen):
        """Which library each allocator's run really used; a sentence when it is not the one meant."""
        bound = self._bindings(self.plain)
        libc = allocators.libc_path()
        proved, _ = allocators.judge_bindings(bound, libc)
        if not proved:
            self.identity["own"] = ", ".join(allocators.providers(bound)) or "itself"
        for allocator in chosen:
            wanted = allocator.path or libc
            self.identity[allocator.name] = allocators.judge_bindings(self._bindings(self.environment(allocator)),
                                                                      wanted)

    def _bindings(self, environment):
        if not self.workload.load:
            return allocators.bindings_of(catalog.program(self.workload, self.work), environment, self.work,
                                          self.stdin)
        prefix = self.work / ".bindings"
        run.run_server(self.out, self.workload, self.work,
                       {**environment, "LD_DEBUG": "bindings", "LD_DEBUG_OUTPUT": str(prefix)}, self.work / ".log")
        newest = max(self.work.glob(".bindings.*"), key=lambda path: path.stat().st_size, default=None)
        text = newest.read_text(errors="replace") if newest else ""
        for path in self.work.glob(".bindings.*"):
            path.unlink()
        return allocators.parse_bindings(text)

    def output_path(self):
        return self.work / (".stdout" if self.workload.output in ("stdout", "none") else self.workload.output)

    def output_hash(self):
        if self.workload.output == "none":
            return ""
        path = self.output_path()
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "no output"

    def once(self, allocator, timed):
        """One run: the launcher's line, with the output's hash, and hyperfine's wall time when asked for."""
        environment, log = self.environment(allocator), self.work / ".log"
        log.unlink(missing_ok=True)
        if self.workload.load:
            return {**run.run_server(self.out, self.workload, self.work, environment, log), "output": ""}
        # A random variable moves the stack, so that no layout is measured all the time.
        environment["HEAPLAY_PAD"] = "x" * random.randrange(1, 4096)
        self.output_path().unlink(missing_ok=True)
        words = run.launch_words(self.out, catalog.program(self.workload, self.work), environment, self.work, log,
                                 self.stdin, self.work / ".stdout")
        times = run.hyperfine([shlex.join(words)], 1, self.work / ".hyperfine.json", self.work) if timed else [[0]]
        if not timed:
            run.plain(words)
        line = run.read_log(log)[-1]
        if timed:
            line["elapsed_ns"] = times[0][0]
        return {**line, "output": self.output_hash()}


def row_of(subject, allocator, runs, reference):
    """A row of the results document from its runs, [(block, line)]."""
    row = {"trace": subject.workload.name, "allocator": allocator.name, "status": "ok",
           "identity": subject.identity[allocator.name][1]}
    if subject.own_allocator:
        row["own_allocator"] = subject.own_allocator
    if not subject.identity[allocator.name][0]:
        return {**row, "status": "wrong", "status_text": subject.identity[allocator.name][1]}
    for _, line in runs:
        status, text = run.status_of(line)
        if status == "ok" and line["output"] != reference:
            status, text = "wrong", "its output differs from that under glibc"
        if status != "ok":
            return {**row, "status": status, "status_text": text}
    row["blocks"] = [block for block, _ in runs]
    for name in FIGURES:
        row[name] = document.figure([1000 * (line["user_us"] + line["system_us"]) if name == "cpu_ns" else line[name]
                                     for _, line in runs])
    return row


def measure(subject, chosen, blocks, said):
    """All rows of one program: a warming run each, then blocks in random order."""
    subject.prove(chosen)
    runs = {allocator.name: [] for allocator in chosen}
    first = {allocator.name: subject.once(allocator, False) for allocator in chosen}
    base = next((a.name for a in chosen if a.name == "glibc"), chosen[0].name)
    reference = first[base]["output"]
    live = []
    for allocator in chosen:
        proved = subject.identity[allocator.name][0]
        broken = run.status_of(first[allocator.name])[0] != "ok" or first[allocator.name]["output"] != reference
        if broken or not proved:
            runs[allocator.name] = [(0, first[allocator.name])]
        else:
            live.append(allocator)
    for block in range(blocks):
        random.shuffle(live)
        for allocator in live:
            runs[allocator.name].append((block, subject.once(allocator, True)))
    rows = [row_of(subject, allocator, runs[allocator.name], reference) for allocator in chosen]
    for row in rows:
        if row["status"] != "ok":
            said(f"{row['trace']} under {row['allocator']}: {row['status']}: {row['status_text']}")
    return rows


def by_block(row, name):
    return dict(zip(row["blocks"], row[name]["samples"]))


def ratios(rows, base, names):
    """{figure: {allocator: Estimate}}: geometric means over the programs that both have, against base."""
    table = {(row["trace"], row["allocator"]): row for row in rows if row["status"] == "ok"}
    programs = sorted({trace for trace, _ in table})
    out = {}
    for figure in ("elapsed_ns", "cpu_ns", "peak_rss_kib", "minor_faults"):
        out[figure] = {}
        for name in names:
            pairs = [(table[p, name], table[p, base]) for p in programs if (p, name) in table and (p, base) in table]
            out[figure][name] = stats.estimate([stats.paired_logs(by_block(a, figure), by_block(b, figure))
                                                for a, b in pairs])
    return out


def floor_of(table, program, base, figure):
    """How far apart the base and its control are on a program."""
    again, first = table.get((program, control.NAME)), table.get((program, base))
    return control.floor(stats.ratio(by_block(again, figure), by_block(first, figure)) if again and "blocks" in again else None)


def cell(row, first, figure, floor):
    """The ratio; with a star when the run shows a difference."""
    if not row or row["status"] != "ok":
        return row["status"] if row else "-"
    found = stats.ratio(by_block(row, figure), by_block(first, figure))
    return f"{found.ratio:.3f}{control.mark(found, floor, row['allocator'])}" if found else "-"


def print_figure(rows, names, base, figure, title, scale):
    table = {(row["trace"], row["allocator"]): row for row in rows}
    print(f"\n{title} under {base}, then ratios to it (* a difference that this run shows)")
    print(f"{'program':16s}{base:>10s}" + "".join(f"{name[:11]:>12s} " for name in names if name != base))
    floors = []
    for program in dict.fromkeys(row["trace"] for row in rows):
        first = table.get((program, base))
        if not first or first["status"] != "ok":
            print(f"{program:16s}{first['status'] if first else '-':>10s}")
            continue
        floors.append((floor_of(table, program, base, figure), program))
        cells = [cell(table.get((program, name)), first, figure, floors[-1][0]) for name in names if name != base]
        print(f"{program:16s}{first[figure]['median'] / scale:10.1f}" + "".join(f"{c:>13s}" for c in cells))
    if floors and control.NAME in names:
        worst, program = max(floors)
        print(f"{base} against itself is at worst {100 * worst:.1f} % apart ({program}); on no program is less called a "
              "difference than its own control shows")


def print_table(rows, names, base):
    for figure, title, scale in (("elapsed_ns", "wall time, ms", 1e6), ("cpu_ns", "CPU time, ms", 1e6),
                                 ("peak_rss_kib", "peak RSS, MiB", 1024), ("minor_faults", "minor faults, thousands", 1000)):
        print_figure(rows, names, base, figure, title, scale)
    print("\ngeometric means over the programs, against " + base + " (95 % intervals of this run)")
    for figure, means in ratios(rows, base, [n for n in names if n != base]).items():
        floor = control.floor(means.get(control.NAME))
        print(f"{figure:14s}" + "   ".join(f"{name} {e.ratio:.3f} [{e.low:.3f}, {e.high:.3f}]{control.mark(e, floor, name)}"
                                           for name, e in means.items() if e))
    for name in names:
        left_out = [f"{row['trace']} ({row['status']})" for row in rows if row["allocator"] == name and row["status"] != "ok"]
        if left_out:
            print(f"without {name}: {', '.join(left_out)}")


def traces_of(rows, subjects):
    """Each program's description, in the place where a replay's document describes traces."""
    return {name: {"path": None, "sha256": None, "operations": 0, "threads": 1, "peak_live_bytes": 0,
                   "origin": "program", "command": subjects[name].workload.what, "by_kind": {}}
            for name in dict.fromkeys(row["trace"] for row in rows)}


def arguments(words):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], epilog="Programs: " + ", ".join(
        workload.name for workload in catalog.WORKLOADS if workload.program))
    parser.add_argument("--allocs", default="", help="names or NAME=PATH, blank-separated (default: all installed)")
    parser.add_argument("--programs", default="", help="names, blank-separated (default: all)")
    parser.add_argument("--blocks", type=int, default=8, help="runs of each program under each allocator (default 8)")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the size of the inputs (default 1)")
    parser.add_argument("--out", default=os.environ.get("OUT", "build/release"), help="build directory")
    parser.add_argument("--results", help="directory to write (default: results/DATE-programs)")
    parser.add_argument("--predict", type=int, default=6, metavar="SAMPLES",
                        help="samples of the replay of each program's bundled trace, which ought to predict it (default 6; "
                        "0: no prediction)")
    given = parser.parse_args(words)
    if given.blocks < 1 or given.scale <= 0:
        parser.error("--blocks and --scale must be above 0")
    unknown = [name for name in given.programs.split() if name not in catalog.BY_NAME]
    if unknown:
        parser.error(f"unknown program '{unknown[0]}'; --help lists them")
    return given


def selected(names):
    return [workload for workload in catalog.WORKLOADS if (workload.name in names if names else workload.program)]


def predictions(rows, chosen, given):
    """What replays of the bundled traces predict of the programs, on inputs of the size that was recorded."""
    found = []
    if given.scale != 1 and given.predict:
        said("no predictions: the traces were recorded at --scale 1")
    if given.scale != 1 or not given.predict:
        return found
    plain = [allocator for allocator in chosen if allocator.name != control.NAME]
    for program in dict.fromkeys(row["trace"] for row in rows):
        trace = document.ROOT / "traces" / f"{program}.hpt"
        if not trace.exists():
            continue
        said(f"replay of {trace.name}")
        try:
            replayed = prediction.replay(given.out, trace, plain, given.predict)
        except prediction.PredictionError as error:
            said(error)
            continue
        found += prediction.predict([row for row in rows if row["trace"] == program], replayed)
    return found


def said(text):
    print(f"programs: {text}", file=sys.stderr)


def main(words=None):
    given = arguments(words)
    try:
        chosen = allocators.find_all(given.allocs.split(), given.out, said)
        if not given.allocs:
            chosen.append(allocators.Allocator(control.NAME, None))
        rows, subjects, identity = [], {}, {}
        todo = selected(given.programs.split())
        for position, workload in enumerate(todo):
            said(f"{position + 1}/{len(todo)} {workload.name}: {workload.what}")
            try:
                subjects[workload.name] = Subject(workload, given.out, given.scale)
                rows += measure(subjects[workload.name], chosen, given.blocks, said)
            except catalog.Unavailable as error:
                said(f"left out: {error}")
        if not rows:
            raise run.RunError("no program could be run")
    except (allocators.AllocatorError, run.RunError, OSError) as error:
        said(error)
        return 4 if isinstance(error, allocators.AllocatorError) else 2
    for allocator in chosen:
        described = allocators.describe(allocator)
        bad = [row["trace"] for row in rows if row["allocator"] == allocator.name and row["identity"] != "proved"]
        described["identity"] = f"not proved in {', '.join(bad)}" if bad else "proved"
        identity[allocator.name] = described
    predicted = predictions(rows, chosen, given)
    made = document.document("programs", identity, traces_of(rows, subjects), rows, predictions=predicted)
    path = document.write(made, given.results or document.results_directory("programs"))
    names = [allocator.name for allocator in chosen]

    def print_all():
        print_table(rows, names, "glibc" if "glibc" in names else names[0])
        if predicted:
            prediction.print_pairs(predicted)
            prediction.print_summary(predicted)

    document.show(path, print_all)
    return 0 if all(row["status"] == "ok" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
