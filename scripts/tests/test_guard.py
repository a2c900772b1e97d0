"""What the system refuses a script is one line that says what and why, never a traceback."""
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import draw_heap
import fixture
import guard
import report
import trace_card

SCRIPTS = Path(__file__).resolve().parent.parent
CARD = {"path": "t.hpt", "operations": 10, "threads": 1, "cross_thread_share": 0, "origin": "recorded", "peak_live_bytes": 100,
        "curve": [{"operation": 1, "live_bytes": 100}], "footprint_at_peak": {"requested": 100},
        "sizes": [{"to": 100, "count": 1, "bytes": 100}], "lifetimes": [{"to": 3, "count": 1}]}
DUMP = {"version": 1, "blocks": [["chunk", 0, 64]],
        "stats": {f"{name}_bytes": 64 for name in ("heap", "live", "cached", "free", "mapped")}}
full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")


def written(path, document):
    path.write_text(json.dumps(document))
    return path


@pytest.fixture(name="run", scope="module")
def small_run(tmp_path_factory):
    return written(tmp_path_factory.mktemp("run") / "results.json", fixture.document(traces={"gcc-cc1": (31, 8000)}))


@full
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("script, words", [("advise", 1), ("compare", 2), ("compare", 0), ("bench", 0)])
def test_output_that_cannot_be_written(run, script, words, unbuffered):
    """Of compare, 1 would be a regression."""
    with open("/dev/full", "w") as out:
        done = subprocess.run([sys.executable, SCRIPTS / f"{script}.py", *([run] * words or ["--help"])], stdout=out, text=True,
                              stderr=subprocess.PIPE, env={**os.environ, "PYTHONUNBUFFERED": unbuffered}, check=False)
    assert (done.returncode, done.stderr) == (
        3 if script == "compare" else 1, f"heaplay {script}: cannot write to standard output: No space left on device\n")


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_is_no_error(run, unbuffered):
    child = subprocess.Popen([sys.executable, SCRIPTS / "advise.py", run], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             env={**os.environ, "PYTHONUNBUFFERED": unbuffered})
    child.stdout.close()
    assert (child.stderr.read(), child.wait()) == (b"", 1)
    child.stderr.close()


def test_errors_name_the_file(tmp_path, capsys):
    @guard.one_line("it")
    def main(argv):
        if argv:
            return Path(argv).read_text()
        raise OSError(5, "Input/output error")

    assert main(str(tmp_path / "absent")) == 1 and main(None) == 1
    assert capsys.readouterr().err == (f"it: {tmp_path}/absent: No such file or directory\n"
                                       "it: cannot go on: Input/output error\n")


@pytest.fixture
def interruptible():
    """Background jobs of a shell ignore SIGINT, and what they start does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_has_its_exit_code(interruptible, capsys):
    assert guard.one_line("it")(lambda _: signal.raise_signal(signal.SIGINT))() == 130
    assert capsys.readouterr().err == "it: interrupted\n"


@pytest.mark.parametrize("place, said", [
    ("file", "is no directory"), ("file/below", "Not a directory"), ("/proc/heaplay", "No such file or directory")])
def test_report_into_no_directory(run, tmp_path, capsys, place, said):
    (tmp_path / "file").write_text("kept")
    assert report.main([str(run), "-o", str(tmp_path / place)]) == 2
    assert capsys.readouterr().err == (f"heaplay report: {tmp_path / place}: the report cannot be written ({said}); "
                                       "-o DIR writes it elsewhere\n")
    assert (tmp_path / "file").read_text() == "kept"


def test_report_beside_a_run_that_may_not_be_written(tmp_path, capsys, monkeypatch):
    def refuse(dir):
        raise PermissionError(13, "Permission denied", f"{dir}/tmpxyz")
    monkeypatch.setattr(guard.tempfile, "TemporaryFile", refuse)
    path = written(tmp_path / "results.json", fixture.document(traces={"gcc-cc1": (31, 8000)}))
    assert report.main([str(path)]) == 2
    assert f"{tmp_path}: the report cannot be written (Permission denied)" in capsys.readouterr().err


@full
def test_report_on_a_full_disk(run, tmp_path, capsys):
    (tmp_path / "results.csv").symlink_to("/dev/full")
    assert report.main([str(run), "-o", str(tmp_path)]) == 2
    assert f"{tmp_path}: the report cannot be written (No space left on device)" in capsys.readouterr().err


@pytest.mark.parametrize("name, said", [
    ("absent/card.png", "No such file or directory"), pytest.param("full.svg", "No space left on device", marks=full)])
def test_a_card_that_cannot_be_drawn(tmp_path, capsys, name, said):
    (tmp_path / "full.svg").symlink_to("/dev/full")
    card = written(tmp_path / "card.json", CARD)
    assert trace_card.main([str(tmp_path / name), str(card)]) == 3
    assert capsys.readouterr().err == f"heaplay info: {tmp_path / name} was not drawn: {said}\n"
    assert trace_card.main([str(tmp_path / "card.png"), str(card)]) == 0


@pytest.mark.parametrize("name, said", [
    ("absent/heap.svg", "No such file or directory"), pytest.param("full.svg", "No space left on device", marks=full)])
def test_a_heap_that_cannot_be_drawn(tmp_path, capsys, name, said):
    (tmp_path / "full.svg").symlink_to("/dev/full")
    assert draw_heap.main([str(written(tmp_path / "dump.json", DUMP)), "-o", str(tmp_path / name)]) == 1
    assert capsys.readouterr().err == f"draw_heap: {tmp_path / name}: {said}\n"
