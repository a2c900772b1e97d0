"""The scoreboard: verdicts, the best peer, means, history, how rows come from documents, and what is printed."""
import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
import rich.console

import scoreboard
from heaplay_bench import board, board_rows, board_text, probe, run
from heaplay_report import stats

ALL = ["cellmalloc", "glibc", "jemalloc"]
PEERS = ALL[1:]
OUT = Path(os.environ.get("OUT", Path(__file__).resolve().parents[2] / "build" / "release"))
FIXED = {"created": "2026-01-01T00:00:00Z", "commit": "abc", "mode": "quick", "machine": "x86, 2 CPUs", "blocks": 2}


def measured(time, rss, faults=10, **counts):
    return board.Measured({b: time * (b + 1) for b in range(4)}, {b: rss for b in range(4)},
                          {b: faults for b in range(4)}, counts)


def row_of(time, rss, faults=10, kind="traces", name="t", **counts):
    return board.Row(kind, name, {"cellmalloc": measured(time, rss, faults, **counts),
                                  "glibc": measured(2.0, 100, **{k: 2 * v for k, v in counts.items()}),
                                  "jemalloc": measured(1.0, 150)})


@pytest.mark.parametrize("time, rss, wanted", [
    (1.0, 100, "won"), (0.5, 80, "won"), (1.02, 99, "held"), (0.5, 103, "held"), (0.5, 104, "lost"), (1.04, 50, "lost")])
def test_verdict_takes_the_best_peer_of_each_axis(time, rss, wanted):
    line = board.history_row(row_of(time, rss), "cellmalloc", PEERS, {})
    assert (line["verdict"], line["time_peer"], line["rss_peer"]) == (wanted, "jemalloc", "glibc")


def timed(kind="traces", **elapsed):
    """A row with these times of blocks 0, 1, ... and the same memory for all."""
    return board.Row(kind, "t", {name: board.Measured(dict(enumerate(times)), *[{b: 9 for b in range(len(times))}] * 2)
                                 for name, times in elapsed.items()})


def test_the_best_peer_is_chosen_on_one_half_and_compared_on_the_other():
    """Each peer is fast where it is not compared."""
    found = board.best(timed(cellmalloc=[1, 1, 1, 1], a=[1, 2, 1, 2], b=[3, 1, 3, 1]), "cellmalloc", ["a", "b"], "elapsed")
    assert found.peer == "a" and found.estimate.pairs == 4
    assert found.estimate.ratio == pytest.approx((1 / 2 * 1 / 2 * 1 / 3 * 1 / 3) ** 0.25)


def test_one_block_chooses_and_compares():
    found = board.best(timed(cellmalloc=[3], a=[2], b=[4]), "cellmalloc", ["a", "b"], "elapsed")
    assert (found.peer, found.estimate.ratio, found.estimate.pairs) == ("a", pytest.approx(1.5), 1)


@pytest.mark.parametrize("blocks", [2, 3, 10])
def test_equal_allocators_are_level_with_the_best_of_them(blocks):
    """The lowest of four noisy medians, on the blocks it was chosen for, is lower than any of the four."""
    draw = numpy.random.default_rng(blocks)
    names = ["cellmalloc", "a", "b", "c", "d"]
    rows = [timed(**{name: drift * numpy.exp(draw.normal(0, 0.1, blocks)) for name in names})
            for drift in numpy.exp(draw.normal(0, 0.3, (1000, blocks)))]
    assert board.geometric_of_best(rows, "cellmalloc", names[1:], "elapsed") == pytest.approx(1, abs=0.01)
    same = []
    for row in rows:
        peer = min(names[1:], key=lambda name: board.median(row.by[name].elapsed))
        same.append(stats.ratio(row.by["cellmalloc"].elapsed, row.by[peer].elapsed).ratio)
    assert stats.geometric_mean(same) > 1.02


def test_a_better_peer_is_found_through_noise():
    draw = numpy.random.default_rng(1)
    speed = {"cellmalloc": 1.0, "a": 1.0, "b": 0.8, "c": 1.0}
    rows = [timed(**{name: share * numpy.exp(draw.normal(0, 0.05, 4)) for name, share in speed.items()}) for _ in range(200)]
    assert board.geometric_of_best(rows, "cellmalloc", ["a", "b", "c"], "elapsed") == pytest.approx(1.25, abs=0.02)


