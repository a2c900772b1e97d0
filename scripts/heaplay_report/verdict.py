"""Comparisons in words: who won what, by how much, with which confidence."""
from typing import NamedTuple

from . import load, stats


# The counters behind VmHWM are kept per CPU and lag, perhaps in every sample alike, which no interval shows (METHOD.md, Limits).
# A mean over traces has no such bound: the lag is another on each.
KERNEL_LAG_KIB = 300


class Measure(NamedTuple):
    key: str
    noun: str
    less: str           # the word for the allocator that needs less of it
    more: str
    unit: str
    lag: float = 0.0    # what the source of the figure can be off; medians of one trace that are closer are not told apart


TIME = Measure("ns_per_op", "time per operation", "faster", "slower", "ns/op")
MEMORY = Measure("peak_rss_kib", "peak RSS", "leaner", "larger", "KiB", KERNEL_LAG_KIB)
MEASURES = (TIME, MEMORY)


class Comparison(NamedTuple):
    measure: Measure
    trace: str          # None: geometric mean over traces
    first: str
    second: str
    estimate: stats.Estimate
    floor: float        # relative difference that the A/A control showed; nothing below it is claimed
    medians: tuple = ()     # of one trace: the two allocators' figures

    @property
    def gap(self):
        """By how much the medians differ, in the measure's unit."""
        return max(self.medians) - min(self.medians)

    @property
    def lagging(self):
        """Whether the medians differ by less than their source can be off."""
        return bool(self.medians) and self.gap < self.measure.lag

    @property
    def smallest_effect(self):
        """The least relative difference that would have been claimed here."""
        lag = self.measure.lag / min(self.medians) if self.medians and min(self.medians) > 0 else 0.0
        return max(self.estimate.smallest_effect, self.floor, lag)

    @property
    def claimed(self):
        side = self.estimate.claimed
        distance = max(self.estimate.ratio, 1 / self.estimate.ratio) - 1
        return side if distance > self.floor and not self.lagging else 0


def percent(share, signed=False):
    """A share as text with the digits it deserves."""
    value = share * 100
    digits = 0 if abs(value) >= 10 else 1 if abs(value) >= 0.95 else 2
    return f"{value:+.{digits}f} %" if signed else f"{value:.{digits}f} %"


def span(low, high):
    """Two shares as "12-15 %", or one when they print the same."""
    first, second = percent(low)[:-2], percent(high)[:-2]
    if "." not in second:
        first = f"{low * 100:.0f}"
    return f"{second} %" if first == second else f"{first}-{second} %"


def times(low, high):
    first, second = f"{low:.1f}", f"{high:.1f}"
    return f"{second} times" if first == second else f"{first}-{second} times"


def phrase(comparison):
    """The verdict on one comparison: "faster by 12-15 %", or what the run could have shown."""
    found = comparison.estimate
    if not found.bounded:
        return f"no verdict: {found.pairs} paired samples, at least {stats.FEWEST_BLOCKS} are needed"
    if comparison.claimed == 0:
        if found.claimed and comparison.lagging:
            return (f"no difference shown: {comparison.gap:.0f} {comparison.measure.unit} is within the "
                    f"{comparison.measure.lag:.0f} that the kernel's count can be off")
        if found.claimed and comparison.floor:
            return (f"no difference shown: {percent(abs(found.ratio - 1))} is within the "
                    f"{percent(comparison.floor)} that the A/A control shows")
        return f"no difference shown; the smallest effect this run could show is {percent(comparison.smallest_effect)}"
    if comparison.claimed < 0:
        return f"{comparison.measure.less} by {span(max(0.0, 1 - found.high), 1 - found.low)}"
    if found.ratio >= 2:
        return f"{comparison.measure.more}: {times(found.low, found.high)} as much {comparison.measure.noun}"
    return f"{comparison.measure.more} by {span(max(0.0, found.low - 1), found.high - 1)}"


def logs_for(run, trace, measure, first, second):
    return stats.paired_logs(load.by_block(run.row(trace, first), measure.key),
                             load.by_block(run.row(trace, second), measure.key))


def compare_on_trace(run, trace, measure, first, second, floor=0.0):
    found = stats.estimate([logs_for(run, trace, measure, first, second)])
    medians = tuple(load.figure_value(run.row(trace, name), measure.key) for name in (first, second))
    return found and Comparison(measure, trace, first, second, found, floor, medians)


def compare_overall(run, measure, first, second, floor=0.0):
    """Geometric mean over the traces on which both succeeded."""
    found = stats.estimate([logs_for(run, trace, measure, first, second) for trace in run.traces])
    return found and Comparison(measure, None, first, second, found, floor)


def control(run):
    """The A/A control: an allocator against itself, per measure, over all traces (trace None) and on each."""
    outcome = []
    for again in (name for name in run.all_allocators if name.endswith(load.AGAIN)):
        twin = again[:-len(load.AGAIN)]
        for measure in MEASURES:
            outcome.append(compare_overall(run, measure, again, twin))
            outcome += [compare_on_trace(run, trace, measure, again, twin) for trace in run.traces]
    return [found for found in outcome if found]


