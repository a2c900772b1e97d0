"""The scoreboard in the terminal (rich), as Markdown and as JSON: the same cells each time."""

import dataclasses
import json
import sys

import rich.box
import rich.console
import rich.table

from heaplay_bench import board

HEADINGS = ("row", "", "time", "95 %", "best", "RSS", "best", "faults", "calls", "instr/op", "left/live", "best")
TEXT = (0, 1, 4, 6)                     # columns of words
WIDTH = 160
COLOURS = {"won": "green", "held": "yellow", "lost": "red"}


def ratio(value, digits=3):
    return "-" if value in ("", None) else f"{float(value):.{digits}f}"


def cells(row, line, peers):
    """The cells of one row, as text."""
    interval = f"{ratio(line['time_low'], 2)}-{ratio(line['time_high'], 2)}" if line.get("time_low") else "-"
    left = board.best_count(row, peers, "left")
    calls = line.get("system_calls", "")
    return [line["row"], line["verdict"], ratio(line.get("time_ratio")), interval, line.get("time_peer", "-"),
            ratio(line.get("rss_ratio")), line.get("rss_peer", "-"), ratio(line.get("faults_ratio")),
            "-" if calls in ("", None) else f"{float(calls):.0f}", ratio(line.get("instructions_per_op"), 1),
            ratio(line.get("left"), 2), ratio(left, 2)]


def means(rows, subject, names):
    """[(axis, {peer: estimate}, against each row's best)] over the rows of one set."""
    peers = [name for name in names if name != subject]
    out = []
    for axis, title in board.TITLES.items():
        found = {peer: board.geometric(rows, subject, peer, axis) for peer in peers}
        found = {peer: estimate for peer, estimate in found.items() if estimate}
        if found:
            out.append((title, found, board.geometric_of_best(rows, subject, peers, axis)))
    return out


def mean_lines(rows, lines, subject, names):
    """Sentences below a set's table."""
    count = board.tally(lines)
    out = [f"{len(lines)} rows: {count['won']} won, {count['held']} held, {count['lost']} lost"]
    if count["lost"]:
        clear = sum(board.clearly_lost(row, subject, [name for name in names if name != subject]) for row in rows)
        axes = [board.TITLES[axis] + " with its whole interval" * (axis == "elapsed") for axis in board.deciding(rows[0].kind)]
        out[0] += f" ({clear} clearly: {' or '.join(axes)} beyond {board.HELD:.2f})"
    for title, found, overall in means(rows, subject, names):
        parts = "  ".join(f"{peer} {e.ratio:.3f} [{e.low:.3f}, {e.high:.3f}]" for peer, e in found.items())
        out.append(f"{title}: geometric mean of {subject} / {parts}  / each row's best {ratio(overall)}")
    for count, (title, _) in board.MEANS.items():
        parts = [(name, board.mean_count(rows, name, count)) for name in names]
        parts = [f"{name} {value:.3f}" for name, value in parts if value is not None]
        if parts:
            out.append(f"{title}: " + "  ".join(parts))
    return out


def absolute_lines(row, names):
    """Rows whose figures mean something by themselves: every allocator's medians."""
    out = []
    for name in names:
        if name in row.by:
            measured = row.by[name]
            faults = board.median(measured.faults)
            text = f"{board.median(measured.rss):.3f}" if row.kind == "blow-up" else \
                f"{board.median(measured.rss):.0f} KiB" + (f" {faults:.0f} faults" if faults is not None else "")
            out.append(f"{name} {text}")
    return f"{row.name}: " + ", ".join(out)


def lost_line(row, line, subject):
    """What a lost row is behind in, and how it stands to the faster peer in what repeats."""
    parts = []
    if line.get("time_ratio") and float(line["time_ratio"]) > board.WON:
        found = ", ".join(f"{what} {value:.2f}" for what, value in board.beside(row, subject, line["time_peer"]).items())
        parts.append(f"time {float(line['time_ratio']):.2f} of {line['time_peer']}" + (f" ({found} of its)" if found else ""))
    if line.get("rss_ratio") and float(line["rss_ratio"]) > board.WON:
        parts.append(f"peak RSS {float(line['rss_ratio']):.2f} of {line['rss_peer']}")
    return f"lost {row.name}: " + ("; ".join(parts) or "no figures to compare")