@pytest.mark.parametrize("ours, rss, kind, clear", [
    ([1.1, 1.12, 1.1, 1.12], 9, "traces", True), ([1.3, 0.9, 1.3, 0.9], 9, "traces", False), ([1.2], 9, "traces", False),
    ([1, 1, 1, 1], 9.3, "traces", True), ([1, 1, 1, 1], 9.2, "traces", False), ([9, 9, 9, 9], 9, "small", False)])
def test_clearly_lost_is_beyond_the_interval(ours, rss, kind, clear):
    row = timed(kind, cellmalloc=ours, a=[1.0] * len(ours))
    row.by["cellmalloc"].rss = {block: rss for block in row.by["cellmalloc"].rss}
    assert board.clearly_lost(row, "cellmalloc", ["a"]) == clear
    line = board.history_row(row, "cellmalloc", ["a"], FIXED)
    said = board_text.mean_lines([row], [line], "cellmalloc", ["cellmalloc", "a"])[0]
    axes = "peak RSS or faults" if kind == "small" else "time with its whole interval or peak RSS"
    assert said.endswith(f"1 lost ({int(clear)} clearly: {axes} beyond 1.03)" if line["verdict"] == "lost" else "0 lost")


@pytest.mark.parametrize("kind, time, rss, faults, wanted", [
    ("small", 9, 100, 10, "won"), ("small", 9, 100, 11, "lost"), ("small", 9, 102, 10, "held"),
    ("blow-up", 9, 100, 99, "won"), ("blow-up", 0.1, 110, 1, "lost"), ("traces", 1, 100, 99, "won")])
def test_each_set_is_decided_by_its_own_axes(kind, time, rss, faults, wanted):
    assert board.judged(row_of(time, rss, faults, kind), "cellmalloc", PEERS)[0] == wanted


def test_a_row_without_the_subject_is_lost():
    row = row_of(1, 1)
    del row.by["cellmalloc"]
    line = board.history_row(row, "cellmalloc", ["glibc"], {})
    assert line["verdict"] == "lost" and "time_ratio" not in line
    assert board_text.cells(row, line, ["glibc"])[1:4] == ["lost", "-", "-"]


def test_a_missing_peer_is_left_out_and_a_row_without_any_is_lost():
    row = row_of(1.5, 100)
    del row.by["jemalloc"]
    line = board.history_row(row, "cellmalloc", PEERS, {})
    assert (line["verdict"], line["time_peer"], line["time_ratio"]) == ("won", "glibc", "0.7500")
    del row.by["glibc"]
    assert board.history_row(row, "cellmalloc", PEERS, {})["verdict"] == "lost"
    assert board.geometric([row], "cellmalloc", "glibc", "elapsed") is None
    assert board.geometric_of_best([row], "cellmalloc", PEERS, "elapsed") is None


def test_geometric_means():
    rows = [row_of(0.5, 100), row_of(2.0, 100)]
    assert board.geometric(rows, "cellmalloc", "jemalloc", "elapsed").ratio == pytest.approx(1.0)
    assert board.geometric(rows[:1], "cellmalloc", "glibc", "elapsed").ratio == pytest.approx(0.25)
    assert board.geometric_of_best(rows, "cellmalloc", PEERS, "rss") == pytest.approx(1.0)


def test_means_of_counts():
    rows = [row_of(1, 1, footprint=1.0, left=0.0, system_calls=3), row_of(1, 1, footprint=4.0, left=1.0, system_calls=5)]
    assert [board.mean_count(rows, "cellmalloc", count) for count in ("footprint", "left", "system_calls")] == \
        [pytest.approx(2.0), pytest.approx(0.5), 8]
    assert board.mean_count(rows, "jemalloc", "left") is None
    assert board.mean_count(rows, "cellmalloc", "instructions") is None


def test_history_row_has_counts_and_what_is_left():
    line = board.history_row(row_of(1, 100, left=0.25, instructions=20.0, system_calls=3), "cellmalloc", PEERS, FIXED)
    assert (line["left"], line["left_ratio"], line["instructions_per_op"], line["system_calls"]) == \
        ("0.2500", "0.5000", "20.0000", 3)
    assert (line["commit"], line["time_vs_glibc"], line["rss_vs_glibc"], line["rss"]) == ("abc", "0.5000", "1.0000", "100.0000")
    assert set(line) <= set(board.COLUMNS)


