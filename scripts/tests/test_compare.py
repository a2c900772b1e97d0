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
