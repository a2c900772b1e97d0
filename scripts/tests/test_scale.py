"""make scale: costs per million, their growth, and one small run from end to end."""
import json
import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import scale  # noqa: E402

OUT = Path(os.environ.get("OUT", Path(__file__).resolve().parents[2] / "build" / "release"))
needs_program = pytest.mark.skipif(not (OUT / "heaplay").exists(), reason=f"{OUT / 'heaplay'} is not built")
COSTS = {"generate": (2, 7), "info": (4, 5), "check": (6, 9), "replay": (20, 90)}


def row(operations, factor=1, streamed=True):
    made = {"traces": {"t": {"plan": {"bytes": 17 * operations, "sections": 3, "streamed": streamed, "compile_s": 8 * factor}}},
            "rows": [{"allocator": "null", "status": "ok", "ns_per_op": {"median": 2.0}},
                     {"allocator": "x", "status": "crashed"}]}
    costs = {step: (seconds * factor, mib) for step, (seconds, mib) in COSTS.items()}
    return scale.row_of("mix", operations, 64, 2 * operations, costs, made)


def test_costs_are_per_million_and_memory_is_the_largest():
    made = row(2_000_000)
    assert made["info_s_per_million"] == 2 and made["compile_s_per_million"] == 4
    assert made["trace_bytes_per_op"] == 2 and made["plan_bytes_per_op"] == 17
    assert made["tools_peak_mib"] == 9 and made["replay_peak_mib"] == 90
    assert made["ns_per_op"] == {"null": 2.0}


def test_a_plan_in_memory_counts_twice_and_one_on_disk_not():
    assert row(2**20, streamed=False)["plan_in_memory_mib"] == pytest.approx(34)
    assert row(2**20)["plan_in_memory_mib"] == 0


def test_growth_is_of_the_cost_of_each(capsys):
    scale.print_growth([row(1_000_000), row(10_000_000, factor=15)])
    assert "10 times the operations" in capsys.readouterr().out
    scale.print_table([row(1_000_000), row(10_000_000, factor=15)])
    assert "compile 1.50" in capsys.readouterr().out


@needs_program
def test_a_small_run(tmp_path, capsys):
    words = ["--heaplay", str(OUT / "heaplay"), "--millions", "0.02 0.1", "--threads", "3", "--kinds", "larson", "--allocs",
             "glibc", "--plan-memory", "64K", "--work", str(tmp_path), "--results", str(tmp_path / "made")]
    assert scale.main(words) == 0
    made = json.loads((tmp_path / "made" / "scale.json").read_text())
    assert [r["operations"] for r in made["rows"]] == [20000, 100000]
    assert all(r["streamed"] and r["sections"] > 4 and 16 <= r["plan_bytes_per_op"] < 40 for r in made["rows"])
    assert all(set(r["ns_per_op"]) == {"glibc", "null"} for r in made["rows"])
    assert 0 < made["rows"][1]["replay_peak_mib"] < 200
    assert "5 times the operations" in capsys.readouterr().out
    assert [p.name for p in tmp_path.iterdir()] == ["made"]


@needs_program
@pytest.mark.parametrize("words, said", [
    (["--kinds", "nothing"], "no such kind"),
    (["--millions", "1e9"], "name another directory by --work"),
    (["--heaplay", "/nowhere/heaplay"], "run make build"),
])
def test_what_cannot_be_done_is_said(tmp_path, capsys, words, said):
    base = ["--heaplay", str(OUT / "heaplay"), "--millions", "0.01", "--work", str(tmp_path), "--results", str(tmp_path / "x")]
    assert scale.main([*base, *words]) == 2
    assert said in capsys.readouterr().err
