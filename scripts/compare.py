#!/usr/bin/env python3
"""Compares two runs: what became faster or slower, leaner or larger, and whether that is beyond the interval.

Times are taken relative to the reference allocator of the same block (glibc) when its library is the same in both runs,
so that a slower day of the machine is no regression; the reference's own time is then not judged. What only one run has
is listed. Exit 0: no regression; 1: a regression; 2: runs of unlike machines; 3: nothing that can be judged, or it could not be
printed.
"""
import argparse
import math
import sys

import guard
from heaplay_report import load, schema, stats, verdict
from heaplay_report.words import plural

FINGERPRINT = ("kernel", "cpu", "cpus", "memory_kib", "thp", "overcommit", "aslr", "governor", "libc",
               "cgroup_memory_kib", "cgroup_cpus", "variables")
EXIT_REGRESSION, EXIT_UNLIKE, EXIT_USAGE = 1, 2, 2


def unlike(old, new):
    """Sentences on what the two runs do not share."""
    found = []
    for key in FINGERPRINT:
        first, second = (run.document["environment"].get(key) for run in (old, new))
        if key == "memory_kib" and first and second and abs(first - second) < 0.02 * first:
            continue
        if first != second:
            found.append(f"{key}: {first} then {second}")
    if old.condition != new.condition:
        found.append(f"conditions: {load.condition_words(old.condition)} then {load.condition_words(new.condition)}")
    for trace in sorted(set(old.traces) & set(new.traces)):
        first, second = (run.document["traces"].get(trace, {}).get("sha256") for run in (old, new))
        if first and second and first != second:
            found.append(f"trace {trace}: another file (sha256 {first[:12]} then {second[:12]})")
    return found


def only_one_has(old, new, names):
    """Lines on traces, allocators, and rows of what is shared, that one of the runs does not have; `names` are compared."""
    traces = [trace for trace in old.traces if trace in new.traces]
    lines = []
    for run, other, which in ((old, new, "the old run"), (new, old, "the new run")):
        lost = {"trace": [trace for trace in run.traces if trace not in other.traces],
                "allocator": [name for name in run.allocators if name not in other.allocators],
                "row": [f"{trace} with {name}" for trace in traces for name in names
                        if run.row(trace, name) and not other.row(trace, name)]}
        lines += [f"only in {which}: {plural(len(found), kind)}: {', '.join(found)}" for kind, found in lost.items() if found]
    return lines


def same_library(old, new, name):
    first, second = (run.document["allocators"].get(name) for run in (old, new))
    return bool(first and second) and first.get("sha256") == second.get("sha256")


def logs(run, trace, measure, name, reference):
    """Logs of an allocator's samples, relative to the reference's of the same block when there is one."""
    own = load.by_block(run.row(trace, name), measure.key)
    base = load.by_block(run.row(trace, reference), measure.key) if reference else {block: 1.0 for block in own}
    return stats.paired_logs(own, base)


def compare(old, new, names, reference):
    """Comparisons of the new run with the old one, per trace, measure and allocator; without an estimate when their samples
    have none to be compared with."""
    found = []
    for trace in [trace for trace in old.traces if trace in new.traces]:
        for name in [name for name in names if old.row(trace, name) and new.row(trace, name)]:
            for measure in verdict.MEASURES:
                if measure is verdict.TIME and name == reference:
                    continue
                # Memory does not depend on the machine's speed: no reference is needed.
                base = reference if measure is verdict.TIME else None
                one = stats.difference(logs(new, trace, measure, name, base), logs(old, trace, measure, name, base))
                medians = tuple(load.figure_value(run.row(trace, name), measure.key) for run in (new, old))
                found.append(verdict.Comparison(measure, trace, name, name, one, 0.0, medians))
    return found


def newly_failed(old, new, names):
    """Rows that the old run completed; and allocators that verify trusted then and does not now."""
    rows = [row for row in new.failed if row["allocator"] in names and old.row(row["trace"], row["allocator"])]
    return rows + [{"trace": "every trace", "allocator": name, "status": "breaks malloc's contract"}
                   for name in names if new.distrusted(name) and not old.distrusted(name)]


def judged(one):
    return one.estimate is not None and one.estimate.bounded


def report(found, failed, threshold):
    """Prints the verdicts; returns the number of regressions beyond the threshold."""
    regressions = len(failed)
    for row in failed:
        print(f"REGRESSION  {row['trace']}, {row['allocator']}: {row['status']} {row.get('status_text', '')}")
    for one in found:
        worse = judged(one) and one.claimed > 0 and one.estimate.ratio - 1 > threshold
        regressions += worse
        print(f"{'REGRESSION' if worse else 'ok' if judged(one) else 'unjudged':<11} {one.trace}, {one.first}, "
              f"{one.measure.noun}: {verdict.phrase(one) if one.estimate else 'no sample to compare it with'}")
    return regressions


@guard.one_line("heaplay compare", schema.EXIT_BAD_INPUT)
def main(argv=None):
    parser = argparse.ArgumentParser(prog="heaplay compare", description=__doc__.splitlines()[0])
    parser.add_argument("old", help="results.json or the directory of the earlier run")
    parser.add_argument("new", help="results.json or the directory of the later run")
    parser.add_argument("--alloc", action="append", default=[], help="compare this allocator (all; may be repeated)")
    parser.add_argument("--threshold", type=float, default=0.0, help="per cent of loss that is no regression (0)")
    parser.add_argument("--any-machine", action="store_true", help="compare although the machines are unlike")
    options = parser.parse_args(argv)
    if not 0 <= options.threshold < math.inf:
        parser.error(f"--threshold {options.threshold:g}: give 0 or more per cent")
    try:
        old, new = load.load(options.old), load.load(options.new)
    except schema.ResultsError as error:
        print(f"heaplay compare: {error}", file=sys.stderr)
        return schema.EXIT_BAD_INPUT
    differences = unlike(old, new)
    for line in differences:
        print(f"unlike: {line}", file=sys.stderr)
    if differences and not options.any_machine:
        print("heaplay compare: the runs are not of like machines and traces; --any-machine compares them all the same",
              file=sys.stderr)
        return EXIT_UNLIKE
    shared = [name for name in old.allocators if name in new.allocators]
    names = [name for name in shared if not options.alloc or name in options.alloc]
    missing = [name for name in options.alloc if name not in shared]
    if shared and missing:
        print(f"heaplay compare: allocator {', '.join(missing)} is not in both runs; both have: {', '.join(shared)}",
              file=sys.stderr)
        return EXIT_USAGE
    for line in only_one_has(old, new, names):
        print(line)
    reference = old.reference() if old.reference() == new.reference() else None
    if not reference or not same_library(old, new, reference):
        reference = None
    print(f"times relative to {reference}, the same library in both runs; {reference}'s own time is not judged" if reference else
          "times as they are: no reference allocator is the same in both runs")
    found, failed = compare(old, new, names, reference), newly_failed(old, new, names)
    if not found and not failed:
        print("heaplay compare: nothing to compare: the runs have no trace and allocator in common that both completed",
              file=sys.stderr)
        return schema.EXIT_BAD_INPUT
    regressions = report(found, failed, options.threshold / 100)
    print(plural(regressions, "regression"))
    if not failed and not any(map(judged, found)):
        print(f"heaplay compare: nothing could be judged: at least {stats.FEWEST_BLOCKS} samples of each row are needed",
              file=sys.stderr)
        return schema.EXIT_BAD_INPUT
    return EXIT_REGRESSION if regressions else 0


if __name__ == "__main__":
    sys.exit(main())
