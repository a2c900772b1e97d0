"""Intervals cover known differences, equal samples give no verdict, and figures have golden values."""
import math

import numpy
import pytest
import scipy.stats

from heaplay_report import stats


def blocks(values):
    return dict(enumerate(values))


def paired(seed, count, true_ratio, noise):
    """Two allocators' samples that share a drift and differ by a known ratio."""
    generator = numpy.random.default_rng(seed)
    drift = numpy.exp(generator.normal(0, 0.2, count))
    first = 50 * true_ratio * drift * numpy.exp(generator.normal(0, noise, count))
    second = 50 * drift * numpy.exp(generator.normal(0, noise, count))
    return blocks(first), blocks(second)


@pytest.mark.parametrize("count", [4, 6, 9, 20])
@pytest.mark.parametrize("true_ratio", [0.87, 1.0, 1.02])
def test_interval_covers_the_known_ratio(count, true_ratio):
    covered = 0
    for seed in range(100):
        found = stats.ratio(*paired(seed, count, true_ratio, 0.03))
        covered += found.low <= true_ratio <= found.high
    assert covered > 90


def test_interval_of_skewed_samples_covers():
    """A replay that is now and then disturbed: noise to one side only, in both allocators."""
    covered = 0
    for seed in range(100):
        generator = numpy.random.default_rng(seed)
        noise = numpy.exp(generator.exponential(0.03, (2, 12)))
        found = stats.ratio(blocks(40 * 0.9 * noise[0]), blocks(40 * noise[1]))
        covered += found.low <= 0.9 <= found.high
    assert covered > 90


@pytest.mark.parametrize("count", [4, 6, 9, 20])
def test_equal_allocators_are_seldom_told_apart(count):
    claims = sum(stats.ratio(*paired(seed, count, 1.0, 0.03)).claimed != 0 for seed in range(100))
    assert claims <= 5


def stopped(seed, true_ratio, noise, width=0.01, most=300):
    """Samples of a run that plans its length after ten blocks, as heaplay replay --width does (measure/stopping.h)."""
    first, second = paired(seed, most, true_ratio, noise)
    pilot = stats.paired_logs({block: first[block] for block in range(10)}, second)
    planned = math.ceil((scipy.stats.t.ppf(0.975, 9) / math.log1p(width)) ** 2 * pilot.var(ddof=1))
    count = min(max(10, planned), most)
    return {block: first[block] for block in range(count)}, second


@pytest.mark.parametrize("noise", [0.003, 0.01, 0.03])
def test_stopping_at_a_width_keeps_coverage(noise):
    """The interval covers, reaches about the width, and equal allocators stay equal."""
    found = [stats.ratio(*stopped(seed, 0.93, noise)) for seed in range(200)]
    assert sum(one.low <= 0.93 <= one.high for one in found) > 180
    if noise < 0.03:
        assert sum(one.high / one.low < 1.01 ** 2 * 1.005 for one in found) > 180
    assert sum(stats.ratio(*stopped(seed, 1.0, noise)).claimed != 0 for seed in range(200)) <= 10


def test_a_clear_difference_is_claimed_with_its_sign():
    assert all(stats.ratio(*paired(seed, 10, 0.85, 0.02)).claimed == -1 for seed in range(50))
    assert all(stats.ratio(*paired(seed, 10, 1.15, 0.02)).claimed == 1 for seed in range(50))


def test_geometric_mean_over_traces_covers():
    covered = 0
    ratios = [0.8, 1.0, 1.25, 0.9]
    truth = math.exp(sum(map(math.log, ratios)) / len(ratios))
    for seed in range(100):
        series = [stats.paired_logs(*paired(seed * 10 + trace, 7, ratio, 0.04)) for trace, ratio in enumerate(ratios)]
        found = stats.estimate(series)
        covered += found.low <= truth <= found.high
    assert covered > 90


def test_pairing_removes_drift():
    first, second = paired(3, 12, 0.9, 0.005)
    paired_width = stats.ratio(first, second)
    shuffled = dict(zip(second, reversed(list(second.values()))))
    unpaired_width = stats.ratio(first, shuffled)
    assert paired_width.high / paired_width.low < 1.02 < unpaired_width.high / unpaired_width.low


def test_only_common_blocks_are_paired():
    logs = stats.paired_logs({0: 2.0, 1: 2.0, 5: 9.0}, {1: 1.0, 0: 1.0, 7: 4.0})
    assert logs.tolist() == pytest.approx([math.log(2)] * 2)
    assert stats.ratio({0: 1.0}, {1: 1.0}) is None


def test_few_samples_bound_nothing():
    found = stats.ratio(blocks([1, 1.001, 1.002]), blocks([2, 2, 2]))
    assert not found.bounded and found.claimed == 0


def test_golden_values():
    """Ten ratios 1.0, 1.1 ... 1.9: Student's interval of the logs is 1.221 to 1.650, the bootstrap's close to it."""
    samples = blocks([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]), blocks([10] * 10)
    found = stats.ratio(*samples)
    assert found.ratio == pytest.approx(1.42080, abs=1e-5)
    assert found.low == pytest.approx(1.221, abs=0.012) and found.high == pytest.approx(1.650, abs=0.02)
    assert stats.ratio(*samples) == found, "the seed is fixed"


def test_difference_of_two_runs_covers():
    covered = 0
    for seed in range(100):
        generator = numpy.random.default_rng(seed)
        found = stats.difference(generator.normal(math.log(1.1), 0.03, 9), generator.normal(0, 0.05, 7))
        covered += found.low <= 1.1 <= found.high
    assert covered > 90


@pytest.mark.parametrize("count", [4, 6, 12])
def test_the_smallest_effect_is_the_least_that_is_claimed(count):
    """Samples whose ratio is 1 but for the spread, then moved to just below and just above that effect."""
    logs = numpy.resize([0.03, -0.03, 0.01, -0.01], count)
    effect = math.log1p(stats.estimate([logs]).smallest_effect)
    assert effect > 0.01
    for side in (-1, 1):
        assert stats.estimate([logs + 0.95 * side * effect]).claimed == 0
        assert stats.estimate([logs + 1.05 * side * effect]).claimed == side


def test_constant_samples_have_no_width():
    found = stats.ratio(blocks([3.0] * 5), blocks([2.0] * 5))
    assert found.low == pytest.approx(1.5) and found.high == pytest.approx(1.5) and found.claimed == 1
    assert stats.difference([0.1] * 5, [0.0] * 5).claimed == 1


def test_median_interval_by_order_statistics():
    assert stats.median_interval(range(1, 12)) == (6, 2, 10)     # binomial(11, 1/2): ranks 2 and 10 hold 98.8 %
    assert stats.median_interval([5.0]) == (5, 5, 5)
