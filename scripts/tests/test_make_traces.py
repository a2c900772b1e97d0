"""Traces: provenance and limits from entries; the bundled files are the described ones."""
import hashlib
import json
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import make_traces  # noqa: E402

OUT = Path(os.environ.get("OUT", make_traces.document.ROOT / "build" / "release"))


def entry(**changed):
    return {"what": "w", "command": "prog x", "variables": {"A": "1"}, "packages": ["prog 1.0"], "licence": "MIT",
            "sha256": "0" * 64, "bytes": 1000, "operations": 500, "threads": 2, "peak_live_bytes": 2**20,
            "cross_thread_share": 0.25, "allocations": 200, "moved": 20, "median_bytes_to": 63, "median_lifetime_to": 31,
            "never_freed": 10, "load": ["bench -n 5"], "bytes_per_operation": 2.0, "lost_events": 0, **changed}


def test_readme_has_figures_and_provenance(tmp_path):
    make_traces.write_readme(tmp_path, {"one": entry()})
    text = (tmp_path / "README.md").read_text()
    assert "| one | w | 500 | 2 | 25.0 % | 63 | 31 | 10.0 % | 5.0 % | 1.00 MiB | 0.00 MB | 2.00 |" in text
    assert "    under load: bench -n 5" in text
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
    assert len(entries) >= 24
    assert sum(described["threads"] > 1 for described in entries.values()) >= 6
    lengths = [described["operations"] for described in entries.values()]
    assert min(lengths) >= 50_000 and 5_000_000 <= max(lengths) <= 10_500_000
    readme = (make_traces.TRACES / "README.md").read_text()
    assert all(described["sha256"] in readme for described in entries.values())


def test_the_figures_are_those_of_the_traces():
    """Every number of the table, taken again from every bundled trace."""
    if not (OUT / "heaplay").is_file():
        pytest.skip("heaplay is not built")
    entries = json.loads((make_traces.TRACES / "provenance.json").read_text())
    for name, described in entries.items():
        target = make_traces.TRACES / f"{name}.hpt"
        described.update(make_traces.figures(target, make_traces.inspect(OUT, target)))
    assert make_traces.table(entries) in (make_traces.TRACES / "README.md").read_text()
    steady = json.loads((make_traces.TRACES / "suites.json").read_text())["suites"]["steady"]
    assert len(steady) >= 3 and all(name[:-4] in make_traces.HEADER for name in steady)


def test_the_median_is_the_end_of_its_class():
    classes = [{"to": 15, "count": 4}, {"to": 31, "count": 3}, {"to": 63, "count": 3}]
    assert make_traces.median_to(classes) == 31 and make_traces.median_to(classes[:1]) == 15
    assert make_traces.median_to([]) == 0


def test_every_suite_names_bundled_traces():
    suites = json.loads((make_traces.TRACES / "suites.json").read_text())["suites"]
    assert {"quick", "default", "full"} <= set(suites)
    for name, patterns in suites.items():
        if name != "full":
            assert all((make_traces.TRACES / pattern).is_file() for pattern in patterns)


def test_counts_follow_the_scale(tmp_path):
    fill = make_traces.catalog.fill
    assert fill("{n:1000}", tmp_path, scale=8.0) == "8000" and fill("x{n:10}y", tmp_path) == "x10y"
    for workload in make_traces.catalog.WORKLOADS:      # longer rows must come from longer inputs or loads
        if workload.load and workload.trace:
            assert any("{n:" in word for command in workload.load for word in command), workload.name


def test_described_figures_come_from_the_card(tmp_path):
    (tmp_path / "one.hpt").write_bytes(b"x" * 100)
    info = {"operations": 50, "threads": 1, "peak_live_bytes": 9, "cross_thread_share": 0.0, "allocations": 20,
            "reallocs": {"moved": 2}, "sizes": [{"to": 7, "count": 1}], "lifetimes": [], "never_freed": 3,
            "lost_events": 0}
    made = make_traces.figures(tmp_path / "one.hpt", info)
    assert made["bytes_per_operation"] == 2.0 and made["moved"] == 2 and made["median_bytes_to"] == 7


def test_usage_errors():
    with pytest.raises(SystemExit) as ended:
        make_traces.arguments(["--names", "nosuch"])
    assert ended.value.code == 2