def test_history_has_no_interval_of_a_single_pair():
    one = {name: board.Measured(*({0: value} for value in values)) for name, values in
           (("cellmalloc", (2.0, 100, 5)), ("glibc", (1.0, 100, 5)))}
    line = board.history_row(board.Row("traces", "t", one), "cellmalloc", ["glibc"], FIXED)
    assert line["time_ratio"] == "2.0000" and "time_low" not in line and "time_high" not in line
    assert not board.clearly_lost(board.Row("traces", "t", one), "cellmalloc", ["glibc"])


def test_history_keeps_one_header_and_refuses_another(tmp_path):
    path = tmp_path / "history.csv"
    board.append_history(path, [{"row": "a"}])
    board.append_history(path, [{"row": "b"}])
    lines = path.read_text().splitlines()
    assert len(lines) == 3 and lines[0] == ",".join(board.COLUMNS)
    path.write_text("x,y\n")
    with pytest.raises(run.RunError, match="line 1"):
        board.append_history(path, [{"row": "c"}])
    assert path.read_text() == "x,y\n"


def test_history_of_an_earlier_version_gets_the_new_columns(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text(",".join(board.COLUMNS[:5]) + "\nd,c,quick,traces,old\n")
    board.append_history(path, [{"row": "new", "left": "0.1"}])
    rows = list(csv.DictReader(path.open()))
    assert [row["row"] for row in rows] == ["old", "new"] and list(rows[0]) == list(board.COLUMNS)
    assert (rows[0]["left"], rows[1]["left"]) == ("", "0.1")


def test_the_bundled_history_can_be_appended_to():
    header = scoreboard.HISTORY.read_text().splitlines()[0]
    assert board.check_header(scoreboard.HISTORY, header) in (True, False)


def test_counts_are_parsed():
    assert probe.parse_instructions("==1== Collected : 12345\n") == 12345
    assert probe.parse_instructions("nothing") is None
    table = (" 50.0 0.1 64 1811 read\n 0.7 0.1 50 20 mmap\n 0.7 0.1 1 6 2 madvise\n100.00 0.1 36 1837 2 total\n")
    assert probe.parse_system_calls(table) == 26
    assert probe.parse_system_calls("") is None


def test_counts_are_kept_by_content(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(probe, "count", lambda *given: calls.append(given) or len(calls))
    for name in ("heaplay", "heaplay-worker", "trace", "lib.so"):
        (tmp_path / name).write_text(name)
    words = ["instructions", tmp_path / "heaplay", tmp_path / "trace", "x=/lib.so", tmp_path / "lib.so"]
    assert probe.Cache(tmp_path / "c.json").count(*words) == 1
    assert probe.Cache(tmp_path / "c.json").count(*words) == 1 and len(calls) == 1
    for changed in ("trace", "lib.so", "heaplay-worker"):
        (tmp_path / changed).write_text("other")
        before = len(calls)
        assert probe.Cache(tmp_path / "c.json").count(*words) == before + 1


def figure(*samples):
    return {"samples": list(samples), "median": sorted(samples)[len(samples) // 2]}


def entry(name, rss, ns=1.0, drain=0, live=1024):
    return {"allocator": name, "status": "ok", "blocks": [3, 4], "ns_per_op": figure(ns, ns), "minor_faults": figure(5, 5),
            "peak_rss_kib": figure(rss, rss), "rss_after_drain_kib": figure(drain, drain), "peak_live_bytes": live}


def test_document_to_row():
    made = {"traces": {"t": {"operations": 7}}, "rows": [
        entry("glibc", 4, drain=2, live=2048), {"allocator": "x", "status": "crashed", "status_text": "signal 11"}]}
    row, operations = board_rows.from_document(made)
    assert operations == 7 and row.failed == {"x": "signal 11"}
    assert row.by["glibc"].elapsed == {3: 1.0, 4: 1.0} and row.by["glibc"].counts == {"footprint": 2.0, "left": 1.0}


def test_blow_up_is_net_of_the_null_allocator():
    row = board_rows.blow_up({"rows": [entry("null", 100), entry("a", 320), entry("b", 400)]},
                             {"rows": [entry("null", 10), entry("a", 210), {"allocator": "b", "status": "timeout"}]})
    assert row.by["a"].rss == {3: 1.1, 4: 1.1} and row.failed == {"b": "timeout"} and "null" not in row.by


def printed(rows):
    lines = [board.history_row(row, "cellmalloc", PEERS, FIXED) for row in rows]
    parts = board_text.sections(rows, lines, "cellmalloc", ALL)
    out = io.StringIO()
    board_text.terminal(parts, rich.console.Console(file=out, width=160))
    return out.getvalue(), board_text.markdown(parts, FIXED), json.loads(
        board_text.as_json(rows, lines, "cellmalloc", ALL, FIXED))


def test_rows_of_threads_say_how_far_apart_processors_were():
    row = row_of(0.5, 90, kind="threads")
    lines = [board.history_row(row, "cellmalloc", PEERS, FIXED)]
    (_, _, text), = board_text.sections([row], lines, "cellmalloc", ALL, [370.4, None, 55.6])
    assert any("in 56 to 370 ns (2 looks" in sentence for sentence in text)
    assert not any("cache line" in sentence for sentence in board_text.sections([row], lines, "cellmalloc", ALL, [None])[0][2])


@pytest.mark.skipif(not (OUT / "threads" / "line").exists(), reason="make artifacts builds the programs of threads")
def test_a_line_takes_its_time_between_two_processors():
    took = board_rows.line_ns(OUT)
    assert (took is None) == (len(os.sched_getaffinity(0)) == 1)
    assert took is None or took > 1


def test_table_markdown_and_json_say_the_same():
    failed = row_of(3.0, 100, name="slow")
    failed.failed["tcmalloc"] = "signal 11"
    shown, text, made = printed([row_of(0.5, 90, name="fast", left=0.25, footprint=1.5), failed,
                                 row_of(1, 120, 10, "small", "true")])
    for output in (shown, text):
        assert "2 rows: 1 won, 0 held, 1 lost" in output and "1 rows: 0 won, 0 held, 1 lost" in output
        assert "time: geometric mean of cellmalloc / glibc 0.612" in output
        assert "slow under tcmalloc: signal 11" in output
        assert "true: cellmalloc 120 KiB 10 faults, glibc 100 KiB" in output
    assert "| fast | won | 0.500 |" in text
    assert made["sets"]["traces"]["tally"] == {"won": 1, "held": 0, "lost": 1}
    assert made["sets"]["traces"]["means"]["time"]["glibc"]["ratio"] == pytest.approx(0.6124, abs=1e-3)
    assert len(made["rows"]) == len(made["lines"]) == 3


def test_a_lost_row_says_what_it_is_behind_in():
    both = row_of(1.5, 150, 20, name="both", instructions=30.0, system_calls=8)
    both.by["jemalloc"].counts.update(instructions=20.0, system_calls=4)
    _, text, _ = printed([both, row_of(0.5, 120, name="rss"), row_of(0.5, 90, name="won"),
                          board.Row("traces", "none", {"glibc": measured(1, 1)})])
    assert ("* lost both: time 1.50 of jemalloc (instructions 1.50, faults 2.00, system calls 2.00 of its); "
            "peak RSS 1.50 of glibc") in text
    assert "* lost rss: peak RSS 1.20 of glibc" in text and "* lost none: no figures to compare" in text
    assert "lost won" not in text


def test_columns_without_figures_are_not_printed():
    _, text, _ = printed([row_of(0.5, 90)])
    assert "instr/op" not in text
    _, text, _ = printed([row_of(0.5, 90, instructions=20.0)])
    assert "| instr/op |" in text and "| 20.0 |" in text


@pytest.mark.parametrize("words", [["--sets", "nosuch"], ["--samples", "-1"], ["--blocks", "0"]])
def test_usage_errors(words):
    with pytest.raises(SystemExit) as ended:
        scoreboard.arguments(words)
    assert ended.value.code == 2


@pytest.mark.parametrize("words, status, wanted", [
    (["--allocs", "glibc"], 4, "subject 'cellmalloc' is not among"), (["--subject", "glibc", "--allocs", "glibc"], 4, "no peer"),
    (["--allocs", "glibc x=/bin/true", "--subject", "x", "--suite", "none", "--sets", "traces"], 2, "suite 'none'")])
def test_one_clear_line_for_what_cannot_be_scored(words, status, wanted):
    script = Path(scoreboard.__file__)
    done = subprocess.run([sys.executable, str(script), *words], capture_output=True, text=True, check=False)
    assert done.returncode == status and wanted in done.stderr and done.stderr.count("\n") == 1
