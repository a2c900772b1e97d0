"""make bench's script on small synthetic traces with the built program: a whole run, its failures, ^C."""
import errno
import io
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rich.console

import bench
import fixture
from heaplay_report import load, schema

SCRIPTS = Path(__file__).resolve().parent.parent
OUT = Path(os.environ.get("OUT", SCRIPTS.parent / "build" / "release"))
HEAPLAY = OUT / "heaplay"
pytestmark = pytest.mark.skipif(not HEAPLAY.exists(), reason=f"{HEAPLAY} is not built")


def generate(path, operations="20000"):
    subprocess.run([HEAPLAY, "generate", "mix", "-o", path, "--ops", operations], check=True, capture_output=True)
    return path


def run_bench(tmp_path, *arguments, **options):
    return subprocess.run([sys.executable, SCRIPTS / "bench.py", "--heaplay", HEAPLAY, "--results", tmp_path / "results",
                           "--minutes", "0.25", "--samples", "4", *arguments], text=True, capture_output=True,
                          check=False, **options)


def test_a_run_leaves_everything(tmp_path):
    trace = generate(tmp_path / "small.hpt")
    done = run_bench(tmp_path, "--trace", trace, "--allocs", "glibc jemalloc")
    assert done.returncode == 0, done.stderr
    directory = (tmp_path / "results" / "latest").resolve()
    for name in ("results.json", "results.csv", "report.md", "report.html", "plots/speed-against-memory.png",
                 "plots/memory-small.svg"):
        assert (directory / name).stat().st_size > 100, name
    run = load.Run(schema.read(directory))
    assert run.allocators == ["glibc", "jemalloc"] and "glibc#again" in run.all_allocators
    assert {"null", "bump"} <= set(run.all_allocators)
    assert run.document["allocators"]["jemalloc"]["verified"] is True
    assert run.document["traces"]["small"]["stopping"]["blocks"] == len(run.row("small", "glibc")["blocks"])
    assert load.newest(tmp_path / "results") == directory


def test_latency_and_drift_on_demand(tmp_path):
    trace = generate(tmp_path / "small.hpt", "20000")
    done = run_bench(tmp_path, "--trace", trace, "--allocs", "glibc", "--latency", "--loops", "4", "--no-verify")
    assert done.returncode == 0, done.stderr
    directory = (tmp_path / "results" / "latest").resolve()
    page = (directory / "report.md").read_text()
    heads, row = (page.split("## Latency of single calls")[1].split("| trace |")[1].splitlines()[line] for line in (0, 2))
    found = load.Run(schema.read(directory)).row("small", "glibc")
    cells = [cell.strip() for cell in row.strip("| ").split("|")]
    assert cells[:4] == ["small (synthetic)", "glibc", str(found["latency"]["all"]["p50"]), str(found["latency"]["all"]["p90"])]
    assert len(found["pass_end_rss_kib"][0]) == 4 and found["survivors"] == "carried over" and "p50" in heads
    drift = page.split("## Memory in detail")[1].split("| small (synthetic) | glibc |")[1].splitlines()[0].split("|")[-3].strip()
    grown = statistics.median(ends[3] - ends[2] for ends in found["pass_end_rss_kib"])
    assert float(drift.replace(",", "")) == pytest.approx(grown, rel=0.01)


def test_the_bump_allocators_replay_does_not_describe_the_trace():
    """Its rows come from a document of its own, with one block, whose entry of the trace is not the run's."""
    main, fresh = (fixture.document(traces={"t": (20, 1000)}, allocators=names, blocks=count)
                   for names, count in ((["glibc", "null"], 8), (["bump", "null"], 1)))
    for document in (main, fresh):
        count = len(document["rows"][0]["blocks"])
        document["traces"]["t"]["stopping"] = {"width": 0.01, "pilot": 10, "planned": count, "blocks": count, "by": "samples"}
    merged = load.merge([main, bench.without(fresh, "null")], "bench", main["created"], "")
    blocks = {row["allocator"]: len(row["blocks"]) for row in merged["rows"]}
    assert blocks == {"glibc": 8, "null": 8, "bump": 1}
    assert merged["traces"]["t"]["stopping"]["blocks"] == blocks["glibc"]


def test_document_and_report_name_the_trace_that_was_verified_on(tmp_path):
    """The shortest; an allocator that verify passed there may still break the contract on another."""
    large, small = generate(tmp_path / "large.1.hpt", "40000"), generate(tmp_path / "small.1.hpt", "2000")
    done = run_bench(tmp_path, "--trace", large, "--trace", small, "--allocs", f"glibc broken={OUT}/broken/liberrno.so")
    assert done.returncode == 4, done.stderr
    directory = (tmp_path / "results" / "latest").resolve()
    run = load.Run(schema.read(directory))
    found = {name: (about["verified"], about.get("verified_on")) for name, about in run.document["allocators"].items()}
    assert "small.1" in run.traces and found["null"] == found["glibc#again"] == (None, None)
    assert (found["glibc"], found["broken"]) == ((True, "small.1"), (False, "small.1"))
    assert any(note.startswith("verify on small.1: ") for note in run.document["notes"])
    for name in ("report.md", "report.html"):
        page = (directory / name).read_text()
        assert "passed (small.1)" in page and "FAILED (small.1)" in page and "not run (" not in page


