#!/usr/bin/env python3
"""Draws a run's report again from its results.json: results.csv, plots, report.md and report.html."""
import argparse
import sys
from pathlib import Path

import guard
from heaplay_report import load, schema, text

RESULTS = Path(__file__).resolve().parent.parent / "results"
EXIT_USAGE = 2


@guard.one_line("heaplay report")
def main(argv=None):
    parser = argparse.ArgumentParser(prog="heaplay report", description=__doc__)
    parser.add_argument("run", nargs="?", help="directory of a run, or a results.json (the newest below results/)")
    parser.add_argument("-o", "--output", type=Path, help="directory to write to (the run's own)")
    options = parser.parse_args(argv)
    try:
        source = Path(options.run) if options.run else load.newest(RESULTS)
        run = load.load(source)
    except schema.ResultsError as error:
        print(f"heaplay report: {error}", file=sys.stderr)
        return schema.EXIT_BAD_INPUT
    directory = options.output or (source if source.is_dir() else source.parent)
    try:
        guard.require_directory(directory)
        text.write_report(run, directory)
    except OSError as error:
        print(f"heaplay report: {error.filename or directory}: the report cannot be written ({guard.reason(error)}); "
              "-o DIR writes it elsewhere", file=sys.stderr)
        return EXIT_USAGE
    print(f"{directory / 'report.md'}\n{directory / 'report.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
