"""Traces: provenance and limits from entries; the bundled files are the described ones."""
import hashlib
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import make_traces  # noqa: E402


def entry(**changed):
    return {"what": "w", "command": "prog x", "variables": {"A": "1"}, "packages": ["prog 1.0"], "licence": "MIT",
            "sha256": "0" * 64, "bytes": 1000, "operations": 500, "threads": 2, "peak_live_bytes": 2**20,
            "cross_thread_share": 0.25, "bytes_per_operation": 2.0, "lost_events": 0, **changed}


def test_readme_has_figures_and_provenance(tmp_path):
    make_traces.write_readme(tmp_path, {"one": entry()})
    text = (tmp_path / "README.md").read_text()
    assert "| one | w | 500 | 2 | 25.0 % | 1.00 MiB | 0.00 MB | 2.00 |" in text
    assert "    A=1 prog x" in text and "prog 1.0; MIT." in text and "0" * 64 in text


@pytest.mark.parametrize("changed, word", [
    ({"bytes": make_traces.FILE_LIMIT + 1}, "more than"), ({"lost_events": 2}, "lost 2"), ({}, None)])
def test_limits(changed, word):
    broken = make_traces.limits_broken({"one": entry(**changed)})
    assert (word in broken[0]) if word else not broken


def test_the_total_is_limited():
    many = {f"t{n}": entry(bytes=make_traces.FILE_LIMIT) for n in range(11)}
    assert any("the traces have" in sentence for sentence in make_traces.limits_broken(many))


def test_bundled_traces_are_the_described_ones():
    entries = json.loads((make_traces.TRACES / "provenance.json").read_text())
    assert {path.stem for path in make_traces.TRACES.glob("*.hpt")} == set(entries)
    for name, described in entries.items():
        assert hashlib.sha256((make_traces.TRACES / f"{name}.hpt").read_bytes()).hexdigest() == described["sha256"]
    assert not make_traces.limits_broken(entries)
    assert sum(described["threads"] > 1 for described in entries.values()) >= 3
    readme = (make_traces.TRACES / "README.md").read_text()
    assert all(described["sha256"] in readme for described in entries.values())


def test_usage_errors():
    with pytest.raises(SystemExit) as ended:
        make_traces.arguments(["--names", "nosuch"])
    assert ended.value.code == 2