def test_a_broken_allocator_is_marked_in_the_speed_table(tmp_path):
    trace = generate(tmp_path / "small.hpt", "5000")
    done = run_bench(tmp_path, "--trace", trace, "--allocs", f"glibc broken={OUT}/broken/liberrno.so")
    assert done.returncode == 4, done.stderr
    assert "changed errno" in done.stdout and "Do not trust broken's figures" in done.stdout
    directory = (tmp_path / "results" / "latest").resolve()
    run = load.Run(schema.read(directory))
    assert run.document["allocators"]["broken"]["verified"] is False and run.row("small", "broken")["status"] == "ok"
    table = (directory / "report.md").read_text().split("## Time, ns per operation")[1].split("## ")[0]
    assert "broken (FAILS VERIFY)" in table and "glibc (FAILS" not in table


def test_what_an_allocator_says_of_its_settings_is_a_note(tmp_path):
    """A misspelt tunable measures the defaults."""
    trace = generate(tmp_path / "small.hpt", "5000")
    done = run_bench(tmp_path, "--trace", trace, "--allocs", "glibc cellmalloc@CELLMALLOC_CONF=cach_bytes:0", "--no-verify")
    assert done.returncode == 0, done.stderr
    notes = load.Run(schema.read((tmp_path / "results" / "latest").resolve())).document["notes"]
    assert len(notes) == 1 and "cellmalloc@CELLMALLOC_CONF=cach_bytes:0 says: " in notes[0] and "no such tunable" in notes[0]
    assert notes[0] in done.stdout


@pytest.mark.parametrize("width", [60, 80, 100])
def test_names_are_whole_in_a_narrow_terminal(width):
    names = [f"cellmalloc@CELLMALLOC_CONF=purge_min:0,cache_bytes:{size}" for size in (1, 2)]
    document = fixture.document(traces={"t": (20, 1000)}, allocators=["glibc"])
    glibc = document["rows"][0]
    document["rows"] += [{**glibc, "allocator": name} for name in names]
    said = io.StringIO()
    bench.show(load.Run(document), rich.console.Console(file=said, width=width))
    assert "\u2026" not in said.getvalue()
    column = "".join(line.split(" ")[0] for line in said.getvalue().splitlines()[1:])
    assert all(name in column for name in names)


@pytest.mark.parametrize("spec, name", [
    ("glibc", "glibc"), ("x=/lib/x.so", "x"), ("x=/lib/x.so@A=1,B=2#twin", "x@A=1,B=2#twin"), ("glibc#again", "glibc#again")])
def test_names_are_those_of_heaplay(spec, name):
    assert bench.allocator_name(spec) == name


@pytest.mark.parametrize("arguments, status, said", [
    (["--trace", "/none.hpt"], 3, "no such trace"),
    (["--suite", "huge"], 2, "suite 'huge' is unknown"),
    (["--minutes", "0"], 2, "give 0.2 to 1440"),
    (["--samples", "1"], 2, "give 3 to 10000"),
    (["--heaplay", "/none", "--trace", "x"], 2, "make build"),
])
def test_bad_arguments(tmp_path, arguments, status, said):
    done = run_bench(tmp_path, *arguments)
    assert done.returncode == status and said in done.stderr


def test_bad_trace_and_bad_allocator(tmp_path):
    broken = tmp_path / "broken.hpt"
    broken.write_bytes(b"not a trace at all")
    done = run_bench(tmp_path, "--trace", broken, "--allocs", "glibc")
    assert done.returncode == 3 and "broken.hpt" in done.stderr and done.stderr.count("\n") == 1
    done = run_bench(tmp_path, "--trace", generate(tmp_path / "t.hpt"), "--allocs", "nosuch")
    assert done.returncode == 4 and "nosuch" in done.stderr


@pytest.mark.parametrize("place, said", [
    ("file", "is no directory"), ("file/below", "Not a directory"), ("/proc/heaplay", "No such file or directory")])
def test_results_that_cannot_be_kept_are_not_measured(tmp_path, place, said):
    (tmp_path / "file").write_text("kept")
    trace = generate(tmp_path / "t.hpt", "1000")
    done = run_bench(tmp_path, "--trace", trace, "--allocs", "glibc", "--results", tmp_path / place)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"heaplay bench: --results {tmp_path / place}: cannot be written ({said})\n"
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize("allocs, asked", [([], "list --json"), (["--allocs", "glibc"], "info --json")])
def test_a_program_that_is_not_heaplay(tmp_path, allocs, asked):
    done = run_bench(tmp_path, "--trace", generate(tmp_path / "t.hpt", "1000"), "--heaplay", "/bin/true", *allocs)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and f"is not heaplay: `{asked}`" in done.stderr


