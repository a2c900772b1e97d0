"""figures.py: what it reads from callgrind, and how it lays its table out."""
import figures

CALLGRIND = """events: Ir
fn=(1) main
10 5
cfn=(2) malloc
calls=3 20
11 66
+1 4
fn=(2)
20 60
* 6
fn=(3) free
30 9
"""


def test_calls_are_not_counted_twice():
    assert figures.self_costs(CALLGRIND) == {"main": 9, "malloc": 66, "free": 9}


def test_the_table_has_a_row_for_each_figure():
    one = {"programs": {"true": {"rss_kib": 10, "own_kib": 7, "minor_faults": 2}},
           "idle_thread_bytes": 3, "fork_faults": {"parent": 1.04, "child": 8}, "worst_operation_ns": 4,
           "instructions": {"32": {"malloc": 5, "free": 6}}}
    lines = figures.table(one, one, {"1 MiB": 0.5}, one["programs"]).splitlines()
    assert len(lines) == 2 + 2 + 3 + 2 + 2 + 1
    assert "| instructions of free, 32 bytes | 6 | 6 | - |" in lines
    assert "| of that not shared, `true`, KiB | 7 | 7 | 7 |" in lines
    assert "| minor faults of a fork, parent | 1.0 | 1.0 | - |" in lines
    assert all(line.count("|") == 5 for line in lines)


def test_a_missing_library_is_named(tmp_path, capsys):
    assert figures.main(["--out", str(tmp_path)]) == 2
    assert "libcellmalloc.so" in capsys.readouterr().err
