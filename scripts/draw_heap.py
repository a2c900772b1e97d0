#!/usr/bin/env python3
"""Draws a heap dump (cell_dump_json) as SVG: every chunk and cell to scale, one row for each run of pages.

A row is --row-bytes long; without it, the smallest power of two that needs at most --max-rows rows. Blocks thinner than
a hundredth of a pixel are left out, and the caption says how many. Mapped blocks are listed below, not drawn.
"""
import argparse
import json
import sys
from pathlib import Path
from xml.sax.saxutils import escape

import guard
from heaplay_report.words import plural

WIDTH = 1024
ROW_HEIGHT = 14
GAP = 3
MARGIN = 70
COLOURS = {
    "chunk": ("#4878a8", "live chunk"),
    "chunk_cached": ("#a8c8e8", "cached chunk"),
    "chunk_free": ("#f0f0f0", "free chunk"),
    "pool": ("#606060", "pool (header, rest)"),
    "cell": ("#c06030", "live cell"),
    "cell_cached": ("#f0c090", "cached cell"),
    "cell_free": ("#fff4e8", "free cell"),
    "top": ("#ffffff", "top"),
}


def extent(dump):
    """First and last byte that is drawn, as offsets from base."""
    drawn = [(offset, offset + size) for kind, offset, size in dump["blocks"] if kind in COLOURS]
    return (0, max((end for _, end in drawn), default=0))


def choose_row_bytes(length, max_rows):
    row_bytes = 4096
    while row_bytes * max_rows < length:
        row_bytes *= 2
    return row_bytes


def pieces(offset, size, row_bytes):
    """A block cut at the ends of rows: (row, offset in the row, size)."""
    while size > 0:
        row, column = divmod(offset, row_bytes)
        part = min(size, row_bytes - column)
        yield row, column, part
        offset += part
        size -= part


def rectangles(dump, row_bytes):
    """SVG of the blocks, and how many were too thin to draw."""
    scale = WIDTH / row_bytes
    lines, thin = [], 0
    for kind, offset, size in dump["blocks"]:
        if kind not in COLOURS:
            continue
        if size * scale < 0.01:
            thin += 1
            continue
        for row, column, part in pieces(offset, size, row_bytes):
            top = row * (ROW_HEIGHT + GAP)
            lines.append(f'<rect class="{kind}" x="{column * scale:.2f}" y="{top}" width="{part * scale:.2f}" '
                         f'height="{ROW_HEIGHT}"><title>{kind} {size} B at {offset}</title></rect>')
    return lines, thin


def labels(rows, row_bytes):
    return [f'<text x="-6" y="{row * (ROW_HEIGHT + GAP) + ROW_HEIGHT - 3}" text-anchor="end">{row * row_bytes:#x}</text>'
            for row in range(rows)]


def legend(y):
    lines, x = [], 0
    for kind, (_, name) in COLOURS.items():
        lines.append(f'<rect class="{kind}" x="{x}" y="{y}" width="12" height="12"/>'
                     f'<text x="{x + 16}" y="{y + 10}">{name}</text>')
        x += 28 + 7 * len(name)
    return lines


def caption(dump, row_bytes, thin):
    stats = dump["stats"]
    kib = {name: stats[f"{name}_bytes"] / 1024 for name in ("heap", "live", "cached", "free", "mapped")}
    text = ", ".join(f"{name} {value:.1f} KiB" for name, value in kib.items())
    mapped = sum(1 for kind, _, _ in dump["blocks"] if kind.startswith("mapped"))
    notes = [f"a row is {row_bytes} B"]
    notes += [f"{plural(mapped, 'mapped block')} elsewhere"] if mapped else []
    notes += [f"{plural(thin, 'block')} too thin to draw"] if thin else []
    return f"{text} ({'; '.join(notes)})"


def draw(dump, title, row_bytes=None, max_rows=48):
    _, end = extent(dump)
    row_bytes = row_bytes or choose_row_bytes(end, max_rows)
    rows = max(1, -(-end // row_bytes))
    body, thin = rectangles(dump, row_bytes)
    height = rows * (ROW_HEIGHT + GAP)
    styles = "".join(f".{kind}{{fill:{fill}}}" for kind, (fill, _) in COLOURS.items())
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH + MARGIN + 20}" height="{height + 90}" '
            f'font-family="sans-serif" font-size="11">\n<style>rect{{stroke:#333;stroke-width:.3}}{styles}</style>\n'
            f'<rect width="100%" height="100%" fill="#fff" stroke="none"/>\n'
            f'<g transform="translate({MARGIN},30)">\n<text x="0" y="-12" font-size="14">{escape(title)}</text>')
    tail = f'<text x="0" y="{height + 42}">{escape(caption(dump, row_bytes, thin))}</text>\n</g>\n</svg>\n'
    return "\n".join([head, *body, *labels(rows, row_bytes), *legend(height + 10), tail])


def load(path):
    """The dump; exits with 3 and the reason when it is none."""
    try:
        dump = json.loads(path.read_text())
        if dump["version"] != 1:
            raise ValueError(f"version {dump['version']}, this script reads 1")
        for number, (kind, offset, size) in enumerate(dump["blocks"]):
            if not isinstance(kind, str) or offset < 0 or size < 0:
                raise ValueError(f"block {number} is not [kind, offset, size]")
        return dump
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"draw_heap: {path}: {error}; cell_dump_json(fd) writes such files", file=sys.stderr)
        sys.exit(3)


@guard.one_line("draw_heap")
def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dump", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the SVG to write")
    parser.add_argument("--title", default="The heap, to scale")
    parser.add_argument("--row-bytes", type=int, help="bytes in a row")
    parser.add_argument("--max-rows", type=int, default=48)
    options = parser.parse_args(argv)
    picture = draw(load(options.dump), options.title, options.row_bytes, options.max_rows)
    with guard.naming(options.output):
        options.output.write_text(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
