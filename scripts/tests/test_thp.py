"""Huge pages: the switch is put back whatever happens, a refusal is one clear line, turned rows are found."""
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import rich.console

import thp
from heaplay_bench import board, run, tables

SCRIPT = Path(thp.__file__)


@pytest.fixture
def switch(tmp_path):
    path = tmp_path / "enabled"
    path.write_text("always [madvise] never\n")
    return path


def test_the_setting_in_force_is_read_and_put_back(switch):
    with thp.restored(switch) as before:
        assert before == "madvise"
        switch.write_text("never")
    assert switch.read_text() == "madvise"


def test_it_is_put_back_after_a_failure(switch):
    with pytest.raises(run.RunError), thp.restored(switch):
        switch.write_text("always")
        raise run.RunError("no")
    assert switch.read_text() == "madvise"
    assert signal.getsignal(signal.SIGTERM) is not thp.on_signal


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_it_is_put_back_after_a_signal(switch, number):
    code = (f"import sys, time; from pathlib import Path; sys.path.insert(0, {str(SCRIPT.parent)!r}); import thp\n"
            f"with thp.restored(Path({str(switch)!r})):\n"
            f"    Path({str(switch)!r}).write_text('always'); print('in', flush=True); time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "in\n" and switch.read_text() == "always"
        child.send_signal(number)
        assert child.wait(30) == 128 + number
    assert switch.read_text() == "madvise"


def refused(*words):
    done = subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True, check=False)
    assert done.stderr.count("\n") == 1, done.stderr
    return done


def test_who_is_not_root_is_refused(monkeypatch, switch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(run.RunError, match="root only"):
        thp.check_writable(switch)
    with pytest.raises(run.RunError, match="root only"), thp.restored(switch):
        pytest.fail("the block must not run")
    assert switch.read_text() == "always [madvise] never\n"


def test_a_kernel_without_the_switch_is_refused(tmp_path):
    done = refused("--switch", str(tmp_path / "nothing"))
    assert done.returncode == 2 and "no switch for huge pages" in done.stderr


def row_of(kind, name, time_ns, rss):
    def measured(t, r):
        return board.Measured({b: t for b in range(4)}, {b: r for b in range(4)}, {b: 10 for b in range(4)})
    return board.Row(kind, name, {"cellmalloc": measured(time_ns, rss), "glibc": measured(1.0, 100)})


def found(**settings):
    return {setting: (rows, [board.history_row(row, "cellmalloc", ["glibc"], {}) for row in rows])
            for setting, rows in settings.items()}


def test_rows_that_get_worse_are_named():
    made = found(madvise=[row_of("traces", "jq", 0.5, 90), row_of("traces", "z3", 2.0, 90)],
                 always=[row_of("traces", "jq", 0.5, 110), row_of("traces", "z3", 0.5, 90), row_of("threads", "new", 9, 900)])
    assert thp.turned(made["madvise"][1], made["always"][1]) == [("traces", "jq", "won", "lost")]


def test_the_report_has_means_faults_and_turned_rows(monkeypatch):
    out = io.StringIO()
    plain = tables.Report
    monkeypatch.setattr(tables, "Report", lambda title, environment: plain(
        title, environment, rich.console.Console(file=out, width=200)))
    made = thp.report(found(madvise=[row_of("traces", "jq", 0.5, 90)], never=[row_of("traces", "jq", 0.8, 80)],
                            always=[row_of("traces", "jq", 0.5, 102)]), "cellmalloc", ["cellmalloc", "glibc"])
    text = "\n".join(made.markdown)
    assert "| madvise | glibc | 0.500 [0.500, 0.500] | 0.900 [0.900, 0.900] |" in text
    assert "| never | each row's best | 0.800 | 0.800 | 1.000 | 1 / 0 / 0 |" in text
    assert "| cellmalloc | 10 | 10 | 10 |" in text
    assert "never: no row is judged worse than under madvise" in text
    assert "always: traces/jq turns from won to held" in text and "turns from won to held" in out.getvalue()


def test_every_setting_is_measured_once(switch, monkeypatch):
    seen = []
    monkeypatch.setattr(thp.scoreboard, "measure", lambda *_: seen.append(switch.read_text()) or [])
    assert list(thp.measure(None, [], "cellmalloc", switch)) == ["madvise", "never", "always"]
    assert seen == ["madvise", "never", "always"] and switch.read_text() == "madvise"
