"""Ratios of paired samples, their intervals, and what a run could have shown.

A sample of one allocator is paired with the sample that another gave in the same block, so that drift of the machine
cancels. All work is done on logarithms of ratios: the mean of logs is the geometric mean of ratios.
"""
from typing import NamedTuple

import numpy
import scipy.stats

SEED = 20240229         # fixed, so that the same samples always give the same report
RESAMPLES = 4000
CONFIDENCE = 0.95       # of the bounds that are printed
CLAIM = 0.99            # of the interval that must exclude 1 before a difference is claimed
FEWEST_BLOCKS = 4       # fewer pairs than this bound nothing


class Estimate(NamedTuple):
    """A ratio with its bounds; claim_low and claim_high are the wider ones that a claim rests on."""
    ratio: float
    low: float
    high: float
    claim_low: float
    claim_high: float
    pairs: int          # of one trace; over several, what is left of all after one mean for each, plus 1
    series: int         # 1 for a trace, more for a geometric mean over traces

    @property
    def bounded(self):
        return self.pairs >= FEWEST_BLOCKS

    @property
    def smallest_effect(self):
        """The least relative difference that would have been claimed with this spread."""
        return float(numpy.sqrt(self.claim_high / self.claim_low) - 1)

    @property
    def claimed(self):
        """-1: below 1, 1: above 1, 0: no difference shown."""
        if not self.bounded:
            return 0
        if self.claim_high < 1:
            return -1
        return 1 if self.claim_low > 1 else 0


def paired_logs(first, second):
    """log(first / second) for the blocks that both have; each argument maps block to a value above 0."""
    common = sorted(set(first) & set(second))
    return numpy.array([numpy.log(first[block] / second[block]) for block in common
                        if first[block] > 0 and second[block] > 0])


def _deviations(logs, generator):
    """Deviations of resampled means from the mean, widened by what resampling n values loses."""
    count = len(logs)
    if count < 2:
        return numpy.zeros(RESAMPLES)
    draws = logs[generator.integers(0, count, size=(RESAMPLES, count))].mean(axis=1)
    return (draws - logs.mean()) * numpy.sqrt(count / (count - 1))


def _half_widths(deviations, freedom, spread, confidence):
    """How far the interval reaches below and above.

    The percentiles are those that make a normal sample's interval as wide as Student's t; where so few resamples
    exist that the tail cannot be reached (few pairs), t itself is used.
    """
    quantile = scipy.stats.t.ppf(0.5 + confidence / 2, freedom)
    if freedom < 8:
        return quantile * spread, quantile * spread
    tail = scipy.stats.norm.cdf(-quantile)
    low, high = numpy.quantile(deviations, [tail, 1 - tail])
    return -low, high


def estimate(series):
    """The geometric mean of the ratios of several series of paired logs (one per trace), with intervals.

    The interval is of this run on these traces: it says nothing about traces that were not replayed.
    """
    series = [numpy.asarray(logs, dtype=float) for logs in series if len(logs)]
    if not series:
        return None
    generator = numpy.random.default_rng(SEED)
    centre = float(numpy.mean([logs.mean() for logs in series]))
    deviations = numpy.mean([_deviations(logs, generator) for logs in series], axis=0)
    spread = float(numpy.sqrt(sum(logs.var(ddof=1) / len(logs) for logs in series if len(logs) > 1)) / len(series))
    freedom = sum(len(logs) - 1 for logs in series)
    bounds = []
    for confidence in (CONFIDENCE, CLAIM):
        below, above = _half_widths(deviations, max(1, freedom), spread, confidence)
        bounds += [numpy.exp(centre - below), numpy.exp(centre + above)]
    return Estimate(float(numpy.exp(centre)), *map(float, bounds), freedom + 1, len(series))


def ratio(first, second):
    """Estimate of first / second for one trace; None when they share no block."""
    return estimate([paired_logs(first, second)])


def difference(new, old):
    """Ratio of two unpaired series of logs (of two runs): Welch's interval on the difference of their means."""
    new, old = numpy.asarray(new, dtype=float), numpy.asarray(old, dtype=float)
    pairs = min(len(new), len(old))
    if pairs == 0:
        return None
    centre = new.mean() - old.mean()
    parts = [logs.var(ddof=1) / len(logs) if len(logs) > 1 else 0.0 for logs in (new, old)]
    spread = numpy.sqrt(sum(parts))
    freedom = 1.0
    if spread > 0 and pairs > 1:
        freedom = sum(parts) ** 2 / sum(part ** 2 / (len(logs) - 1) for part, logs in zip(parts, (new, old)))
    bounds = []
    for confidence in (CONFIDENCE, CLAIM):
        reach = scipy.stats.t.ppf(0.5 + confidence / 2, freedom) * spread
        bounds += [numpy.exp(centre - reach), numpy.exp(centre + reach)]
    return Estimate(float(numpy.exp(centre)), *map(float, bounds), pairs, 1)


def median_interval(samples, confidence=CONFIDENCE):
    """Median with bounds from order statistics; with too few samples the bounds are the range."""
    ordered = numpy.sort(numpy.asarray(samples, dtype=float))
    count = len(ordered)
    rank = max(0, int(scipy.stats.binom.ppf((1 - confidence) / 2, count, 0.5)) - 1)
    return float(numpy.median(ordered)), float(ordered[rank]), float(ordered[count - 1 - rank])


def geometric_mean(values):
    return float(numpy.exp(numpy.mean(numpy.log(values))))
