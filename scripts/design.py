#!/usr/bin/env python3
"""Keeps allocator/DESIGN.md true: fills its generated parts, and compares every number that names its source.

Generated parts stand between `<!-- begin: WHAT -->` and `<!-- end: WHAT -->`; WHAT is `tunables` (from tunables.def),
`layout` (sizes of structures, from the program layout), or `explain N` (what `make explain SIZE=N` prints). In prose, a
number is followed by its source, as in: 64 (`small_limit`); sources are tunables, #defines of allocator/src, and rows of
layout. Functions are written as `name()` and must exist. Without --write differences are printed, and the exit code is 1.
"""
import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import draw_heap

SRC = Path(__file__).resolve().parent.parent
DOCUMENT = SRC / "allocator/DESIGN.md"
DRAWING = SRC / "allocator/heap.svg"
SOURCES = SRC / "allocator/src"
UNITS = {"": 1, "KiB": 1024, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def evaluate(expression, known):
    """The value of a simple C constant expression, or None."""
    text = re.sub(r"/\*.*?\*/", "", expression)
    text = re.sub(r"\bsizeof\s*\(?size_t\)?", "8", text)
    text = re.sub(r"\((size_t|uintptr_t|uint64_t|int)\)", "", text)
    text = re.sub(r"\b(\d+)[uUlL]+\b", r"\1", text)
    text = re.sub(r"[A-Z_][A-Z0-9_]*", lambda name: str(known.get(name.group(0), name.group(0))), text)
    if not re.fullmatch(r"[\d\s()+\-*/<>&|~x]+", text):
        return None
    try:
        return int(eval(text.replace("/", "//"), {"__builtins__": {}}))     # digits and operators only
    except (SyntaxError, TypeError, ZeroDivisionError):
        return None


def defines():
    """Values of #define NAME EXPRESSION in the sources; the first of a name counts (64-bit ones come first)."""
    texts = "\n".join(path.read_text() for path in sorted(SOURCES.glob("*.[ch]")))
    found = re.findall(r"^#define\s+([A-Z][A-Z0-9_]*)\s+(\S.*)$", texts, re.MULTILINE)
    known = {}
    for _ in range(3):                      # some build on others
        for name, expression in found:
            value = evaluate(expression, known)
            if value is not None:
                known.setdefault(name, value)
    return known


def tunables():
    """Rows of tunables.def: name, default, minimum, maximum, unit, when, text."""
    text = (SOURCES / "tunables.def").read_text()
    rows = re.findall(r'^CELL_TUNABLE\((\w+), ([^,\n]+), ([^,\n]+), ([^,\n]+), "(.*?)", (\w+),\s*"(.*?)"\)', text, re.M | re.S)
    known = {}
    return [(name, evaluate(initial, known), evaluate(low, known), evaluate(high, known), unit, when, re.sub(r'"\s*"', "", words))
            for name, initial, low, high, unit, when, words in rows]


def run(program, *arguments):
    return subprocess.run([str(program), *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def layout(out):
    rows = (line.rsplit(" ", 1) for line in run(out / "allocator/tools/layout").splitlines())
    return {name: int(value) for name, value in rows}


def tunables_table():
    lines = ["| tunable | default | range | unit | when | what it does |", "|---|---:|---|---|---|---|"]
    for name, initial, low, high, unit, when, text in tunables():
        moment = "at start" if when == "START" else "any time"
        lines.append(f"| `{name}` | {initial} | {low} - {high} | {unit} | {moment} | {text} |")
    return "\n".join(lines)


def layout_table(out):
    lines = ["| what | bytes or number |", "|---|---:|"]
    return "\n".join(lines + [f"| {name} | {value} |" for name, value in layout(out).items()])


def explanation(out, size):
    """What explain prints, without what differs from run to run (the seal)."""
    text = run(out / "allocator/tools/explain", size)
    text = re.sub(r"0x([0-9a-f]+)(?= = size)", lambda word: f"0x....{int(word.group(1), 16) & (1 << 48) - 1:012x}", text)
    return f"```\n{text}```"


def drawing(out):
    """The heap of `explain 200`, to scale."""
    with tempfile.TemporaryDirectory() as scratch:
        dump = Path(scratch) / "dump.json"
        run(out / "allocator/tools/explain", "200", dump)
        return draw_heap.draw(draw_heap.load(dump), "The heap of `make explain SIZE=200`, to scale", 4096)


def part(what, out):
    name, *arguments = what.split()
    return {"tunables": tunables_table, "layout": lambda: layout_table(out),
            "explain": lambda: explanation(out, *arguments)}[name]()


def fill(text, out):
    """The document with its generated parts as they are now."""
    return re.sub(r"(<!-- begin: (.*?) -->\n)(.*?)(<!-- end: \2 -->)",
                  lambda found: f"{found.group(1)}{part(found.group(2), out)}\n{found.group(4)}", text, flags=re.S)


def known_numbers(out):
    return {**defines(), **{row[0]: row[1] for row in tunables()}, **layout(out)}


def wrong_numbers(text, known):
    """Numbers in prose that are not what their source says."""
    for number, unit, source in re.findall(r"([\d,]+)(?: (KiB|MiB|GiB|TiB|bytes|pages|%))? \(`([^`]+)`\)", text):
        said = int(number.replace(",", "")) * UNITS.get(unit, 1)
        if source not in known:
            yield f"{number} {unit} (`{source}`): no such constant"
        elif known[source] != said:
            yield f"{number} {unit} (`{source}`): it is {known[source]}"


def missing_names(text):
    """Functions and files that the document names and the sources do not have."""
    code = "\n".join(path.read_text() for path in [*SOURCES.glob("*.[ch]"), *SRC.glob("allocator/include/*.h")])
    for name in sorted(set(re.findall(r"`(\w+)\(\)`", text))):
        if not re.search(rf"\b{name}\(", code):
            yield f"`{name}()`: no such function"
    for name in sorted(set(re.findall(r"`([a-z_]+\.(?:c|h|def))`", text))):
        if not list(SRC.glob(f"allocator/*/{name}")):
            yield f"`{name}`: no such file"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=SRC / "build/release", help="build directory")
    parser.add_argument("--write", action="store_true", help="fill the generated parts in")
    options = parser.parse_args(argv)
    text = DOCUMENT.read_text()
    filled = fill(text, options.out)
    if options.write and filled != text:
        DOCUMENT.write_text(filled)
        text = filled
    if options.write:
        DRAWING.write_text(drawing(options.out))
    problems = [*wrong_numbers(text, known_numbers(options.out)), *missing_names(text)]
    if filled != text:
        problems.append("generated parts differ from the sources; `scripts/design.py --write` fills them in")
    for problem in problems:
        print(f"DESIGN.md: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
