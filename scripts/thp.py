#!/usr/bin/env python3
"""The scoreboard's traces and threads with huge pages as they are, `never` and `always`, system-wide: which rows does it turn?

Root only: the switch is /sys/kernel/mm/transparent_hugepage/enabled. It is put back when the run ends, fails or is ended by a
signal (all but SIGKILL). Everything else on the machine runs under the same switch meanwhile.
"""

import argparse
import contextlib
import os
import signal
import sys
from pathlib import Path

import scoreboard
from heaplay_bench import allocators, board, document, machine, run, tables

SWITCH = Path("/sys/kernel/mm/transparent_hugepage/enabled")
SETTINGS = ("never", "always")


def current(switch):
    """The setting in force: the word in brackets."""
    try:
        return machine.chosen(switch.read_text(encoding="ascii"))
    except OSError as error:
        raise run.RunError(f"{switch}: {error.strerror}; this kernel has no switch for huge pages") from None


def check_writable(switch):
    if not os.access(switch, os.W_OK):
        raise run.RunError(f"{switch} cannot be written; huge pages are switched by root only: run as root (sudo make thp)")


def on_signal(number, _frame):
    raise SystemExit(128 + number)


@contextlib.contextmanager
def restored(switch):
    """Puts the switch back, whatever ends the block; signals that end a program end the block first."""
    before = current(switch)
    check_writable(switch)
    signals = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    handlers = {number: signal.signal(number, on_signal) for number in signals}
    try:
        yield before
    finally:
        for number in signals:              # a second signal must not come between
            signal.signal(number, signal.SIG_IGN)
        switch.write_text(before, encoding="ascii")
        for number, handler in handlers.items():
            signal.signal(number, handler)


def turned(before, after):
    """[(set, row, old verdict, new one)] of rows that are judged worse than before."""
    order = ("won", "held", "lost")
    old = {(line["set"], line["row"]): line["verdict"] for line in before}
    return [(*key, old[key], line["verdict"]) for line in after
            if (key := (line["set"], line["row"])) in old and order.index(line["verdict"]) > order.index(old[key])]


def mean_cells(rows, subject, peers, names):
    """[(allocator's ratio text for time, RSS, faults)] for each peer, and against each row's best."""
    out = []
    for peer in peers:
        found = [board.geometric(rows, subject, peer, axis) for axis in board.TITLES]
        out.append((peer, *[f"{e.ratio:.3f} [{e.low:.3f}, {e.high:.3f}]" if e else "-" for e in found]))
    best = [board.geometric_of_best(rows, subject, peers, axis) for axis in board.TITLES]
    out.append((names, *[f"{value:.3f}" if value else "-" for value in best]))
    return out


def fault_cells(by_setting, names, kind):
    """Sum of each allocator's median faults over the rows of a set, setting by setting."""
    def total(rows, name):
        have = [board.median(row.by[name].faults) for row in rows if row.kind == kind and name in row.by]
        return f"{sum(value for value in have if value is not None):.0f}"
    return [(name, *[total(rows, name) for rows, _ in by_setting.values()]) for name in names]


def measure(given, chosen, subject, switch):
    """{setting: (rows, lines)}; the first is the setting that was found."""
    peers = [allocator.name for allocator in chosen if allocator.name != subject]
    found = {}
    with restored(switch) as before:
        for setting in dict.fromkeys((before, *SETTINGS)):
            switch.write_text(setting, encoding="ascii")
            said(f"huge pages: {setting}")
            rows = scoreboard.measure(given, chosen)
            found[setting] = rows, [board.history_row(row, subject, peers, {}) for row in rows]
    return found


def report(found, subject, names):
    peers = [name for name in names if name != subject]
    made = tables.Report("Huge pages", document.environment())
    settings = list(found)
    for kind in dict.fromkeys(row.kind for row in found[settings[0]][0]):
        body = []
        for setting, (rows, lines) in found.items():
            mine = [row for row in rows if row.kind == kind]
            count = board.tally([line for line in lines if line["set"] == kind])
            verdicts = f"{count['won']} / {count['held']} / {count['lost']}"
            for cells in mean_cells(mine, subject, peers, "each row's best"):
                body.append((setting, *cells, verdicts if cells[0] == "each row's best" else ""))
        made.table(f"{kind}: {subject} against each peer, geometric means",
                   ("huge pages", "allocator", "time", "peak RSS", "faults", "won / held / lost"), body)
        made.table(f"{kind}: faults, sum over the rows", ("allocator", *settings), fault_cells(found, names, kind))
    for setting in settings[1:]:
        worse = turned(found[settings[0]][1], found[setting][1])
        made.lines([f"{setting}: {kind}/{row} turns from {old} to {new}" for kind, row, old, new in worse] or
                   [f"{setting}: no row is judged worse than under {settings[0]}"])
    return made


def arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--allocs", default="", help="names or NAME=PATH, blank-separated (default: all installed)")
    parser.add_argument("--subject", default="cellmalloc", help="the allocator that is scored (default cellmalloc)")
    parser.add_argument("--sets", default="traces threads", help="sets of the scoreboard (default: traces threads)")
    parser.add_argument("--suite", default="default", help="suite of traces (default: default)")
    parser.add_argument("--trace", action="append", help="these traces instead of the suite")
    parser.add_argument("--blocks", default="2", help="runs per threads row (default 2)")
    parser.add_argument("--out", default=os.environ.get("OUT", "build/release"), help="build directory")
    parser.add_argument("--results", help="directory to write (default: results/DATE-thp)")
    parser.add_argument("--switch", type=Path, default=SWITCH, help=argparse.SUPPRESS)      # for tests
    return parser.parse_args(words)


def board_arguments(given):
    """What the scoreboard is told."""
    words = ["--sets", given.sets, "--suite", given.suite, "--allocs", given.allocs, "--subject", given.subject, "--blocks",
             given.blocks, "--out", given.out]
    for trace in given.trace or []:
        words += ["--trace", trace]
    return scoreboard.arguments(words)


def said(text):
    print(f"thp: {text}", file=sys.stderr, flush=True)


def main(words=None):
    given = arguments(words)
    told = board_arguments(given)
    try:
        current(given.switch)
        check_writable(given.switch)
        chosen, names = scoreboard.choose(told)
        found = measure(told, chosen, given.subject, given.switch)
    except allocators.AllocatorError as error:
        said(error)
        return 4
    except (run.RunError, OSError) as error:
        said(error)
        return 2
    made = report(found, given.subject, names)
    lines = {setting: lines for setting, (_, lines) in found.items()}
    print(made.write(given.results or document.results_directory("thp"), "thp", {"lines": lines}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
