"""Importers on input with one fault: counted once, located, the rest is read, and --strict makes it exit 3."""
import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAPLAY = Path(os.environ.get("OUT", ROOT / "build" / "release")) / "heaplay"
HUGE = "99999999999999999999999999"
HEX = "fffffffffffffffffffff"

# Format: lines that are good, and what to put after them: fault -> (line, operations read besides those of the good lines).
GOOD = {
    "android": ["7: malloc 0x10 100", "7: malloc 0x20 200", "7: free 0x20"],
    "csv": ["kind,thread,time_ns,id,old_id,size,count,alignment", "malloc,0,0,1,0,100,0,0", "malloc,0,0,2,0,200,0,0",
            "free,0,0,0,2,0,0,0"],
    "rep": ["100", "2", "3", "1", "a 1 100", "a 2 200", "f 2"],
    "mtrace": ["= Start", "@ ./t:[0x1] + 0x10 0x64", "@ ./t:[0x1] + 0x20 0xc8", "@ ./t:[0x1] - 0x20"],
    "valgrind": ["--5-- malloc(100) = 0x10", "--5-- malloc(200) = 0x20", "--5-- free(0x20)"],
    "heaptrack": ["v 10400 3", "+ 64 1 10", "+ c8 1 20", "- 20"],
    "ltrace": ["9 malloc(100) = 0x10", "9 malloc(200) = 0x20", "9 free(0x20) = <void>"],
    "utrace": [" 7 p USER  0x10 = malloc(100)", " 7 p USER  0x20 = malloc(200)", " 7 p USER  free(0x20)"],
    "ctsrd": ["@record-type:call-trace\ttimestamp-unix-ns\tcallstack\ttid\tname\targs\tresult\talloc-stack\tcpu-time-ns",
              "call-trace\t1000\ta\t7\tmalloc\t100\t10\t\t1", "call-trace\t1000\ta\t7\tmalloc\t200\t20\t\t1",
              "call-trace\t1000\ta\t7\tfree\t20\t\t\t1"],
    "bpftrace": ["7 1000 malloc 100 = 0x10", "7 1000 malloc 200 = 0x20", "7 1000 free 0x20"],
}
FAULTS = {
    "android": {"garbage": "what is this", "huge": f"7: malloc 0x30 {HUGE}", "huge pointer": f"7: malloc 0x{HEX} 8",
                "missing": "7: malloc 0x30", "unknown": "7: free 0x99", "duplicate": "7: malloc 0x10 8",
                "trailing": "7: free 0x10 and more", "alignment": "7: memalign 0x30 3 9", "empty": "",
                "call": "7: melloc 0x1 1"},
    "csv": {"garbage": "what is this", "huge": f"malloc,0,0,3,0,{HUGE},0,0", "missing": "malloc,0,0,3",
            "unknown": "free,0,0,0,9,0,0,0", "duplicate": "malloc,0,0,1,0,8,0,0",
            "trailing": "free,0,0,0,1,0,0,0,5", "alignment": "memalign,0,0,3,0,9,0,3"},
    "rep": {"garbage": "what is this", "huge": f"a 3 {HUGE}", "missing": "a 3", "unknown": "f 9", "duplicate": "a 1 8",
            "trailing": "f 1 x"},
    "mtrace": {"garbage": "what is this", "huge": f"@ ./t:[0x1] + 0x30 0x{HEX}", "missing": "@ ./t:[0x1] + 0x30",
               "unknown": "@ ./t:[0x1] - 0x99", "duplicate": "@ ./t:[0x1] + 0x10 0x8"},
    "valgrind": {"huge": f"--5-- malloc({HUGE}) = 0x30", "missing": "--5-- malloc(100)", "unknown": "--5-- free(0x99)",
                 "duplicate": "--5-- malloc(8) = 0x10"},
    "heaptrack": {"garbage": "what is this", "huge": f"+ {HEX} 1 30", "missing": "+ 64 1", "unknown": "- 99",
                  "duplicate": "+ 8 1 10"},
    "ltrace": {"huge": f"9 malloc({HUGE}) = 0x30", "missing": "9 malloc() = 0x30", "result": "9 malloc(8) =",
               "unknown": "9 free(0x99) = <void>", "duplicate": "9 malloc(8) = 0x10",
               "resumed": "9 <... malloc resumed> ) = 0x30"},
    "utrace": {"huge": f" 7 p USER  0x30 = malloc({HUGE})", "missing": " 7 p USER  0x30 = malloc()",
               "unknown": " 7 p USER  free(0x99)", "duplicate": " 7 p USER  0x10 = malloc(8)"},
    "ctsrd": {"huge": f"call-trace\t1000\ta\t7\tmalloc\t{HUGE}\t30\t\t1", "missing": "call-trace\t1000\ta\t7\tmalloc",
              "unknown": "call-trace\t1000\ta\t7\tfree\t99\t\t\t1", "duplicate": "call-trace\t1000\ta\t7\tmalloc\t8\t10\t\t1"},
    "bpftrace": {"huge": f"7 1000 malloc {HUGE} = 0x30", "missing": "7 1000 malloc 8", "unknown": "7 1000 free 0x99",
                 "duplicate": "7 1000 malloc 8 = 0x10", "lost": "Lost 17 events", "call": "7 1000 melloc 8 = 0x30"},
}


