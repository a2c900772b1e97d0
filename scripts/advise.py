#!/usr/bin/env python3
"""Says which allocator of a run fits which aim: throughput, memory, or both alike."""
import argparse
import sys
from pathlib import Path

import guard
from heaplay_report import load, schema, stats, verdict
from heaplay_report.words import plural

RESULTS = Path(__file__).resolve().parent.parent / "results"
AIMS = {"throughput": (1.0, 0.0), "memory": (0.0, 1.0), "balance": (0.5, 0.5)}
WORDS = {"throughput": "least time per operation", "memory": "least peak RSS",
         "balance": "least of both (geometric mean of time and peak RSS)"}


def series(run, first, second, weights):
    """Per trace, the weighted log-ratios of first to second, block by block."""
    found = []
    for trace in run.traces:
        parts = [weight * verdict.logs_for(run, trace, measure, first, second)
                 for measure, weight in zip(verdict.MEASURES, weights)]
        if len(parts[0]) and len(parts[0]) == len(parts[1]):
            found.append(sum(parts))
    return found


def ranking(run, weights):
    """[(name, estimate against the leader)], the leader first; who completed every trace and kept the contract."""
    whole = [name for name in run.allocators
             if not run.distrusted(name) and all(run.row(trace, name) for trace in run.traces)]
    if not whole:
        return []
    costs = {name: stats.estimate(series(run, name, whole[0], weights)) for name in whole}
    order = sorted((name for name in whole if costs[name]), key=lambda name: costs[name].ratio)
    return [(name, stats.estimate(series(run, name, order[0], weights))) for name in order]


def advice(run, aim):
    """Sentences on one aim."""
    ranked = ranking(run, AIMS[aim])
    if not ranked:
        return [f"{aim}: no allocator completed every trace; nothing can be advised"]
    leader = ranked[0][0]
    if not ranked[0][1].bounded:
        return [f"{aim}: {ranked[0][1].pairs} paired samples bound nothing, at least {stats.FEWEST_BLOCKS} are needed; "
                "measure for longer"]
    tied = [name for name, found in ranked[1:] if found.claimed == 0]
    behind = [(name, found) for name, found in ranked[1:] if found.claimed > 0]
    choice = f"{leader}" + (f" (not shown to be better than {', '.join(tied)})" if tied else "")
    lines = [f"{aim}: {choice}: {WORDS[aim]}"]
    for name, found in behind:
        lines.append(f"    {name} needs {verdict.span(max(0.0, found.low - 1), found.high - 1)} more")
    return lines


def exceptions(run, aim):
    """Traces on which another allocator than the overall leader is shown to be ahead."""
    ranked = ranking(run, AIMS[aim])
    if not ranked:
        return []
    leader, lines = ranked[0][0], []
    for trace in run.traces:
        better = []
        for name in run.allocators:
            logs = [weight * verdict.logs_for(run, trace, measure, name, leader)
                    for measure, weight in zip(verdict.MEASURES, AIMS[aim])]
            able = name != leader and not run.distrusted(name) and len(logs[0]) == len(logs[1])
            found = stats.estimate([sum(logs)]) if able else None
            if found and found.claimed < 0:
                better.append((found.ratio, name, found))
        if better:
            _, name, found = min(better, key=lambda one: one[:2])
            lines.append(f"    but on {run.label(trace)} {name} needs "
                         f"{verdict.span(max(0.0, 1 - found.high), 1 - found.low)} less than {leader}")
    return lines


@guard.one_line("heaplay advise")
def main(argv=None):
    parser = argparse.ArgumentParser(prog="heaplay advise", description=__doc__)
    parser.add_argument("run", nargs="?", help="results.json or its directory (the newest run)")
    parser.add_argument("--aim", choices=sorted(AIMS), help="only this aim")
    options = parser.parse_args(argv)
    try:
        run = load.load(options.run or load.newest(RESULTS))
    except schema.ResultsError as error:
        print(f"heaplay advise: {error}", file=sys.stderr)
        return schema.EXIT_BAD_INPUT
    print(f"{plural(len(run.traces), 'trace')}; {run.filter_words()}; bounds at {verdict.percent(stats.CONFIDENCE)}")
    incomplete = sorted({row["allocator"] for row in run.failed}, key=load.order_key)
    if incomplete:
        print(f"left out, because they failed on a trace: {', '.join(incomplete)}")
    broken = [name for name in run.allocators if run.distrusted(name)]
    if broken:
        print(f"left out, because verify found them to break malloc's contract: {', '.join(broken)}")
    for aim in [options.aim] if options.aim else AIMS:
        for line in advice(run, aim) + exceptions(run, aim):
            print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
