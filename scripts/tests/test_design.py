"""allocator/DESIGN.md says what the code says: its generated parts, its numbers, the functions and files it names."""
import os
import subprocess
from pathlib import Path

import pytest

import design

KNOWN = {"LIMIT": 64, "BYTES": 8192}


@pytest.fixture(scope="module")
def out():
    """The build directory, with the two programs that the document is compared with."""
    directory = Path(os.environ.get("OUT", "build/release"))     # as make was told: dependencies hold by name
    programs = [f"{directory}/allocator/tools/{name}" for name in ("layout", "explain")]
    env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "OUT")}
    subprocess.run(["make", "-s", f"OUT={directory}", *programs], cwd=design.SRC, env=env, check=True)
    return directory if directory.is_absolute() else design.SRC / directory


def test_generated_parts_are_up_to_date(out):
    text = design.DOCUMENT.read_text()
    assert design.fill(text, out) == text, "run scripts/design.py --write"


def test_the_drawing_is_up_to_date(out):
    assert design.DRAWING.read_text() == design.drawing(out), "run scripts/design.py --write"


def test_numbers_are_those_of_the_code(out):
    assert list(design.wrong_numbers(design.DOCUMENT.read_text(), design.known_numbers(out))) == []


def test_functions_and_files_exist():
    assert list(design.missing_names(design.DOCUMENT.read_text())) == []


def test_the_document_has_numbers_to_check():
    text = design.DOCUMENT.read_text()
    assert len(list(design.wrong_numbers(text, {}))) > 20


def test_every_tunable_is_in_the_table():
    rows = (design.SOURCES / "tunables.def").read_text().count("\nCELL_TUNABLE(")
    assert len(design.tunables()) == rows
    assert all(row[1] is not None for row in design.tunables())


@pytest.mark.parametrize("text, wrong", [
    ("64 (`LIMIT`)", 0), ("63 (`LIMIT`)", 1), ("8 KiB (`BYTES`) and 8,192 bytes (`BYTES`)", 0), ("64 (`NOWHERE`)", 1),
    ("1/64 (`LIMIT`)", 0), ("7 MiB (`BYTES`)", 1),
])
def test_a_wrong_number_shows(text, wrong):
    assert len(list(design.wrong_numbers(text, KNOWN))) == wrong


def test_a_missing_function_shows():
    assert list(design.missing_names("`cell_free()` and `cell_nowhere()` in `api.c`, `apy.c`")) == [
        "`cell_nowhere()`: no such function", "`apy.c`: no such file"]


def test_constants_are_evaluated():
    assert design.evaluate("((size_t)1 << 20)  /* 1 MiB */", {}) == 1 << 20
    assert design.evaluate("(4 * CELL_PAGE)", {"CELL_PAGE": 4096}) == 16384
    assert design.evaluate("512 - sizeof(size_t)", {}) == 504
    assert design.evaluate("__import__('os')", {}) is None
