"""Results documents of kind "programs" and "micro": figures, the file."""

import contextlib
import datetime
import io
import json
import shlex
import sys
from pathlib import Path

from heaplay_report import schema, stats

from .machine import ROOT, environment


def figure(samples):
    median, low, high = stats.median_interval(samples)
    return {"median": median, "low": low, "high": high, "samples": list(samples)}


def document(kind, allocators, traces, rows, **more):
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"schema_version": 1, "kind": kind, "created": now, "command": shlex.join(sys.argv),
            "environment": environment(), "allocators": allocators, "traces": traces, "rows": rows, **more}


def write(made, directory):
    """Check against the schema and write results.json below a directory of its own; returns its path."""
    directory = Path(directory)
    schema.check(made, str(directory))
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "results.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    partial.rename(path)
    return path


def show(path, print_all):
    """What print_all() prints, on the terminal and in report.txt beside the results."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        print_all()
    (Path(path).parent / "report.txt").write_text(text.getvalue(), encoding="utf-8")
    print(f"{text.getvalue()}\n{path}")


def results_directory(kind):
    now = datetime.datetime.now().strftime("%Y-%m-%d-%H%M%S")
    return ROOT / "results" / f"{now}-{kind}"