def line_times(line_ns):
    """What a cache line's way took while the rows of threads were measured; they compare only where that is alike."""
    known = sorted(ns for ns in line_ns if ns is not None)
    return [f"a cache line went from one processor to another and back in {known[0]:.0f} to {known[-1]:.0f} ns "
            f"({len(known)} looks between the rows): below some 100, processors share a core"] if known else []


def sections(rows, lines, subject, names, line_ns=()):
    """[(kind, rows' cells, sentences)] in the order of board.ABOUT."""
    peers = [name for name in names if name != subject]
    out = []
    for kind in board.ABOUT:
        mine = [(row, line) for row, line in zip(rows, lines) if row.kind == kind]
        if not mine:
            continue
        text = mean_lines([row for row, _ in mine], [line for _, line in mine], subject, names)
        if kind == "threads":
            text += line_times(line_ns)
        if kind in board.AXES:
            text += [absolute_lines(row, names + ["empty"]) for row, _ in mine]
        text += [lost_line(row, line, subject) for row, line in mine if line["verdict"] == "lost"]
        text += [f"no figures: {row.name} under {name}: {why}" for row, _ in mine for name, why in row.failed.items()]
        out.append((kind, [cells(row, line, peers) for row, line in mine], text))
    return out


def shown(table_rows):
    """Positions of the columns that some row has a figure for."""
    return [position for position in range(len(HEADINGS)) if any(one[position] != "-" for one in table_rows)]


def terminal(parts, console=None):
    # Where output is no terminal, a table must not be squeezed into 80 columns.
    console = console or rich.console.Console(highlight=False, soft_wrap=True,
                                              width=None if sys.stdout.isatty() else WIDTH)
    for kind, table_rows, text in parts:
        columns = shown(table_rows)
        table = rich.table.Table(title=f"{kind}: {board.ABOUT[kind]}", title_justify="left", box=rich.box.SIMPLE,
                                 pad_edge=False, padding=(0, 1))
        for position in columns:
            table.add_column(HEADINGS[position], justify="left" if position in TEXT else "right", no_wrap=True)
        for one in table_rows:
            table.add_row(*(one[position] for position in columns), style=COLOURS[one[1]])
        console.print(table)
        console.print("\n".join(text), markup=False)
        console.print()


def markdown(parts, fixed):
    out = [f"# Scoreboard of {fixed['created']}, commit {fixed['commit'] or 'unknown'} ({fixed['mode']})", "",
           f"won: at most {board.WON:.2f} of the best peer on both axes; held: up to {board.HELD:.2f}. "
           "The best peer is chosen on other blocks than it is compared on.", ""]
    for kind, table_rows, text in parts:
        columns = shown(table_rows)
        out += [f"## {kind}", "", f"{board.ABOUT[kind]}.", "",
                "| " + " | ".join(HEADINGS[position] for position in columns) + " |",
                "|" + "|".join("---" if position in TEXT else "---:" for position in columns) + "|"]
        out += ["| " + " | ".join(one[position] for position in columns) + " |" for one in table_rows]
        out += [""] + [f"* {line}" for line in text] + [""]
    return "\n".join(out)


def as_json(rows, lines, subject, names, fixed):
    """Everything that was measured, block by block, and what was made of it."""
    sets = {}
    for kind in dict.fromkeys(row.kind for row in rows):
        mine = [row for row in rows if row.kind == kind]
        sets[kind] = {
            "tally": board.tally([line for line in lines if line["set"] == kind]),
            "means": {title: {"each_best": overall, **{peer: estimate._asdict() for peer, estimate in found.items()}}
                      for title, found, overall in means(mine, subject, names)},
            "counts": {count: {name: board.mean_count(mine, name, count) for name in names} for count in board.MEANS}}
    return json.dumps({**fixed, "subject": subject, "allocators": names, "sets": sets, "lines": lines,
                       "rows": [dataclasses.asdict(row) for row in rows]}, indent=1)


def write(directory, rows, lines, subject, names, fixed):
    """scoreboard.md and scoreboard.json below a directory of this run's own."""
    directory.mkdir(parents=True, exist_ok=True)
    text = markdown(sections(rows, lines, subject, names, fixed["line_ns"]), fixed)
    (directory / "scoreboard.md").write_text(text, encoding="utf-8")
    (directory / "scoreboard.json").write_text(as_json(rows, lines, subject, names, fixed) + "\n", encoding="utf-8")
