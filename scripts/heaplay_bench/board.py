"""The scoreboard's arithmetic: what a row is, who is the best peer, won or held or lost, means, history.

A row has two axes that decide, time and peak RSS unless AXES says otherwise. It is won when the subject is at most WON of the
best peer on both, held up to HELD, else lost. A row in which the subject or all peers failed is lost. Which peer is the best
is found on other blocks than it is compared on.
"""

import csv
import dataclasses
import statistics
import typing

from heaplay_bench import run
from heaplay_report import stats

WON, HELD = 1.00, 1.03
AXES = {"small": ("rss", "faults"), "blow-up": ("rss",)}
TITLES = {"elapsed": "time", "rss": "peak RSS", "faults": "faults"}
ABOUT = {
    "traces": "bundled traces, replayed: one pass in a fresh process",
    "threads": "threads on shared cores: the number after the dash",
    "programs": "whole programs",
    "small": "small processes; peak RSS and faults decide, `empty` is a preloaded library that does nothing",
    "blow-up": "peak RSS of a trace replayed by its threads / by one (aim: at most 1.10); the null allocator's is taken off",
}
COLUMNS = ("created", "commit", "mode", "set", "row", "subject", "verdict", "time_ratio", "time_low", "time_high",
           "time_peer", "rss_ratio", "rss_peer", "faults_ratio", "time_vs_glibc", "rss_vs_glibc",
           "instructions_per_op", "system_calls", "left_ratio", "rss", "left", "machine", "blocks")


@dataclasses.dataclass
class Measured:
    """One row of the board under one allocator: {block: value} for each axis, and single counts.

    elapsed: ns; rss: KiB (blow-up: a ratio); faults: minor ones. Counts: instructions per operation, system_calls, and of
    traces footprint and left: peak RSS and RSS left once all is freed, both over the peak of live bytes.
    """
    elapsed: dict
    rss: dict
    faults: dict
    counts: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Row:
    kind: str                           # one of ABOUT
    name: str
    by: dict                            # allocator -> Measured
    failed: dict = dataclasses.field(default_factory=dict)      # allocator -> why


@dataclasses.dataclass
class Axis:
    peer: str                           # the best one of all blocks
    estimate: typing.Any                # stats.Estimate of subject / the best one, chosen on other blocks than compared


def median(values):
    return statistics.median(values.values()) if values else None


def lowest(peers, blocks):
    """Of {peer: {block: value}} the peer with the lowest median over the blocks."""
    return min(peers, key=lambda name: statistics.median(peers[name][block] for block in blocks))


def best(row, subject, peers, axis):
    """The peer with the lowest median on the axis, and the subject's ratio to the best peer.

    The lowest of several noisy medians is lower than what it measures, so that equal allocators would seem to lose. Therefore
    the peer is chosen on one half of the blocks that all have and compared on the other, and the other way round; the ratio
    is the geometric mean over all these blocks. Where peers differ by less than the noise, the one that is chosen may
    not be the truly best: then the ratio errs towards the subject, by no more than those peers differ. With fewer than two
    common blocks, peer and ratio are of the same samples.
    """
    have = {name: getattr(row.by[name], axis) for name in peers if name in row.by and getattr(row.by[name], axis)}
    if subject not in row.by or not have:
        return None
    ours = getattr(row.by[subject], axis)
    named = min(have, key=lambda name: median(have[name]))
    common = sorted(set(ours).intersection(*have.values()))
    if len(common) < 2:
        estimate = stats.ratio(ours, have[named])
        return Axis(named, estimate) if estimate else None
    halves = common[::2], common[1::2]
    logs = []
    for choose_on, compare_on in (halves, halves[::-1]):
        peer = have[lowest(have, choose_on)]
        logs += list(stats.paired_logs({block: ours[block] for block in compare_on}, peer))
    estimate = stats.estimate([logs])
    return Axis(named, estimate) if estimate else None


def best_count(row, peers, name):
    """The lowest of the peers' counts, or None."""
    have = [row.by[peer].counts[name] for peer in peers if peer in row.by and name in row.by[peer].counts]
    return min(have) if have else None


def verdict(found):
    """won, held or lost, of the deciding axes; one without figures makes the row lost."""
    if not found or None in found:
        return "lost"
    worst = max(axis.estimate.ratio for axis in found)
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


