"""Predictions of programs from replays: the arithmetic on known figures, and rank correlation that can fail."""
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from heaplay_bench import allocators, prediction  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
OUT = Path(os.environ.get("OUT", ROOT / "build" / "release"))


def program_row(name, wall_ns, rss_kib):
    samples = [wall_ns * f for f in (0.99, 1, 1.01, 1, 1)]
    return {"trace": "prog", "allocator": name, "status": "ok", "blocks": list(range(5)),
            "elapsed_ns": {"median": wall_ns, "samples": samples}, "cpu_ns": {"median": wall_ns * 2, "samples": samples},
            "peak_rss_kib": {"median": rss_kib, "samples": [rss_kib] * 5}}


def replayed(start_kib=0, **rows):
    """Of each allocator: ns per operation, peak KiB; `start_kib`: what all but glibc have resident at the start."""
    return {"traces": {"prog": {"replayed": 1000}},
            "rows": [{"allocator": name, "status": "ok", "ns_per_op": {"median": ns},
                      "cpu_ns_per_op": {"median": ns + 3}, "peak_rss_kib": {"median": kib},
                      "start_rss_kib": {"median": 0 if name == "glibc" else start_kib}}
                     for name, (ns, kib) in rows.items()]}


PROGRAM = [program_row("glibc", 1_000_000, 5000), program_row("a", 970_000, 5100), program_row("b", 1_020_000, 6000)]
REPLAY = replayed(glibc=(100, 2000), a=(70, 2110), b=(130, 2900), null=(3, 60))


def of(pairs, allocator, figure):
    return next(p for p in pairs if (p["allocator"], p["figure"]) == (allocator, figure))


def test_prediction_adds_the_replays_difference():
    pairs = prediction.predict(PROGRAM, REPLAY)
    assert {p["allocator"] for p in pairs} == {"a", "b"}
    faster = of(pairs, "a", "elapsed_ns")
    assert faster["predicted"] == pytest.approx(0.97) and faster["measured"] == pytest.approx(0.97)
    assert faster["claimed"] == -1
    busy = of(pairs, "a", "cpu_ns")
    assert busy["predicted"] == pytest.approx(1 - 1000 * 30 / 2_000_000) and busy["measured"] == pytest.approx(0.97)
    fatter = of(pairs, "b", "peak_rss_kib")
    assert fatter["predicted"] == pytest.approx(1 + 900 / 5000) and fatter["measured"] == pytest.approx(1.2)


@pytest.mark.skipif(not (OUT / "heaplay").exists(), reason=f"{OUT} is not built")
def test_variants_are_replayed_as_themselves():
    """Their rows are found by the names that the programs' rows have."""
    words = ["glibc", "cellmalloc@CELLMALLOC_CONF=count_requests:1", "glibc@MALLOC_ARENA_MAX=1"]
    document = prediction.replay(OUT, ROOT / "traces" / "jq.hpt", [allocators.find(word, OUT) for word in words], 1)
    assert {row["allocator"] for row in document["rows"] if row["status"] == "ok"} == {*words, "null"}
    assert document["allocators"][words[1]]["variables"] == {"CELLMALLOC_CONF": "count_requests:1"}


def test_what_a_library_has_at_the_start_counts():
    heavy = replayed(start_kib=500, glibc=(100, 2000), a=(70, 2110), b=(130, 2900))
    assert of(prediction.predict(PROGRAM, heavy), "a", "peak_rss_kib")["predicted"] == pytest.approx(1 + 610 / 5000)


def test_summary_of_good_and_of_bad_predictions():
    good = prediction.summary(prediction.predict(PROGRAM, REPLAY))["elapsed_ns"]
    assert good["rank_correlation"] == pytest.approx(1) and good["sign_right"] == good["clear"] == 2
    assert good["error_median"] < 0.01
    turned = replayed(glibc=(100, 2000), a=(130, 2110), b=(70, 2900))
    bad = prediction.summary(prediction.predict(PROGRAM, turned))["elapsed_ns"]
    assert bad["rank_correlation"] == pytest.approx(-1) and bad["sign_right"] == 0


def test_rows_that_failed_predict_nothing():
    broken = [{**PROGRAM[0]}, {"trace": "prog", "allocator": "a", "status": "crashed"}]
    assert prediction.predict(broken, REPLAY) == []
    assert prediction.predict(PROGRAM[1:], REPLAY) == []
    assert prediction.summary([]) == {}


def test_no_variation_has_no_rank():
    assert prediction.spearman([{"measured": 1.0, "predicted": 0.9}, {"measured": 1.0, "predicted": 0.8}]) is None