def control_floor(outcome, trace, measure):
    """The relative difference below which nothing is claimed: what the A/A control claimed there, else 0."""
    return max((max(found.estimate.ratio, 1 / found.estimate.ratio) - 1 for found in outcome
                if found.measure == measure and found.trace == trace and found.claimed), default=0.0)


def control_words(outcome):
    """One sentence per measure."""
    if not outcome:
        return ["This run has no A/A control: small differences deserve distrust."]
    sentences = []
    for measure in MEASURES:
        found = [one for one in outcome if one.measure == measure and one.trace and one.estimate.bounded]
        if not found:
            sentences.append(f"A/A control, {measure.noun}: too few samples to bound it.")
            continue
        twin = found[0].second
        claims = [one for one in found if one.claimed]
        widest = max(one.smallest_effect for one in found)
        if claims:
            worst = max(claims, key=lambda one: abs(one.estimate.ratio - 1))
            sentences.append(
                f"A/A control, {measure.noun}: {twin} against itself differs on {len(claims)} of {len(found)} traces "
                f"(most on {worst.trace}, {percent(abs(worst.estimate.ratio - 1))}); differences below that are not "
                "claimed on those traces.")
        else:
            sentences.append(
                f"A/A control, {measure.noun}: {twin} against itself shows no difference on any of {len(found)} "
                f"traces; the smallest effect it could show is at worst {percent(widest)}.")
    return sentences


def all_comparisons(run, first=None):
    """FIRST (the report's subject) against each rival on each trace and measure."""
    first = first or run.subject()
    outcome = control(run)
    found = []
    for measure in MEASURES:
        for trace in run.traces:
            floor = control_floor(outcome, trace, measure)
            found += [compare_on_trace(run, trace, measure, first, rival, floor)
                      for rival in run.allocators if rival != first]
    return [one for one in found if one]


def chance_words(comparisons):
    """How many verdicts there are, and how many of them chance alone would make."""
    count = sum(1 for one in comparisons if one.estimate.bounded)
    return (f"{count} comparisons, each claimed by its {percent(stats.CLAIM)} interval: if no difference were real, about "
            f"{count * (1 - stats.CLAIM):.1f} of them would be claimed by chance.")


def losses(comparisons):
    """Where the first allocator is shown to need more, the largest first."""
    return sorted((one for one in comparisons if one.claimed > 0), key=lambda one: -one.estimate.ratio)


def wins(comparisons):
    return sorted((one for one in comparisons if one.claimed < 0), key=lambda one: one.estimate.ratio)


def summary(run):
    """Sentences on the geometric means: the subject against each rival, time and memory."""
    first = run.subject()
    outcome = control(run)
    sentences = []
    for rival in run.rivals():
        parts = []
        for measure in MEASURES:
            found = compare_overall(run, measure, first, rival, control_floor(outcome, None, measure))
            if found:
                parts.append(f"{measure.noun}: {phrase(found)}")
        if parts:
            shared = sum(1 for trace in run.traces if run.row(trace, first) and run.row(trace, rival))
            over = f"geometric mean of {shared} traces" if shared != 1 else "1 trace"
            sentences.append(f"{run.title(first)} against {run.title(rival)} ({over}). " + ". ".join(
                part[0].upper() + part[1:] for part in parts) + ".")
    return sentences


def ranking(run, measure):
    """The allocators that completed every trace and kept the contract, the one that needs least first, with its comparison
    to each other."""
    whole = [name for name in run.allocators
             if not run.distrusted(name) and all(run.row(trace, name) for trace in run.traces)]
    if not whole:
        return None, []
    means = {name: compare_overall(run, measure, name, whole[0]) for name in whole[1:]}
    means = {name: found.estimate.ratio for name, found in means.items() if found} | {whole[0]: 1.0}
    order = sorted(means, key=means.get)
    floor = control_floor(control(run), None, measure)
    return order[0], [compare_overall(run, measure, order[0], name, floor) for name in order[1:]]


def winners(run):
    """One sentence per measure: who needs least over all traces, and by how much less than the next."""
    sentences = []
    for measure in MEASURES:
        leader, others = ranking(run, measure)
        if not others:
            continue
        ties = [found.second for found in others if found.claimed == 0]
        behind = [found for found in others if found.claimed < 0]
        words = f"Least {measure.noun} over all traces: {leader}"
        if ties:
            words += f", level with {' and '.join(ties)} (no difference shown)"
        if behind:
            words += f"; {phrase(behind[0])} than the next, {behind[0].second}"
        sentences.append(words + ".")
    return sentences


def best(run, trace, measure):
    """The allocators that share the first place on a trace: the leader and those not shown to need more. Who broke the
    contract has no place."""
    rows = {name: load.figure_value(run.row(trace, name), measure.key) for name in run.allocators
            if not run.distrusted(name)}
    rows = {name: value for name, value in rows.items() if value is not None}
    if not rows:
        return []
    leader = min(rows, key=rows.get)
    tied = []
    for name in rows:
        found = compare_on_trace(run, trace, measure, name, leader) if name != leader else None
        if name == leader or (found and found.estimate.bounded and found.claimed == 0):
            tied.append(name)
    return tied
