"""README says nothing that the code does not: functions, commands, files, and figures."""
import re
import subprocess
from pathlib import Path

import pytest

import readme_figures
from heaplay_report import load, schema

SRC = Path(__file__).resolve().parents[2]
README = (SRC / "README.md").read_text(encoding="utf-8")


def section(title):
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"README has no section '{title}'"
    return found.group(1)


def defines(source, name):
    """Whether the text of a C file defines the function: its name at a line's start or after a type, then a body."""
    return re.search(rf"^[a-z][\w \*]*\b{name}\([^;{{]*\)\n?\s*{{", source, re.MULTILINE) is not None


FREE_STEPS = re.findall(r"^\| \d+ \| (.+?) \| (.+?) \| (.+?) \|$", section("Where free(p) goes"), re.MULTILINE)


def test_the_box_of_free_has_its_steps():
    assert len(FREE_STEPS) >= 8


@pytest.mark.parametrize("functions, files, what", FREE_STEPS)
def test_functions_of_free_are_where_the_box_says(functions, files, what):
    sources = [(SRC / name.strip()).read_text(encoding="utf-8") for name in files.split(",")]
    for name, source in zip(re.findall(r"`(\w+)`", functions), sources):
        assert defines(source, name), f"{name} is not defined in {files}"
    everything = "\n".join(path.read_text(encoding="utf-8") for path in (SRC / "allocator" / "src").glob("*.[ch]"))
    for name in re.findall(r"`(\w+)`", what):
        assert defines(everything, name), f"{name} is not defined in allocator/src"


def test_other_functions_named_below_the_box_exist():
    everything = "\n".join(path.read_text(encoding="utf-8") for path in (SRC / "allocator" / "src").glob("*.[ch]"))
    for name in set(re.findall(r"`(cell_\w+)`", README)):
        assert defines(everything, name), f"{name} is not defined in allocator/src"


def make_targets():
    text = "\n".join(path.read_text(encoding="utf-8") for path in [SRC / "Makefile", *SRC.glob("*/build.mk")])
    return set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))


def test_make_targets_exist():
    named = set(re.findall(r"(?:`|^    |\$ )make ([a-z-]+)", README, re.MULTILINE))
    assert {"bench", "test", "record", "replay", "example"} <= named
    assert named <= make_targets(), f"no such targets: {named - make_targets()}"


def test_subcommands_exist():
    table = (SRC / "replay" / "cli" / "main.c").read_text(encoding="utf-8")
    known = set(re.findall(r'^\s*\{ "(\w+)",\s+hp_cmd_', table, re.MULTILINE))
    named = set(re.findall(r"(?:`|release/)heaplay ([a-z]+)", README))
    assert {"record", "compare", "advise"} <= named <= known, f"no such subcommands: {named - known}"


def test_tunables_exist():
    table = (SRC / "allocator" / "src" / "tunables.def").read_text(encoding="utf-8")
    known = set(re.findall(r"^CELL_TUNABLE\((\w+),", table, re.MULTILINE))
    named = {name for settings in re.findall(r"CELLMALLOC_CONF=(\S+)", README)
             for name in re.findall(r"(\w+):\d", settings)}
    assert named and named <= known, f"no such tunables: {named - known}"


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (SRC / target).exists(), f"README links to {target}"


def test_figures_are_those_of_the_example_run():
    made = readme_figures.blocks(load.load(readme_figures.EXAMPLE), readme_figures.EXAMPLE)
    assert set(re.findall(r"<!-- figures:(\w+) -->", README)) == set(made)
    assert readme_figures.refreshed(README, made) == README, "`make example` writes the figures"


def test_no_measured_figure_outside_the_marks():
    text = readme_figures.MARK.sub("", README)
    found = re.findall(r"\d[\d.,]* ?(?:%|ns\b|times\b|[KMG]iB|MB|ops|tests\b|passed\b)", text)
    assert found == ["95 %"], f"figures that no run backs: {found}"


def test_marks_without_a_maker_are_refused():
    with pytest.raises(schema.ResultsError, match="nothing"):
        readme_figures.refreshed("<!-- figures:nothing -->\nx\n<!-- /figures -->", {"means": ""})


def test_the_last_full_scoreboard_is_the_example(tmp_path):
    history = tmp_path / "history.csv"
    line = "{},full,{},a,{},{},2.0,1.2,{},0.5,1.0\n"
    history.write_text("created,mode,set,row,verdict,time_vs_glibc,time_ratio,time_low,rss_vs_glibc,rss_ratio,faults_ratio\n"
                       + line.format("1", "traces", "won", "9", "9")
                       + line.format("2", "traces", "won", "1.0", "1.0") + line.format("2", "traces", "lost", "4.0", "")
                       + line.format("2", "small", "held", "1.5", "1.0")
                       + line.format("3", "small", "won", "9", "9").replace("full", "quick"))
    readme_figures.adopt_board(history, tmp_path)
    assert readme_figures.scoreboard_table(tmp_path).splitlines()[2:] == [
        "| 2 traces | 1 | 0 | 1 | 1 | 2.000 | 2.000 | 1.000 | 0.500 |",
        "| 1 small | 0 | 1 | 0 | 0 | 1.500 | 2.000 | 1.000 | 0.500 |"]
    history.write_text("created,mode\n1,quick\n")
    with pytest.raises(schema.ResultsError, match="no full scoreboard"):
        readme_figures.adopt_board(history, tmp_path)


def test_a_log_without_closing_line_is_refused(tmp_path):
    log = tmp_path / "log"
    log.write_text("make: *** [all] Error 1\n")
    with pytest.raises(schema.ResultsError, match="N passed, N failed"):
        readme_figures.adopt_tests(log, tmp_path)
    log.write_text("pass  x\n12 passed, 0 failed\nmake: Nothing\n")
    readme_figures.adopt_tests(log, tmp_path)
    assert (tmp_path / "test.txt").read_text() == "12 passed, 0 failed\n"


def test_help_lists_every_documented_target():
    said = subprocess.run(["make", "-C", str(SRC), "--no-print-directory"], capture_output=True, text=True, check=True)
    for name in make_targets():
        assert f"make {name} " in said.stdout
