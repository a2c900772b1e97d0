"""Comparisons in words: who won what, by how much, with which confidence."""
import statistics
from typing import NamedTuple

from . import load, stats


# The counters behind VmHWM are kept per CPU and lag, perhaps in every sample alike, which no interval shows (METHOD.md, Limits).
# A mean over traces has no such bound: the lag is another on each.
KERNEL_LAG_KIB = 300
ORDER_WARNING = 1.5     # peak of the parallel replay over the peak in recorded order


class Measure(NamedTuple):
    key: str
    noun: str
    less: str           # the word for the allocator that needs less of it
    more: str
    unit: str
    lag: float = 0.0    # what the source of the figure can be off; medians of one trace that are closer are not told apart
    plus: str = ""      # the key of a figure that is added, block by block

    def samples(self, row):
        """Block number to value."""
        found, added = load.by_block(row, self.key), load.by_block(row, self.plus)
        return {block: found[block] + added[block] for block in found if block in added} if self.plus else found


TIME = Measure("ns_per_op", "time per operation", "faster", "slower", "ns/op")
MEMORY = Measure("peak_rss_kib", "peak RSS", "leaner", "larger", "KiB", KERNEL_LAG_KIB)
WITH_START = Measure("peak_rss_kib", "peak RSS with start-up", "leaner", "larger", "KiB", KERNEL_LAG_KIB, "start_rss_kib")
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
    return stats.paired_logs(measure.samples(run.row(trace, first)), measure.samples(run.row(trace, second)))


def compare_on_trace(run, trace, measure, first, second, floor=0.0):
    found = stats.estimate([logs_for(run, trace, measure, first, second)])
    if not found:
        return None
    medians = tuple(statistics.median(measure.samples(run.row(trace, name)).values()) for name in (first, second))
    return Comparison(measure, trace, first, second, found, floor, medians)


def compare_overall(run, measure, first, second, floor=0.0, traces=None):
    """Geometric mean over the traces (all) on which both succeeded."""
    found = stats.estimate([logs_for(run, trace, measure, first, second) for trace in traces or run.traces])
    return found and Comparison(measure, None, first, second, found, floor)


def twins(run):
    """[(again, the allocator that it is)] of the A/A controls."""
    return [(name, name[:-len(load.AGAIN)]) for name in run.all_allocators if name.endswith(load.AGAIN)]


def control(run):
    """The A/A control: an allocator against itself, per measure, on each trace."""
    outcome = [compare_on_trace(run, trace, measure, again, twin)
               for again, twin in twins(run) for measure in MEASURES for trace in run.traces]
    return [found for found in outcome if found]


def claimed_distance(outcome):
    """The largest relative difference that is claimed, else 0."""
    return max((max(found.estimate.ratio, 1 / found.estimate.ratio) - 1 for found in outcome if found.claimed), default=0.0)


def control_floor(outcome, trace, measure):
    """The relative difference below which nothing is claimed on a trace: what the A/A control claimed there."""
    return claimed_distance(found for found in outcome if (found.measure, found.trace) == (measure, trace))


def overall_floor(run, measure, traces):
    """The same of a mean over traces."""
    outcome = [compare_overall(run, measure, again, twin, traces=traces) for again, twin in twins(run)]
    return claimed_distance(found for found in outcome if found)


def control_words(outcome):
    """One sentence per measure."""
    if not outcome:
        return ["This run has no A/A control: small differences deserve distrust."]
    sentences = []
    for measure in MEASURES:
        found = [one for one in outcome if one.measure == measure and one.estimate.bounded]
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


def overall_measures(run):
    """Those of statements over all traces; a run may be of before rows held what is resident at the start."""
    return [*MEASURES, *(measure for measure in (WITH_START,) if any(map(measure.samples, run.by_key.values())))]


def run_ahead(run):
    """{trace: ratio} of those whose threads, replayed in parallel, hold much more at once than in recorded order: peak over
    peak, median of the allocators. Their peak says as much about order as about allocators."""
    found = {}
    for trace in run.traces:
        ratios = []
        for name in run.allocators:
            row = run.row(trace, name)
            serial = max((point["rss_kib"] for point in (row or {}).get("curve", [])), default=0)
            if serial > 0:
                ratios.append(load.figure_value(row, "peak_rss_kib") / serial)
        typical = sorted(ratios)[len(ratios) // 2] if ratios else 1
        if typical > ORDER_WARNING:
            found[trace] = typical
    return found


def means_over(run, measure):
    """[(words, traces)] that the means of a measure are over: all; of memory, which one such trace can carry, also those
    that do not run ahead."""
    ahead = run_ahead(run) if measure.key == MEMORY.key else {}
    kept = [trace for trace in run.traces if trace not in ahead]
    without = [(f"without {' and '.join(map(run.label, ahead))}", kept)] if ahead and kept else []
    return [(measure.noun, run.traces), *without]


def capital(sentence):
    return sentence[0].upper() + sentence[1:]


def summary(run):
    """Sentences on the geometric means: the subject against each rival, for each measure."""
    first = run.subject()
    means = [(words, measure, traces, overall_floor(run, measure, traces))
             for measure in overall_measures(run) for words, traces in means_over(run, measure)]
    sentences = []
    for rival in run.rivals():
        found = [(words, compare_overall(run, measure, first, rival, floor, traces)) for words, measure, traces, floor in means]
        parts = [f"{capital(words)}: {phrase(one)}." for words, one in found if one]
        if parts:
            shared = sum(1 for trace in run.traces if run.row(trace, first) and run.row(trace, rival))
            over = f"geometric mean of {shared} traces" if shared != 1 else "1 trace"
            sentences.append(f"{run.title(first)} against {run.title(rival)} ({over}). {' '.join(parts)}")
    return sentences


def ranking(run, measure, traces):
    """The allocators that completed each of the traces and kept the contract, the one that needs least first, with its
    comparison to each other."""
    whole = [name for name in run.allocators
             if not run.distrusted(name) and all(run.row(trace, name) for trace in traces)]
    if not whole:
        return None, []
    means = {name: compare_overall(run, measure, name, whole[0], traces=traces) for name in whole[1:]}
    means = {name: found.estimate.ratio for name, found in means.items() if found} | {whole[0]: 1.0}
    order = sorted(means, key=means.get)
    floor = overall_floor(run, measure, traces)
    return order[0], [compare_overall(run, measure, order[0], name, floor, traces) for name in order[1:]]


def first_place(run, measure, traces):
    """Who needs least over the traces, and by how much less than the next; None when there is nobody to compare with."""
    leader, others = ranking(run, measure, traces)
    if not others:
        return None
    ties = [found.second for found in others if found.claimed == 0]
    behind = [found for found in others if found.claimed < 0]
    words = leader
    if ties:
        words += f", level with {' and '.join(ties)} (no difference shown)"
    if behind:
        words += f"; {phrase(behind[0])} than the next, {behind[0].second}"
    return words


def winners(run):
    """For each measure who needs least over all traces; for memory also over those that do not run ahead."""
    sentences = []
    over = f"over the {len(run.traces)} traces" if len(run.traces) != 1 else "on the one trace"
    for measure in overall_measures(run):
        (noun, everything), *rest = means_over(run, measure)
        places = [(f"least {noun} {over}", first_place(run, measure, everything)),
                  *((words, first_place(run, measure, traces)) for words, traces in rest)]
        if places[0][1]:
            sentences.append(" ".join(f"{capital(words)}: {place}." for words, place in places if place))
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
