"""heaplay compare as a gate: what it judges, what it cannot judge and says so, and how it ends."""
import json

import pytest

import compare
import fixture

SMALL = {"python-json": (24, 4000), "gcc-cc1": (31, 8000), "larson-handoff": (60, 1600)}


def run(tmp_path, document, name):
    """The path of a run that holds the document."""
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(document))
    return str(path)


def pair(tmp_path, old, new):
    return [run(tmp_path, old, "old"), run(tmp_path, new, "new")]


def test_the_references_own_time_is_not_judged(tmp_path, capsys):
    """All allocators on a slower day: relative to glibc nothing changed, and glibc has nothing to be relative to."""
    slow = {name: (time * 1.3, live) for name, (time, live) in SMALL.items()}
    paths = pair(tmp_path, fixture.document(seed=1, traces=SMALL), fixture.document(seed=4, traces=slow))
    assert compare.main(paths) == 0
    said = capsys.readouterr().out
    assert "glibc's own time is not judged" in said
    assert "gcc-cc1, glibc, time" not in said
    assert "gcc-cc1, glibc, peak RSS" in said and "gcc-cc1, jemalloc, time" in said


def test_the_references_memory_is_judged(tmp_path, capsys):
    paths = pair(tmp_path, fixture.document(seed=1, traces=SMALL), fixture.document(seed=4, traces=SMALL, space={"glibc": 1.5}))
    assert compare.main(paths) == 1
    assert "REGRESSION  gcc-cc1, glibc, peak RSS: larger by" in capsys.readouterr().out


def test_another_glibc_is_judged_as_it_is(tmp_path, capsys):
    new = fixture.document(seed=4, traces=SMALL, speed={"glibc": 1.5})
    new["allocators"]["glibc"]["sha256"] = "f" * 64
    assert compare.main(pair(tmp_path, fixture.document(seed=1, traces=SMALL), new)) == 1
    said = capsys.readouterr().out
    assert said.startswith("times as they are") and "REGRESSION  gcc-cc1, glibc, time per operation: slower by" in said


@pytest.mark.parametrize("threshold", ["-1", "nan", "inf"])
def test_threshold_is_a_loss(tmp_path, capsys, threshold):
    paths = pair(tmp_path, fixture.document(traces=SMALL), fixture.document(traces=SMALL))
    with pytest.raises(SystemExit) as ended:
        compare.main([*paths, "--threshold", threshold])
    assert ended.value.code == 2 and f"--threshold {threshold}: give 0 or more per cent" in capsys.readouterr().err


def test_what_only_one_run_has_is_listed(tmp_path, capsys):
    traces = {name: SMALL[name] for name in ("python-json", "gcc-cc1")}
    old = fixture.document(traces=traces, allocators=["cellmalloc", "glibc", "jemalloc"])
    fixture.fail(old, "gcc-cc1", "cellmalloc")
    new = fixture.document(traces={**traces, "larson-handoff": (60, 1600), "jq": (20, 900)}, allocators=["cellmalloc", "glibc"])
    assert compare.main(pair(tmp_path, old, new)) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if line.startswith("only in ")] == [
        "only in the old run: 1 allocator: jemalloc", "only in the new run: 2 traces: jq, larson-handoff",
        "only in the new run: 1 row: gcc-cc1 with cellmalloc"]
    assert said[-1] == "0 regressions"


def test_like_runs_have_nothing_of_their_own(tmp_path, capsys):
    paths = pair(tmp_path, fixture.document(seed=1, traces=SMALL), fixture.document(seed=2, traces=SMALL))
    assert compare.main(paths) == 0 and "only in" not in capsys.readouterr().out


@pytest.mark.parametrize("change", [{"traces": {"jq": (20, 900)}}, {"allocators": ["mimalloc", "tcmalloc"]}])
@pytest.mark.parametrize("words", [[], ["--alloc", "glibc"]])
def test_nothing_in_common_is_no_pass(tmp_path, capsys, change, words):
    facts = {"traces": {"gcc-cc1": (31, 8000)}, "allocators": ["cellmalloc", "glibc"]}
    paths = pair(tmp_path, fixture.document(**facts), fixture.document(**{**facts, **change}))
    assert compare.main([*paths, *words]) == 3
    said = capsys.readouterr()
    assert "nothing to compare" in said.err and "regression" not in said.out and "only in the new run: " in said.out


def test_rows_that_no_run_shares_are_no_pass(tmp_path, capsys):
    facts = {"traces": {"gcc-cc1": (31, 8000)}, "allocators": ["cellmalloc", "glibc"]}
    old = fixture.fail(fixture.document(**facts), "gcc-cc1", "cellmalloc")
    new = fixture.document(**facts)
    assert compare.main([*pair(tmp_path, old, new), "--alloc", "cellmalloc"]) == 3
    assert "nothing to compare" in capsys.readouterr().err


def test_an_allocator_that_one_run_lacks_cannot_be_asked_for(tmp_path, capsys):
    paths = pair(tmp_path, fixture.document(traces=SMALL), fixture.document(traces=SMALL, allocators=["cellmalloc", "glibc"]))
    assert compare.main([*paths, "--alloc", "jemalloc"]) == 2
    assert "jemalloc is not in both runs; both have: cellmalloc, glibc" in capsys.readouterr().err


def test_too_few_samples_are_no_pass(tmp_path, capsys):
    few = [fixture.document(seed=seed, blocks=3, traces=SMALL) for seed in (1, 2)]
    assert compare.main(pair(tmp_path, *few)) == 3
    said = capsys.readouterr()
    assert "unjudged    gcc-cc1, cellmalloc, time per operation: no verdict" in said.out
    assert "nothing could be judged: at least 4 samples" in said.err


def test_times_without_a_reference_are_unjudged(tmp_path, capsys):
    """glibc failed on one trace: the others' times have nothing there to be relative to."""
    runs = [fixture.fail(fixture.document(seed=seed, traces=SMALL), "gcc-cc1", "glibc") for seed in (1, 2)]
    assert compare.main([*pair(tmp_path, *runs), "--alloc", "jemalloc"]) == 0
    said = capsys.readouterr().out
    assert "unjudged    gcc-cc1, jemalloc, time per operation: no sample to compare it with" in said
    assert "ok          gcc-cc1, jemalloc, peak RSS" in said and "ok          python-json, jemalloc, time" in said


def test_one_regression_is_singular(tmp_path, capsys):
    facts = {"traces": {"gcc-cc1": (31, 8000)}, "allocators": ["cellmalloc", "glibc"]}
    worse = fixture.document(seed=3, speed={"cellmalloc": 1.5}, **facts)
    assert compare.main(pair(tmp_path, fixture.document(seed=1, **facts), worse)) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 regression"


@pytest.mark.parametrize("gap, status", [(250, 0), (350, 1)])
def test_peaks_within_the_kernels_count_are_no_regression(tmp_path, capsys, gap, status):
    def peaks(kib):
        document = fixture.document(traces={"gcc-cc1": (31, 8000)}, allocators=["cellmalloc", "glibc"])
        for row in document["rows"]:
            row["peak_rss_kib"] = fixture.figure([kib - 1, kib, kib, kib, kib, kib, kib, kib + 1])
        return document
    assert compare.main(pair(tmp_path, peaks(9000), peaks(9000 + gap))) == status
    assert ("is within the 300 that the kernel's count can be off" in capsys.readouterr().out) == (status == 0)