def run_import(tmp_path, form, lines, *options):
    path = tmp_path / f"in.{form}"
    path.write_text("\n".join(lines) + "\n")
    return subprocess.run([HEAPLAY, "import", *options, path, "-o", tmp_path / "out.hpt"], capture_output=True, text=True,
                          check=False)


def check(tmp_path):
    return subprocess.run([HEAPLAY, "check", tmp_path / "out.hpt"], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("form", GOOD)
def test_good_input_is_recognised_and_whole(tmp_path, form):
    done = run_import(tmp_path, form, GOOD[form], "--strict")
    assert done.returncode == 0 and f": {form}: 3 operations read, 1 blocks live" in done.stderr, done.stderr


@pytest.mark.parametrize("form, fault", [(form, fault) for form, faults in FAULTS.items() for fault in faults])
def test_one_fault_is_counted_and_located(tmp_path, form, fault):
    good = GOOD[form]
    lines = good[:-1] + [FAULTS[form][fault]] + good[-1:]
    done = run_import(tmp_path, form, lines)
    assert done.returncode == 0, done.stderr
    said = re.search(r"skipped or mended: (\d+) \((\d+) of unknown blocks, (\d+) onto live blocks\); the first at line (\d+) ",
                     done.stderr)
    assert said, done.stderr
    assert [int(n) for n in said.groups()] == [1, fault == "unknown", fault == "duplicate", len(good)]
    extra = fault == "duplicate"        # a free is put before it, and the allocation counts
    assert f": {3 + extra} operations read" in done.stderr
    assert check(tmp_path)
    strict = run_import(tmp_path, form, lines, "--strict")
    assert strict.returncode == 3 and "1 offences and --strict" in strict.stderr and check(tmp_path)


@pytest.mark.parametrize("form", GOOD)
def test_long_lines_and_cut_ends(tmp_path, form):
    """A line of a megabyte, no newline at the end, carriage returns, bytes that are no text."""
    good = GOOD[form]
    for lines in (good[:2] + ["x" * 2**20] + good[2:], good[:2] + ["\0\x7f\v"] + good[2:]):
        done = run_import(tmp_path, form, lines, "--from", form)
        assert done.returncode == 0 and check(tmp_path), done.stderr
    path = tmp_path / "in"
    for end in ("\r\n", "\n"):
        path.write_bytes(end.join(good).encode())
        done = subprocess.run([HEAPLAY, "import", "--strict", path, "-o", tmp_path / "out.hpt"], capture_output=True, text=True,
                              check=False)
        assert done.returncode == 0 and f"{form}: 3 operations" in done.stderr, done.stderr
