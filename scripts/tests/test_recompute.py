"""Every figure of results.json, results.csv and report.md computed again from the raw samples, by code that shares nothing
with the report's: plain numpy, Student's quantiles by simulation, other draws. For a fresh run and for the bundled example."""
import csv
import functools
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

SCRIPTS = Path(__file__).resolve().parent.parent
ROOT = SCRIPTS.parent
OUT = Path(os.environ.get("OUT", ROOT / "build" / "release"))
EXAMPLE = ROOT / "results" / "example"
CONTROLS = ("null", "bump", "glibc#again")


def fresh_run(directory):
    """A short run of two traces, one of them with threads."""
    arguments = []
    for name, more in (("one", ["--seed", "1"]), ("four", ["--threads", "4", "--seed", "2"])):
        trace = directory / f"{name}.hpt"
        subprocess.run([OUT / "heaplay", "generate", "mix", "-o", trace, "--ops", "20000", *more], check=True)
        arguments += ["--trace", trace]
    done = subprocess.run([sys.executable, SCRIPTS / "bench.py", "--heaplay", OUT / "heaplay", "--results",
                           directory / "results", "--minutes", "1", "--samples", "12", "--allocs", "cellmalloc glibc",
                           *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return (directory / "results" / "latest").resolve()


@pytest.fixture(scope="module", params=["fresh", "example"])
def run(request, tmp_path_factory):
    """(document, report.md, rows of results.csv or None)"""
    if request.param == "fresh" and not (OUT / "heaplay").exists():
        pytest.skip(f"{OUT / 'heaplay'} is not built")
    directory = EXAMPLE if request.param == "example" else fresh_run(tmp_path_factory.mktemp("recompute"))
    table = directory / "results.csv"
    return (json.loads((directory / "results.json").read_text(encoding="utf-8")),
            (directory / "report.md").read_text(encoding="utf-8"),
            list(csv.DictReader(table.open(encoding="utf-8"))) if table.exists() else None)


def ok_rows(document):
    return [row for row in document["rows"] if row["status"] == "ok"]


def samples(row, keys):
    """Block to value; of "a+b" the sum."""
    return dict(zip(row["blocks"], numpy.sum([row[key]["samples"] for key in keys.split("+")], axis=0)))


def order_statistics(values):
    """Median and the ranks that miss it with at most 2.5 % on either side; with fewer than 6 values the range."""
    ordered, count = sorted(values), len(values)
    rank = sum(sum(math.comb(count, k) for k in range(below + 1)) / 2 ** count <= 0.025 for below in range(count))
    return numpy.median(ordered), ordered[max(rank, 1) - 1], ordered[count - max(rank, 1)]


def test_medians_and_bounds_are_those_of_the_samples(run):
    seen = 0
    for row in ok_rows(run[0]):
        for value in row.values():
            if isinstance(value, dict) and "samples" in value:
                seen += 1
                assert (value["median"], value["low"], value["high"]) == pytest.approx(
                    order_statistics(value["samples"]), rel=1e-6, abs=1e-9)
    assert seen > 10 * len(ok_rows(run[0]))


def test_derived_figures_follow_from_others(run):
    nulls = {row["trace"]: row for row in ok_rows(run[0]) if row["allocator"] == "null"}
    for row in ok_rows(run[0]):
        times, peaks = samples(row, "ns_per_op"), samples(row, "peak_rss_kib")
        for block, value in samples(row, "ops_per_s").items():
            assert value == pytest.approx(1e9 / times[block], rel=1e-6)
        for block, value in samples(row, "peak_ratio").items():
            assert value == pytest.approx(peaks[block] * 1024 / row["peak_live_bytes"], rel=1e-6, abs=1e-9)
        for block, value in samples(row, "cpu_ns_per_op").items():
            parts = samples(row, "user_ns_per_op")[block] + samples(row, "system_ns_per_op")[block]
            assert value == pytest.approx(parts, rel=1e-6, abs=1e-9)
        null = nulls[row["trace"]]
        if row["allocator"] == "bump":
            continue        # replayed apart, with a null allocator that is not kept
        share = numpy.median(null["ns_per_op"]["samples"]) / numpy.median(row["ns_per_op"]["samples"])
        assert row["harness_share"] == pytest.approx(share, rel=1e-6)
        assert (row["net_ns_per_op"] is None) == (share > 0.30)
        base = samples(null, "ns_per_op")
        for block, value in samples(row, "net_ns_per_op").items() if row["net_ns_per_op"] else ():
            assert value == pytest.approx(times[block] - base[block], rel=1e-6)


def test_memory_figures_follow_from_curves(run):
    for row in ok_rows(run[0]):
        if "curve" not in row:
            continue
        live, usable = row["peak_live_bytes"], row["usable_bytes_at_peak"]
        assert row["internal_fragmentation"] == pytest.approx(usable / live - 1, rel=1e-6)
        resident = numpy.array([point["rss_kib"] * 1024 for point in row["curve"]], dtype=float)
        held = numpy.array([point["live_bytes"] for point in row["curve"]], dtype=float)
        assert row["time_average_ratio"] == pytest.approx(resident.sum() / held.sum(), rel=1e-6)
        if "timeline" not in row:
            continue        # a run of before there was an outside sampler
        assert row["at_peak_live_ratio"] == pytest.approx(row["rss_at_peak_live_kib"] * 1024 / live, rel=1e-6)
        assert row["external_fragmentation"] == pytest.approx(row["rss_at_peak_live_kib"] * 1024 / usable - 1, rel=1e-6)
        line = row["timeline"]
        span = numpy.diff(line["ms"])
        resident, held = (numpy.array(line[key], dtype=float) for key in ("rss_kib", "live_bytes"))
        mean = [(span * (values[1:] + values[:-1]) / 2).sum() for values in (resident * 1024, held)]
        assert line["average_ratio"] == pytest.approx(mean[0] / mean[1], rel=1e-3)


def test_the_csv_has_the_same_figures(run):
    document, _, table = run
    if table is None:
        pytest.skip("the example keeps no results.csv")
    assert len(table) == len(document["rows"])
    for line, row in zip(table, document["rows"]):
        assert (line["trace"], line["allocator"], line["status"]) == (row["trace"], row["allocator"], row["status"])
        for key in ("ns_per_op", "peak_rss_kib", "minor_faults"):
            for part, value in zip(("median", "low", "high"), order_statistics(row[key]["samples"])):
                assert float(line[f"{key}_{part}"]) == pytest.approx(value, rel=1e-6, abs=1e-9)


# report.md

def section(page, heading):
    return page.split(f"\n## {heading}")[1].split("\n## ")[0]


def table_of(text):
    """[[cell]] of the first table, its heads first; bold taken off."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("*") for cell in line.strip("|").split("|")] for line in lines if not line.startswith("|---")]


def shown(value):
    return "0" if value == 0 else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def by_key(document):
    return {(row["trace"], row["allocator"]): row for row in ok_rows(document)}


@pytest.mark.parametrize("heading, key, scale", [
    ("Time, ns per operation", "ns_per_op", lambda row: 1),
    ("Peak RSS / peak live bytes", "peak_rss_kib", lambda row: 1024 / row["peak_live_bytes"])])
def test_tables_of_values_hold_medians(run, heading, key, scale):
    document, page, _ = run
    rows = by_key(document)
    heads, *lines = table_of(section(page, heading))
    assert len(lines) == len(document["traces"])
    for line in lines:
        trace = line[0].split(" (")[0]
        for name, cell in zip(heads[1:], line[1:]):
            row = rows.get((trace, name))
            assert cell == (shown(numpy.median(row[key]["samples"]) * scale(row)) if row else ""), (trace, name)


@functools.lru_cache(maxsize=None)
def student(freedom, confidence):
    """Quantile of Student's t, from draws: good to about a hundredth."""
    draws = numpy.random.default_rng(5).standard_t(freedom, 400_000)
    return float(numpy.quantile(numpy.abs(draws), confidence))


def interval(series, confidence=0.95):
    """(ratio, low, high) of the geometric mean over traces of paired ratios: resampled means, widened as Student's t is."""
    centre = numpy.mean([logs.mean() for logs in series])
    freedom = sum(len(logs) - 1 for logs in series)
    quantile = student(freedom, confidence)
    if freedom < 8:         # too few to resample
        reach = quantile * math.sqrt(sum(logs.var(ddof=1) / len(logs) for logs in series)) / len(series)
        return math.exp(centre), math.exp(centre - reach), math.exp(centre + reach)
    draw = numpy.random.default_rng(77)
    means = numpy.mean([numpy.sqrt(len(logs) / (len(logs) - 1)) *
                        (draw.choice(logs, (10000, len(logs))).mean(axis=1) - logs.mean()) for logs in series], axis=0)
    tail = 0.5 * math.erfc(quantile / math.sqrt(2))
    low, high = numpy.quantile(means, [tail, 1 - tail])
    return math.exp(centre), math.exp(centre + low), math.exp(centre + high)


def paired(document, trace, key, first, second):
    rows = by_key(document)
    one, two = samples(rows[trace, first], key), samples(rows[trace, second], key)
    return numpy.array([math.log(one[block] / two[block]) for block in sorted(set(one) & set(two))])


OVERALL = {"ns_per_op": "time per operation", "peak_rss_kib": "peak RSS",
           "peak_rss_kib+start_rss_kib": "peak RSS with start-up"}


def test_geometric_means_and_their_intervals(run):
    document, page, _ = run
    heads, *lines = table_of(section(page, "Who won"))
    assert len(heads) == 1 + len(OVERALL) and len(lines) >= 2
    for name, *cells in lines:
        for key, cell in zip(OVERALL, cells):
            if name == "glibc":
                assert cell == "1"
                continue
            ratio, low, high = interval([paired(document, trace, key, name, "glibc") for trace in document["traces"]])
            said = [float(number) for number in re.fullmatch(r"([\d.]+) \(([\d.]+)-([\d.]+)\)", cell).groups()]
            assert said[0] == pytest.approx(ratio, abs=6e-4), (name, key)
            # other draws: the bounds agree to some hundredths of the interval
            for mine, theirs in ((low, said[1]), (high, said[2])):
                assert theirs == pytest.approx(mine, abs=0.15 * (high - low) / 2 + 6e-4), (name, key)


def check_claim(cell, logs, better, first, last):
    """A difference in words: its side, its bounds, and that the samples bear it."""
    ratio, low, high = interval([logs])
    assert better == (ratio < 1), cell
    wanted = (max(0, 1 - high), 1 - low) if better else (max(0, low - 1), high - 1)
    slack = 0.15 * (high - low) / 2 + 0.0051    # other draws, whole per cents in the text
    assert (first, last) == pytest.approx(wanted, abs=slack), cell
    _, low, high = interval([logs], 0.99)
    reach = 0.3 * (high / low - 1) / 2
    assert not low * (1 + reach) < 1 < high * (1 - reach), f"claims what the samples do not show: {cell}"


def test_verdicts_say_what_the_samples_do(run):
    document, page, _ = run
    heads, *lines = table_of(section(page, "Every verdict"))
    subject = re.search(r"Every verdict: (\S+) against", page).group(1)
    rows, checked = by_key(document), 0
    for label, rival, *cells in lines:
        trace = label.split(" (")[0]
        for key, cell in zip(("ns_per_op", "peak_rss_kib"), cells):
            logs = paired(document, trace, key, subject, rival)
            one, two = (numpy.median(rows[trace, name][key]["samples"]) for name in (subject, rival))
            claim = re.match(r"(faster|slower|leaner|larger) by ([\d.]+)(?:-([\d.]+))? %", cell)
            close = re.match(r"no difference shown: (\d+) KiB is within the 300 that", cell)
            if claim:
                bounds = [float(bound) / 100 for bound in (claim.group(2), claim.group(3) or claim.group(2))]
                check_claim(cell, logs, claim.group(1) in ("faster", "leaner"), *bounds)
                assert key == "ns_per_op" or abs(one - two) >= 300, f"claims what the kernel's count can be off: {cell}"
            elif close:
                assert key == "peak_rss_kib" and abs(one - two) < 300
                assert float(close.group(1)) == pytest.approx(abs(one - two), abs=0.51)
            elif cell.startswith("no difference shown; "):
                _, low, high = interval([logs], 0.99)
                reach = 0.3 * (high / low - 1) / 2
                assert low * (1 - reach) < 1 < high * (1 + reach), f"passes over what the samples show: {cell}"
            checked += bool(claim or close) or cell.startswith("no difference shown; ")
    assert checked >= 2


def test_who_won_is_who_needs_least(run):
    document, page, _ = run
    names = [name for name in {row["allocator"] for row in ok_rows(document)} if name not in CONTROLS]
    for key, noun in OVERALL.items():
        line = re.search(rf"^- Least {noun} over the {len(document['traces'])} traces: .*$", page, re.MULTILINE).group(0)
        for left_out, said in re.findall(r"(?:Least|Without ([^:]+))[^:]*: ([^\s,;.]+)", line):
            traces = [trace for trace in document["traces"] if trace not in re.sub(r" \(.*?\)", "", left_out).split(" and ")]
            means = {name: interval([paired(document, trace, key, name, "glibc") for trace in traces])[0] for name in names}
            assert said == min(means, key=means.get), (line, left_out)


def test_the_harness_share_is_said_as_it_is(run):
    document, page, _ = run
    null = [numpy.median(row["ns_per_op"]["samples"]) for row in ok_rows(document) if row["allocator"] == "null"]
    shares = [row["harness_share"] for row in ok_rows(document) if row["allocator"] not in CONTROLS]
    said = re.search(r"takes ([\d.,]+) to ([\d.,]+) ns per operation, ([\d.]+) % to ([\d.]+) %", page).groups()
    assert said[:2] == (shown(min(null)), shown(max(null)))
    assert [float(number) for number in said[2:]] == pytest.approx([100 * min(shares), 100 * max(shares)], abs=0.51)


def test_memory_in_detail(run):
    document, page, _ = run
    rows = {key: row for key, row in by_key(document).items() if "timeline" in row and key[1] not in CONTROLS}
    if not rows:
        pytest.skip("made before there was an outside sampler")
    heads, *lines = table_of(section(page, "Memory in detail"))
    assert len(lines) == len(rows)
    for trace, name, *cells in lines:
        row = rows[trace.split(" (")[0], name]
        assert cells[:4] == [f"{value:.3g}" for value in (
            numpy.median(row["peak_ratio"]["samples"]), row["at_peak_live_ratio"], row["time_average_ratio"],
            row["timeline"]["average_ratio"])]
        assert [float(cell.rstrip(" %")) for cell in cells[4:6]] == pytest.approx(
            [100 * row["internal_fragmentation"], 100 * row["external_fragmentation"]], abs=0.51)
        assert cells[6] == shown(numpy.median(row["rss_after_drain_kib"]["samples"]))
