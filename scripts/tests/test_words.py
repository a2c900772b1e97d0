"""One trace, two traces: numbers and nouns agree in what the scripts print."""
import json

import pytest

import advise
import bench
import draw_heap
import fixture
import trace_card
from heaplay_report.words import plural
from test_guard import CARD, DUMP


@pytest.mark.parametrize("count, words", [(0, "0 traces"), (1, "1 trace"), (2, "2 traces"), (1234567, "1234567 traces"),
                                          (1.0, "1 trace"), (0.9, "0.9 traces"), (4.0, "4 traces")])
def test_plural(count, words):
    assert plural(count, "trace") == words


@pytest.mark.parametrize("count, words", [(1, "1 trace; "), (2, "2 traces; ")])
def test_advice_counts_traces(tmp_path, capsys, count, words):
    traces = dict(list(fixture.TRACES.items())[:count])
    (tmp_path / "results.json").write_text(json.dumps(fixture.document(traces=traces)))
    assert advise.main([str(tmp_path), "--aim", "memory"]) == 0
    assert capsys.readouterr().out.startswith(words)


def test_bench_counts_traces(tmp_path):
    paths = [tmp_path / "a.hpt", tmp_path / "b.hpt"]
    assert bench.incomplete("Stopped", paths[:1], []) == "Stopped: complete for 0 of 1 trace; absent: a."
    assert bench.incomplete("Stopped", paths, [{}]) == "Stopped: complete for 1 of 2 traces; absent: b."


def test_a_heap_of_one_mapped_block():
    dump = {**DUMP, "blocks": [["chunk", 0, 64], ["mapped", 0, 4096]]}
    assert "; 1 mapped block elsewhere)" in draw_heap.caption(dump, 4096, 0)
    assert "; 1 block too thin to draw)" in draw_heap.caption(DUMP, 4096, 1)
    assert "; 2 blocks too thin to draw)" in draw_heap.caption(DUMP, 4096, 2)


@pytest.mark.parametrize("threads, words", [(1, "10 operations, 1 thread,"), (2, "10 operations, 2 threads,")])
def test_a_card_counts_threads(threads, words):
    figure = trace_card.draw({**CARD, "threads": threads})
    assert any(words in text.get_text() for text in figure.texts)
