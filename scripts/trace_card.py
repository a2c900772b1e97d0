#!/usr/bin/env python3
"""Draws the card of a trace, PNG or SVG, from the JSON that `heaplay info --json` prints."""
import argparse
import json
import sys
from pathlib import Path

import matplotlib

import guard
from heaplay_report.words import plural

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def human(count):
    for unit in UNITS[:-1]:
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} {UNITS[-1]}"


def label(entry):
    """Upper end of a class of sizes or lifetimes, short."""
    v = entry["to"]
    for unit in ("", "K", "M", "G", "T"):
        if v < 1024:
            return f"{v:.0f}{unit}"
        v = (v + 1) / 1024
    return f"{v:.0f}P"


def draw_bars(axes, entries, title):
    """Shares of blocks, and beside them shares of bytes where the classes have them."""
    keys = [key for key in ("count", "bytes") if entries and key in entries[0]]
    width = 0.8 / max(1, len(keys))
    for i, key in enumerate(keys):
        total = sum(e[key] for e in entries) or 1
        axes.bar([x + (i - (len(keys) - 1) / 2) * width for x in range(len(entries))], [100 * e[key] / total for e in entries],
                 width, color=("#4477aa", "#ccbb44")[i], label=("blocks", "bytes")[i])
    axes.set_xticks(range(len(entries)), [label(e) for e in entries], rotation=60, fontsize=7)
    axes.set_ylabel("%" if len(keys) > 1 else "% of blocks")
    axes.set_title(title, fontsize=9)
    if len(keys) > 1:
        axes.legend(fontsize=8, frameon=False)


def draw_curve(axes, card):
    points = card["curve"]
    axes.plot([p["operation"] for p in points], [p["live_bytes"] / 2**20 for p in points], color="#cc6677")
    axes.set_xlabel("operation")
    axes.set_ylabel("live MiB")
    axes.set_ylim(bottom=0)
    axes.set_title(f"live bytes, peak {human(card['peak_live_bytes'])}", fontsize=9)


def draw_bounds(axes, bounds):
    names = [n for n in ("requested", "rounded_16", "header", "cells", "pages") if n in bounds]
    axes.barh(names[::-1], [bounds[n] / 2**20 for n in names[::-1]], color="#999933")
    axes.set_xlabel("MiB")
    axes.set_title("least footprint at the peak", fontsize=9)


def draw(card):
    figure, axes = plt.subplots(2, 2, figsize=(10, 6.5), layout="constrained")
    draw_curve(axes[0][0], card)
    draw_bounds(axes[0][1], card["footprint_at_peak"])
    draw_bars(axes[1][0], card["sizes"], "requested bytes, up to")
    draw_bars(axes[1][1], card["lifetimes"], "lifetime in operations, up to")
    synthetic = " (SYNTHETIC)" if card["origin"].startswith("synthetic") else ""
    figure.suptitle(f"{Path(card['path']).name}: {plural(card['operations'], 'operation')}, {plural(card['threads'], 'thread')}, "
                    f"{100 * card['cross_thread_share']:.1f} % freed by another thread\n{card['origin']}{synthetic}",
                    fontsize=10)
    return figure


@guard.one_line("heaplay info")
def main(argv=None):
    parser = argparse.ArgumentParser(prog="heaplay info --png|--svg", description=__doc__)
    parser.add_argument("output", type=Path, help="FILE.png or FILE.svg")
    parser.add_argument("card", nargs="?", help="JSON of heaplay info --json (standard input)")
    options = parser.parse_args(argv)
    if options.output.suffix not in (".png", ".svg"):
        parser.error(f"{options.output}: the name must end in .png or .svg")
    try:
        text = Path(options.card).read_text() if options.card else sys.stdin.read()
        figure = draw(json.loads(text))
        figure.savefig(options.output, dpi=120)
    except (OSError, ValueError, KeyError) as error:
        print(f"heaplay info: {options.output} was not drawn: {guard.reason(error)}", file=sys.stderr)
        return 3
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