def test_a_disk_that_is_full_is_named(tmp_path, monkeypatch, capsys):
    """Of the end of a run: what was measured cannot be written."""
    document = fixture.document(traces={"t": (20, 1000)}, allocators=["glibc", "null"])
    monkeypatch.setattr(bench, "measure", lambda *_: ([document], {}, [], False))
    monkeypatch.setattr(Path, "write_text", lambda *_, **__: full_disk())
    assert bench.main(["--heaplay", str(HEAPLAY), "--trace", str(generate(tmp_path / "t.hpt", "1000")), "--results",
                       str(tmp_path / "results")]) == 1
    assert re.fullmatch(rf"heaplay bench: {tmp_path}/results/[-0-9]+: No space left on device\n", capsys.readouterr().err)


def full_disk():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("second, said", [("b/t.hpt", "rename one, or link it"), ("a/t.hpt", "given twice")])
def test_two_traces_of_one_name_are_refused(tmp_path, second, said):
    paths = [tmp_path / "a" / "t.hpt", tmp_path / second]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        generate(path, "1000")
    done = run_bench(tmp_path, "--trace", paths[0], "--trace", paths[1], "--allocs", "glibc")
    assert done.returncode == 2 and said in done.stderr and done.stderr.count("\n") == 1
    assert all(str(path) in done.stderr for path in paths) and not (tmp_path / "results").exists()


def test_traces_of_two_names_are_not():
    bench.refuse_namesakes([Path("a/t.hpt"), Path("a/t2.hpt"), Path("a/t.v2"), Path("a/t.v3")])


def heed_interrupts():
    """A shell has what it starts in the background ignore ^C, and so would all below it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_interrupted_run_keeps_what_is_complete(tmp_path):
    small, large = generate(tmp_path / "a.hpt", "2000"), generate(tmp_path / "b.hpt", "400000")
    child = subprocess.Popen([sys.executable, SCRIPTS / "bench.py", "--heaplay", HEAPLAY, "--results",
                              tmp_path / "results", "--minutes", "1", "--samples", "10000", "--no-verify",
                              "--trace", small, "--trace", large, "--allocs", "glibc"],
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts)
    for line in child.stderr:
        if "2 of 2" in line:
            break
    time.sleep(0.5)
    child.send_signal(signal.SIGINT)
    said, _ = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "Interrupted: complete for 1 of 2 traces" in said
    document = schema.read((tmp_path / "results" / "latest").resolve())
    assert {row["trace"] for row in document["rows"]} == {"a"}
    assert "Interrupted" in json.dumps(document["notes"])


def test_suites(tmp_path):
    (tmp_path / "suites.json").write_text(json.dumps({"suites": {"one": ["a.hpt"], "all": ["*.hpt"], "gone": ["x.hpt"]}}))
    (tmp_path / "a.hpt").write_text("")
    (tmp_path / "b.hpt").write_text("")
    assert [path.name for path in bench.suite_traces("one", tmp_path)] == ["a.hpt"]
    assert [path.name for path in bench.suite_traces("all", tmp_path)] == ["a.hpt", "b.hpt"]
    with pytest.raises(bench.BenchError, match="x.hpt"):
        bench.suite_traces("gone", tmp_path)


def test_the_quick_suite_has_less_time():
    assert [bench.parse_arguments(words).minutes for words in ([], ["--suite", "quick"], ["--suite", "quick", "--minutes", "3"])
            ] == [4.0, 0.9, 3.0]


def test_time_is_shared_out_by_length():
    share = {"a": 1.0, "b": 3.0}
    assert bench.share_out(40, share, ["a", "b"]) == pytest.approx(10 * bench.SAMPLING)
    assert bench.share_out(30, share, ["b"]) == pytest.approx(30 * bench.SAMPLING)
    assert bench.share_out(-1, share, ["b"]) == 0.5


def test_ends_in_time_whatever_a_trace_needs(tmp_path):
    small, large = generate(tmp_path / "small.hpt", "2000"), generate(tmp_path / "large.hpt", "20000000")
    done = run_bench(tmp_path, "--trace", small, "--trace", large, "--allocs", "glibc jemalloc", "--no-verify",
                     "--minutes", "0.2", timeout=60)
    assert done.returncode == 0, done.stderr
    notes = schema.read((tmp_path / "results" / "latest").resolve())["notes"]
    assert notes == ["Stopped after 0.2 minutes: complete for 1 of 2 traces; absent: large."]
