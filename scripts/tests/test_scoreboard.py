"""The scoreboard: verdicts, the best peer, history, and the counts parsed from tools."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import scoreboard  # noqa: E402
from heaplay_bench import probe, run  # noqa: E402


def measured(time, rss, faults=10):
    return scoreboard.Measured({b: time * (b + 1) for b in range(4)}, {b: rss for b in range(4)},
                               {b: faults for b in range(4)})


def board(time, rss):
    return scoreboard.Row("traces", "t", {"cellmalloc": measured(time, rss), "glibc": measured(2.0, 100),
                                          "jemalloc": measured(1.0, 150)})


@pytest.mark.parametrize("time, rss, wanted", [(1.0, 100, "won"), (0.5, 80, "won"), (1.02, 99, "held"),
                                               (0.5, 104, "lost"), (1.04, 50, "lost")])
def test_verdict_takes_the_best_peer_of_each_axis(time, rss, wanted):
    line = scoreboard.history_row(board(time, rss), "cellmalloc", ["glibc", "jemalloc"], {})
    assert (line["verdict"], line["time_peer"], line["rss_peer"]) == (wanted, "jemalloc", "glibc")


def test_a_row_without_figures_is_lost():
    row = board(1, 1)
    del row.by["cellmalloc"]
    line = scoreboard.history_row(row, "cellmalloc", ["glibc"], {})
    assert line["verdict"] == "lost" and "time_ratio" not in line
    assert "no figure" in scoreboard.line_text(line)


def test_geometric_means():
    rows = [board(0.5, 100), board(2.0, 100)]
    assert scoreboard.geometric(rows, "cellmalloc", "jemalloc", "elapsed").ratio == pytest.approx(1.0)
    assert scoreboard.geometric_of_best(rows, "cellmalloc", ["glibc", "jemalloc"], "rss") == pytest.approx(1.0)


def test_history_keeps_one_header_and_refuses_another(tmp_path):
    path = tmp_path / "history.csv"
    scoreboard.append_history(path, [{"row": "a"}])
    scoreboard.append_history(path, [{"row": "b"}])
    lines = path.read_text().splitlines()
    assert len(lines) == 3 and lines[0] == ",".join(scoreboard.COLUMNS)
    path.write_text("x,y\n")
    with pytest.raises(run.RunError, match="line 1"):
        scoreboard.append_history(path, [{"row": "c"}])


def test_counts_are_parsed():
    assert probe.parse_instructions("==1== Collected : 12345\n") == 12345
    assert probe.parse_instructions("nothing") is None
    table = (" 50.0 0.1 64 1811 read\n 0.7 0.1 50 20 mmap\n 0.7 0.1 1 6 2 madvise\n100.00 0.1 36 1837 2 total\n")
    assert probe.parse_system_calls(table) == 26
    assert probe.parse_system_calls("") is None


def test_document_to_row():
    figure = {"samples": [1.0, 2.0]}
    made = {"traces": {"t": {"operations": 7}}, "rows": [
        {"allocator": "glibc", "status": "ok", "blocks": [3, 4], "ns_per_op": figure, "peak_rss_kib": figure,
         "minor_faults": figure}, {"allocator": "x", "status": "crashed", "status_text": "signal 11"}]}
    row, operations = scoreboard.from_document(made)
    assert operations == 7 and row.by["glibc"].elapsed == {3: 1.0, 4: 2.0} and row.failed == {"x": "signal 11"}


def test_usage_errors():
    for words in (["--sets", "nosuch"], ["--samples", "-1"]):
        with pytest.raises(SystemExit) as ended:
            scoreboard.arguments(words)
        assert ended.value.code == 2
