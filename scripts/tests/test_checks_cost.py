"""The checks' cost: the build has none of them, and the tables say what the figures are."""
import subprocess
from pathlib import Path

import pytest

import checks_cost
from heaplay_bench import allocators, board

SRC = Path(__file__).resolve().parents[2]
PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
#include "chunk.h"
#include "freed.h"
uintptr_t cell_freed_secret[2] = { 3, 5 };
uint64_t cell_chunk_secret = 7;
void cell_fatal(enum cell_fatal_kind kind) { (void)kind; puts("fatal"); exit(1); }
int main(void)
{
    struct cell_freed block = { 11, 13 };
    static _Alignas(16) char room[64];
    cell_freed_set_next(&block, NULL);
    printf("%d %d ", block.tag == 13, cell_chunk_seal((struct cell_chunk *)room, 32, CELL_INUSE) == 0);
    block.tag ^= 1;
    cell_freed_next(&block);
    puts("passed");
    return 0;
}
"""


@pytest.mark.parametrize("options, wanted", [([], "0 0 fatal\n"), (["-DCELL_UNCHECKED"], "1 1 passed\n")])
def test_the_build_has_no_checks_seals_or_tags(tmp_path, options, wanted):
    source = tmp_path / "p.c"
    source.write_text(PROGRAM)
    subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-Iallocator/src", "-Iallocator/include", *options, "-o",
                    str(tmp_path / "p"), str(source)], cwd=SRC, check=True)
    assert subprocess.run([tmp_path / "p"], capture_output=True, text=True, check=False).stdout == wanted


def test_the_build_is_never_installed_or_made_by_make_build():
    done = subprocess.run(["make", "-n", "-s", "-B", "artifacts", "OUT=/nonexistent"], cwd=SRC, capture_output=True, text=True,
                          check=True)
    assert "libcellmalloc.so" in done.stdout and "CELL_UNCHECKED" not in done.stdout


def row(name, instructions=None, time_ns=(30.0, 20.0)):
    def measured(position):
        counts = {"instructions": instructions[position]} if instructions else {}
        return board.Measured({b: time_ns[position] for b in range(4)}, {b: 100 for b in range(4)}, {b: 1 for b in range(4)},
                              counts)
    return board.Row("traces", name, {checks_cost.CHECKED: measured(0), checks_cost.UNCHECKED: measured(1)})


def test_cells_and_means():
    rows = [row("jq", (120.0, 100.0)), row("z3", (100.0, 120.0)), row("dot")]
    assert checks_cost.trace_cells(rows[0]) == ("jq", "120.0", "100.0", "+20.0 %", "30.0", "20.0", "1.500 [1.500, 1.500]")
    assert checks_cost.trace_cells(rows[2])[1:4] == ("-", "-", "-")
    said = checks_cost.sentences(rows)
    assert "of 2 traces: the checks add 0.0 %" in said[0] or "of 2 traces: the checks add -0.0 %" in said[0]
    assert "of 3 traces: with checks 1.500 of without" in said[1] and "1.000" in said[2]


def test_fast_paths_are_compared(monkeypatch):
    monkeypatch.setattr(checks_cost.figures, "instructions", lambda bench, size: {
        "malloc": 20.0 if "with" == bench.preload else 15.0, "free": 30.0})
    chosen = [allocators.Allocator(checks_cost.CHECKED, "with"), allocators.Allocator(checks_cost.UNCHECKED, "without")]
    rows = checks_cost.path_rows(checks_cost.fast_paths("out", chosen))
    assert rows[0] == ("malloc, 32 bytes", "20.0", "15.0", "+5.0") and rows[1][3] == "+0.0" and len(rows) == 4


def test_a_build_that_is_not_there_is_named(tmp_path, capsys):
    (tmp_path / "libcellmalloc.so").write_text("")
    assert checks_cost.main(["--out", str(tmp_path)]) == 4
    assert "unchecked/libcellmalloc.so'; make checks-cost makes it" in capsys.readouterr().err
