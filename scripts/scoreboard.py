#!/usr/bin/env python3
"""The scoreboard: cellmalloc against each peer, row by row, won, held or lost.

Sets: bundled traces, threads, whole programs, small processes, blow-up. A row is won when cellmalloc is at most 1.00 of the
best peer in time and in peak RSS (small processes: RSS and faults), held up to 1.03, else lost. Every run appends its
rows to results/history.csv with the commit, so that each change's effect can be read, and writes scoreboard.md and
scoreboard.json.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from heaplay_bench import allocators, board, board_rows, board_text, document, machine, probe, run
from workloads import catalog

HISTORY = document.ROOT / "results" / "history.csv"
SETS = tuple(board.ABOUT)
QUICK_SETS = ("traces", "threads", "small", "blow-up")
CUT = 100_000                           # operations of a trace that callgrind sees
TRACE_SECONDS = {True: 4, False: 6}     # quick or not: no further sample of a trace after so long, three at least


def traces_of(given):
    if given.trace:
        return given.trace
    directory = document.ROOT / "traces"
    table = json.loads((directory / "suites.json").read_text(encoding="utf-8"))["suites"]
    if given.suite not in table:
        raise run.RunError(f"suite '{given.suite}' is unknown; traces/suites.json has {', '.join(table)}")
    found = [path for pattern in table[given.suite] for path in sorted(directory.glob(pattern))]
    if not found:
        raise run.RunError(f"suite {given.suite}: {directory} holds none of its traces; make traces records them")
    return found


def kinds_of_count(given):
    """The counts that were asked for and whose tool is there."""
    kinds = [kind for kind in ("instructions", "system_calls") if getattr(given, kind)]
    for kind in [kind for kind in kinds if not probe.available(kind)]:
        said(f"{kind} left out: {probe.WRAPPERS[kind][0]} is not installed")
        kinds.remove(kind)
    return kinds


def add_counts(row, operations, heaplay, trace, chosen, kinds, cache):
    """Instructions per operation (of the trace's beginning) and system calls, net of the null allocator's."""
    with tempfile.TemporaryDirectory(prefix="heaplay-cut-") as scratch:
        for kind in kinds:
            part, divisor = trace, 1
            if kind == "instructions":
                part = probe.cut(heaplay, trace, CUT, scratch) if operations > CUT else trace
                divisor = min(operations, CUT)
            floor = cache.count(kind, heaplay, part, "null", heaplay)
            for allocator in [one for one in chosen if one.name in row.by]:
                total = cache.count(kind, heaplay, part, board_rows.alloc_word(allocator),
                                    allocator.path or allocators.libc_path())
                row.by[allocator.name].counts[kind] = (total - floor) / divisor


def trace_rows(given, heaplay, chosen):
    cache, kinds = probe.Cache(Path(given.out) / "counts.json"), kinds_of_count(given)
    for trace in traces_of(given):
        limit = [] if given.exact else ["--time", TRACE_SECONDS[given.quick]]
        made = board_rows.replayed(heaplay, trace, chosen, "--samples", given.samples, *limit)
        row, operations = board_rows.from_document(made)
        add_counts(row, operations, heaplay, trace, chosen, kinds, cache)
        yield row


def threads_rows(given, chosen):
    """With how far apart the processors were before each row and after the last, which such rows depend on."""
    for name in board_rows.THREADS:
        given.line_ns.append(board_rows.line_ns(given.out))
        yield board_rows.threads_row(given.out, name, chosen, given.blocks)
    given.line_ns.append(board_rows.line_ns(given.out))


def program_rows(given, chosen):
    for workload in (one for one in catalog.WORKLOADS if one.program):
        try:
            yield board_rows.program_row(given.out, workload, chosen, given.blocks, said)
        except catalog.Unavailable as error:
            said(f"left out: {error}")


def rows_of(kind, given, chosen):
    heaplay = Path(given.out).resolve() / "heaplay"
    makers = {
        "traces": lambda: trace_rows(given, heaplay, chosen),
        "threads": lambda: threads_rows(given, chosen),
        "programs": lambda: program_rows(given, chosen),
        "small": lambda: (board_rows.small_row(given.out, name, chosen, 3 * given.blocks) for name in board_rows.SMALL),
        "blow-up": lambda: (board_rows.blow_up_row(heaplay, name, chosen, given.blocks) for name in board_rows.BLOW_UP)}
    return makers[kind]()


def measure(given, chosen):
    """All rows, and a warning for each allocator that failed in one."""
    rows = []
    for kind in given.sets:
        for row in rows_of(kind, given, chosen):
            said(f"{row.kind} {row.name}")
            for name, why in row.failed.items():
                said(f"{row.kind}/{row.name} under {name}: {why}")
            rows.append(row)
    return rows


def arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0],
                                     epilog="A row is won at most 1.00 of the best peer on both axes, held up to 1.03. The best "
                                            "peer is chosen on one half of the blocks and compared on the other, both ways.")
    parser.add_argument("--quick", action="store_true", help="suite quick, threads, small and blow-up, under two minutes")
    parser.add_argument("--sets", default="", help=f"of: {' '.join(SETS)} (default all; --quick: without programs)")
    parser.add_argument("--suite", help="of traces/suites.json (default full; --quick: quick)")
    parser.add_argument("--trace", action="append", help="these traces instead of the suite")
    parser.add_argument("--subject", default="cellmalloc", help="the allocator that is scored (default cellmalloc)")
    parser.add_argument("--allocs", default="", help="subject and peers, names or NAME=PATH (default all installed)")
    parser.add_argument("--samples", type=int,
                        help="processes per trace and allocator (default: what a few seconds allow, 10 at most; --quick: 4)")
    parser.add_argument("--blocks", type=int, default=2, help="runs per program and threads row (default 2)")
    parser.add_argument("--instructions", action="store_true",
                        help=f"instructions of each trace's first {CUT} operations (callgrind; slow, kept in OUT/counts.json)")
    parser.add_argument("--system-calls", action="store_true", help="system calls of each trace (strace; kept likewise)")
    parser.add_argument("--out", default=os.environ.get("OUT", "build/release"), help="build directory")
    parser.add_argument("--results", help="directory to write (default: results/DATE-scoreboard)")
    parser.add_argument("--history", default=str(HISTORY), help="file to append to ('' for none)")
    given = parser.parse_args(words)
    given.line_ns = []
    given.exact = given.samples is not None
    given.samples = (4 if given.quick else 10) if given.samples is None else given.samples
    given.suite = given.suite or ("quick" if given.quick else "full")
    given.sets = given.sets.split() or (QUICK_SETS if given.quick else SETS)
    wrong = sorted(set(given.sets) - set(SETS))
    if wrong or given.samples < 1 or given.blocks < 1:
        parser.error(f"unknown set '{wrong[0]}'; there are: {' '.join(SETS)}" if wrong else
                     "--samples and --blocks must be above 0")
    return given


def said(text):
    print(f"scoreboard: {text}", file=sys.stderr, flush=True)


def choose(given):
    """The allocators, and their names; the subject and a peer must be among them."""
    chosen = allocators.find_all(given.allocs.split(), given.out, said)
    names = [allocator.name for allocator in chosen]
    if given.subject not in names:
        raise allocators.AllocatorError(f"subject '{given.subject}' is not among the allocators: {' '.join(names)}")
    if len(names) == 1:
        raise allocators.AllocatorError("no peer to compare with; install one or name it with --allocs")
    return chosen, names


def main(words=None):
    given = arguments(words)
    try:
        chosen, names = choose(given)
        rows = measure(given, chosen)
        peers = [name for name in names if name != given.subject]
        found = document.document("bench", {}, {}, [])
        fixed = {"created": found["created"], "commit": machine.git_commit() or "", "mode": "quick" if given.quick else "full",
                 "machine": f"{found['environment']['cpu']}, {found['environment']['cpus']} CPUs", "blocks": given.blocks}
        lines = [board.history_row(row, given.subject, peers, fixed) for row in rows]
        fixed["line_ns"] = given.line_ns
        board_text.terminal(board_text.sections(rows, lines, given.subject, names, given.line_ns))
        directory = Path(given.results or document.results_directory("scoreboard"))
        board_text.write(directory, rows, lines, given.subject, names, fixed)
        print(directory / "scoreboard.md")
        if given.history:
            board.append_history(Path(given.history), lines)
            print(f"appended to {given.history}")
    except allocators.AllocatorError as error:
        said(error)
        return 4
    except (run.RunError, OSError) as error:
        said(error)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