# Count -> what its mean over a set's rows is called, and how it is taken: what may be 0 has no geometric mean.
MEANS = {"footprint": ("peak RSS / peak live bytes, geometric mean", stats.geometric_mean),
         "left": ("RSS left once all is freed / peak live bytes, mean", statistics.mean),
         "instructions": ("instructions per operation, geometric mean", stats.geometric_mean),
         "system_calls": ("system calls, sum", sum)}


def mean_count(rows, name, count):
    """One allocator's mean of a count over the rows that have it, or None."""
    have = [row.by[name].counts[count] for row in rows if name in row.by and count in row.by[name].counts]
    return MEANS[count][1](have) if have else None


def deciding(kind):
    """The axes that a set's rows are decided by."""
    return AXES.get(kind, ("elapsed", "rss"))


def judged(row, subject, peers):
    """(verdict, {axis: Axis or None}) of one row."""
    found = {axis: best(row, subject, peers, axis) for axis in TITLES}
    return verdict([found[axis] for axis in deciding(row.kind)]), found


def clearly_lost(row, subject, peers):
    """Whether a row is lost beyond the noise: by time with its whole interval, which one pair does not have, or by what
    repeats."""
    _, found = judged(row, subject, peers)
    known = {name: found[name].estimate for name in deciding(row.kind) if found[name]}
    return any(estimate.low > HELD and estimate.pairs > 1 if name == "elapsed" else estimate.ratio > HELD
               for name, estimate in known.items())


def beside(row, subject, peer):
    """{what: subject / peer} of the figures that repeat and may explain a difference in time; what either lacks is left out."""
    ours, theirs = row.by[subject], row.by[peer]
    figures = [("instructions", ours.counts.get("instructions"), theirs.counts.get("instructions")),
               ("faults", median(ours.faults), median(theirs.faults)),
               ("system calls", ours.counts.get("system_calls"), theirs.counts.get("system_calls"))]
    return {what: one / other for what, one, other in figures if one is not None and other}


def versus_glibc(row, subject):
    line = {}
    if subject in row.by and "glibc" in row.by:
        for key, axis in (("time_vs_glibc", "elapsed"), ("rss_vs_glibc", "rss")):
            estimate = stats.ratio(getattr(row.by[subject], axis), getattr(row.by["glibc"], axis))
            line[key] = estimate.ratio if estimate else ""
    return line


def history_row(row, subject, peers, fixed):
    """One line of history.csv as a dictionary."""
    word, found = judged(row, subject, peers)
    line = dict(fixed, set=row.kind, row=row.name, subject=subject, verdict=word, **versus_glibc(row, subject))
    time, rss, faults = (found[axis] for axis in TITLES)
    if time:
        line.update(time_ratio=time.estimate.ratio, time_peer=time.peer)
    if time and time.estimate.pairs > 1:        # one pair has no interval
        line.update(time_low=time.estimate.low, time_high=time.estimate.high)
    if rss:
        line.update(rss_ratio=rss.estimate.ratio, rss_peer=rss.peer, rss=median(row.by[subject].rss))
    if faults:
        line["faults_ratio"] = faults.estimate.ratio
    if subject in row.by:
        counts = row.by[subject].counts
        line.update(instructions_per_op=counts.get("instructions", ""), system_calls=counts.get("system_calls", ""),
                    left=counts.get("left", ""))
        others = best_count(row, peers, "left")
        if others and "left" in counts:
            line["left_ratio"] = counts["left"] / others
    return {key: f"{value:.4f}" if isinstance(value, float) else value for key, value in line.items()}


def tally(lines):
    return {word: sum(line["verdict"] == word for line in lines) for word in ("won", "held", "lost")}


def check_header(path, header):
    """Whether the file's header is this version's; an earlier one, whose columns come first here, is to be extended."""
    wanted = ",".join(COLUMNS)
    if header != wanted and not wanted.startswith(header + ","):
        raise run.RunError(f"{path}: line 1 has other columns than this version writes; move the file away")
    return header == wanted


def append_history(path, lines):
    """Append, with the header when the file is new; a file of an earlier version gets the columns it lacks, empty."""
    old = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if old and not check_header(path, old[0]):
        rows = list(csv.DictReader(old, restval=""))
        old = []
        lines = rows + list(lines)
    with open(path, "a" if old else "w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, COLUMNS, restval="", lineterminator="\n")
        if not old:
            writer.writeheader()
        writer.writerows(lines)
