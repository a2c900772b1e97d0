"""METHOD.md's table of threats: every objection has a row, and every test that a row names exists and is run."""
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
METHOD = ROOT / "replay" / "METHOD.md"
PLACES = {".c": ROOT / "replay" / "tests", ".sh": ROOT / "replay" / "tests", ".py": ROOT / "scripts" / "tests"}
# What authors of allocators object to measurements: the first words of the row that answers.
OBJECTIONS = [
    "You measure your harness", "The harness is in the memory figure", "One peak number says nothing",
    "Untouched memory costs nothing", "Threads run in another order", "The recorded order is not the true one",
    "Recording perturbs", "Flat out hides background purging", "Layout luck", "Drift and order",
    "That was another allocator", "That was another machine", "The fast one is broken", "Figures that nobody can check",
    "The mean hides it",
    "Tuned to its own traces", "My workload is secret", "Real or synthetic",
]


def rows():
    """{threat: (remedy, text that names tests)} of the table."""
    section = METHOD.read_text(encoding="utf-8").split("\n## Threats, remedies")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]
    assert all(len(row) == 3 for row in cells), [row[0] for row in cells if len(row) != 3]
    return {row[0]: (row[1], row[2]) for row in cells}


def named_tests(text):
    """[(file, name)]: of C and Python files the words with an underscore, of shell files what stands in quotes."""
    parts = re.split(r"`(test_\w+\.(?:c|sh|py))`", text)
    found = []
    for file, names in zip(parts[1::2], parts[2::2]):
        quoted = re.findall(r'"([^"]+)"', names)
        words = quoted if file.endswith(".sh") else re.findall(r"\b\w+_\w+\b", names)
        found += [(file, word) for word in words] or [(file, None)]
    return found


def check_names(file):
    """Names of the checks of a test file, as far as its text says them."""
    text = (PLACES[Path(file).suffix] / file).read_text(encoding="utf-8")
    if file.endswith(".c"):
        return re.findall(r"cmocka_unit_test\w*\(\s*(\w+)", text)
    if file.endswith(".py"):
        return re.findall(r"^def (test_\w+)", text, re.M)
    return re.findall(r'\b(?:ok|not_ok|is|like|exits|skip) "((?:[^"\\]|\\.)*)"', text)


def exists(file, name):
    if not (PLACES[Path(file).suffix] / file).is_file():
        return False
    names = check_names(file)
    return any(name in one for one in names) if file.endswith(".sh") else name in names


@pytest.mark.parametrize("objection", OBJECTIONS)
def test_every_objection_has_a_row(objection):
    assert any(threat.startswith(objection) for threat in rows())


@pytest.mark.parametrize("threat", rows())
def test_the_tests_that_a_row_names_exist(threat):
    found = named_tests(rows()[threat][1])
    assert found, "names no test"
    missing = [f"{file}: {name}" for file, name in found if name is None or not exists(file, name)]
    assert not missing


def test_the_files_that_rows_name_are_run():
    """C and shell tests are what make builds and runs; pytest takes the whole directory of the others."""
    listed = subprocess.run(["make", "--no-print-directory", "-s", "-C", str(ROOT), "--eval",
                             "print-tests: ; @printf '%s\\n' $(TESTS)", "print-tests"], capture_output=True, text=True,
                            check=True).stdout.split()
    run = {Path(one).name for one in listed}
    files = {file for _, text in rows().values() for file, _ in named_tests(text)}
    assert {file for file in files if not file.endswith(".py") and file.removesuffix(".c") not in run} == set()
    assert len(files) >= 8


def test_a_name_that_is_gone_is_noticed():
    assert named_tests('`test_x.c` one_two, three_four (and more); `test_y.sh` "a b", "c"; `test_z.py`') == [
        ("test_x.c", "one_two"), ("test_x.c", "three_four"), ("test_y.sh", "a b"), ("test_y.sh", "c"), ("test_z.py", None)]
    assert exists("test_compile.c", "redundant_edges_go") and not exists("test_compile.c", "redundant_edges_stay")
    assert exists("test_replay.sh", "stall time is reported") and not exists("test_replay.sh", "stall time is nice")
    assert exists("test_method.py", "test_every_objection_has_a_row") and not exists("test_none.py", "test_x")
