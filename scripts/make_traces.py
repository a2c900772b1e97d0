#!/usr/bin/env python3
"""Record the bundled traces again: make each input, run the program under `heaplay record`, describe what came out."""

import argparse
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from heaplay_bench import document, run
from workloads import catalog

LONG = 8.0                          # factor on the inputs with LONG=1
FILE_LIMIT = 4_000_000              # bytes of one bundled trace
TOTAL_LIMIT = 28_000_000            # bytes of all of them
TRACES = document.ROOT / "traces"

HEADER = """# The bundled traces

Recorded by `make traces` (scripts/make_traces.py) from real programs on generated inputs; the inputs come from fixed
seeds (scripts/workloads/inputs.py), so anyone can record them again. `make traces LONG=1` records longer ones into
`build/traces-long/`, which are not bundled: of nginx and postgres 74 million operations (21 and 13 MB), of redis-steady 24,
of python-service 21. `NAMES="nginx jq"` records only those. FORMAT.md describes the files. A trace holds sizes, object
ids, thread numbers and times: neither addresses nor contents. Suites of traces by name are in suites.json.

The table is written by scripts/make_traces.py from the recordings; do not edit it. Lifetimes count operations; the median
is given as the upper end of its class, a power of two. Steady state, with a live set that turns over: nginx, node-service,
postgres, python-service, redis-steady (the suite `steady`).
"""


class TraceError(Exception):
    """A trace that could not be recorded or described."""


def heaplay(out):
    path = Path(out).resolve() / "heaplay"
    if not path.is_file():
        raise TraceError(f"no file '{path}'; run make build")
    return str(path)


def busiest(out, traces):
    """The trace with the most operations."""
    return max(traces, key=lambda path: inspect(out, path)["operations"])


def record(workload, out, target, scale):
    """Run the workload under the recorder: the program itself, or it and its children, of which the busiest is kept."""
    scale *= workload.size
    work = catalog.prepare(workload, Path(out) / "workloads", scale)
    port = run.free_port() if workload.load else 0
    catalog.run_commands(workload, workload.before, work, port, scale)
    tree = work / "tree.hpt"
    for old in work.glob("tree*.hpt"):
        old.unlink()
    words = catalog.user_prefix(workload) + [heaplay(out), "record"] + (
        ["-o", str(tree)] if workload.child else ["--no-children", "-o", str(target)])
    words += ["--"] + catalog.program(workload, work, port, scale)
    environment = {**catalog.environment(workload, work)}
    stdin = workload.stdin and str(work / workload.stdin)       # an absolute path stays itself
    with open(stdin or os.devnull, "rb") as given, open(work / ".record", "wb") as said:
        process = subprocess.Popen(words, cwd=work, env=environment, stdin=given, stdout=subprocess.DEVNULL,
                                   stderr=said)
        try:
            if workload.load:
                run.drive(workload, work, port, process, scale)
            status = process.wait(1200)
        except (subprocess.TimeoutExpired, run.RunError) as error:
            raise TraceError(f"{workload.name}: {error}") from error
        finally:
            run.end(process)
    text = (work / ".record").read_text(errors="replace").strip()
    if workload.child and not status:
        shutil.move(busiest(out, work.glob("tree*.hpt")), target)
    if status or not target.exists():
        raise TraceError(f"{workload.name}: '{' '.join(words)}' ended with {status}: {text[-300:]}")
    return work


def inspect(out, target):
    """heaplay check, then its card."""
    for words in (["check", str(target)], ["info", str(target), "--json"]):
        done = subprocess.run([heaplay(out)] + words, capture_output=True, text=True, check=False)
        if done.returncode:
            raise TraceError(f"heaplay {' '.join(words)} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout)


def installed(packages):
    """'package version' of each that is installed."""
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\\n", *packages], capture_output=True,
                          text=True, check=False)
    return [line for line in done.stdout.splitlines() if len(line.split()) == 2]


def median_to(classes):
    """The upper end of the class that holds the median."""
    total, so_far = sum(c["count"] for c in classes), 0
    for c in classes:
        so_far += c["count"]
        if 2 * so_far >= total:
            return c["to"]
    return 0


def figures(target, info):
    """The main figures of a trace's card."""
    size = target.stat().st_size
    return {"sha256": hashlib.sha256(target.read_bytes()).hexdigest(), "bytes": size,
            "operations": info["operations"], "threads": info["threads"], "peak_live_bytes": info["peak_live_bytes"],
            "cross_thread_share": info["cross_thread_share"], "allocations": info["allocations"],
            "moved": info["reallocs"]["moved"], "median_bytes_to": median_to(info["sizes"]),
            "median_lifetime_to": median_to(info["lifetimes"]), "never_freed": info["never_freed"],
            "bytes_per_operation": round(size / info["operations"], 3), "lost_events": info["lost_events"]}


def described(argv, work):
    """A command line with its placeholders filled, but for the port, which is another one each time."""
    return shlex.join(catalog.fill(word.replace("{port}", "PORT"), work) for word in argv)


def entry(workload, work, target, info):
    """What is kept of one trace, in provenance.json and README.md."""
    variables = {k: v for k, v in workload.environment.items() if "{" not in v and not k.startswith("GIT_")}
    return {"what": workload.what, "command": described(workload.argv, work), "variables": variables,
            "packages": installed(workload.packages), "licence": workload.licence,
            "load": [described(command, work) for command in workload.load], **figures(target, info)}


def table(entries):
    lines = ["| trace | program | operations | threads | freed by another thread | half of the blocks: bytes, up to | "
             "half: lifetime, up to | moved by realloc | never freed | peak live | on disk | bytes/op |",
             "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for name, e in sorted(entries.items()):
        made = max(1, e["allocations"])
        lines.append(f"| {name} | {e['what']} | {e['operations']:,} | {e['threads']} | "
                     f"{100 * e['cross_thread_share']:.1f} % | {e['median_bytes_to']:,} | "
                     f"{e['median_lifetime_to']:,} | {100 * e['moved'] / made:.1f} % | "
                     f"{100 * e['never_freed'] / made:.1f} % | {e['peak_live_bytes'] / 2**20:.2f} MiB | "
                     f"{e['bytes'] / 1e6:.2f} MB | {e['bytes_per_operation']:.2f} |")
    total = sum(e["bytes"] for e in entries.values())
    operations = sum(e["operations"] for e in entries.values())
    lines.append(f"| **{len(entries)} traces** | | {operations:,} | | | | | | | | {total / 1e6:.2f} MB | "
                 f"{total / max(1, operations):.2f} |")
    return "\n".join(lines)


def provenance(entries):
    lines = []
    for name, e in sorted(entries.items()):
        variables = "".join(f"{k}={v} " for k, v in e["variables"].items())
        lines += [f"### {name}", "", f"    {variables}{e['command']}"]
        lines += [f"    under load: {command}" for command in e.get("load", [])] + [""]
        lines += [f"{', '.join(e['packages']) or 'not from a package'}; {e['licence']}.  ",
                  f"sha256 {e['sha256']}", ""]
    return "\n".join(lines)


def read_entries(path):
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write_readme(directory, entries):
    text = HEADER + "\n" + table(entries) + "\n\n## Provenance\n\n" + provenance(entries)
    (directory / "README.md").write_text(text.rstrip() + "\n", encoding="utf-8")
    (directory / "provenance.json").write_text(json.dumps(entries, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def limits_broken(entries):
    """Sentences about bundled traces that are too large, lost events, or are out of the range of lengths."""
    said = [f"{name}.hpt has {e['bytes']} bytes, more than {FILE_LIMIT}" for name, e in sorted(entries.items())
            if e["bytes"] > FILE_LIMIT]
    said += [f"{name}.hpt lost {e['lost_events']} events" for name, e in sorted(entries.items()) if e["lost_events"]]
    total = sum(e["bytes"] for e in entries.values())
    if total > TOTAL_LIMIT:
        said.append(f"the traces have {total} bytes, more than {TOTAL_LIMIT}")
    return said


def arguments(words):
    parser = argparse.ArgumentParser(description=__doc__, epilog="Traces: " + ", ".join(
        workload.name for workload in catalog.WORKLOADS if workload.trace))
    parser.add_argument("--names", default="", help="traces to record, blank-separated (default: all)")
    parser.add_argument("--long", action="store_true", default=bool(os.environ.get("LONG")),
                        help="longer ones, into build/traces-long (also by LONG=1)")
    parser.add_argument("--describe", action="store_true",
                        help="record nothing: take the figures of the traces that are there again")
    parser.add_argument("--out", default=os.environ.get("OUT", "build/release"), help="build directory")
    parser.add_argument("--to", help="directory for the traces (default: traces/)")
    given = parser.parse_args(words)
    unknown = [name for name in given.names.split() if name not in catalog.BY_NAME]
    if unknown:
        parser.error(f"unknown trace '{unknown[0]}'; --help lists them")
    return given


def make_one(workload, given, directory):
    """Record into a partial file, inspect it, and only then take the bundled one's place."""
    partial = directory / f".{workload.name}.partial.hpt"
    try:
        work = record(workload, given.out, partial, LONG if given.long else 1.0)
        made = entry(workload, work, partial, inspect(given.out, partial))
        partial.rename(directory / f"{workload.name}.hpt")
        return made
    finally:
        partial.unlink(missing_ok=True)


def main(words=None):
    given = arguments(words)
    directory = Path(given.to) if given.to else (document.ROOT / "build" / "traces-long" if given.long else TRACES)
    directory.mkdir(parents=True, exist_ok=True)
    entries, failed = read_entries(directory / "provenance.json"), False
    wanted = [w for w in catalog.WORKLOADS if (w.name in given.names.split() if given.names else w.trace)]
    if given.describe:
        wanted = []
        for name in entries:
            target = directory / f"{name}.hpt"
            entries[name].update(figures(target, inspect(given.out, target)))
    for workload in wanted:
        try:
            entries[workload.name] = made = make_one(workload, given, directory)
        except (TraceError, catalog.Unavailable, run.RunError) as error:
            failed = True
            print(f"make_traces: {re.sub(chr(10), ' ', str(error))}", file=sys.stderr)
            continue
        print(f"{workload.name:16s}{made['operations']:10d} operations {made['threads']:3d} threads "
              f"{made['bytes'] / 1e6:6.2f} MB {made['bytes_per_operation']:5.2f} bytes/op "
              f"peak {made['peak_live_bytes'] / 2**20:7.2f} MiB", flush=True)
    write_readme(directory, {name: e for name, e in entries.items() if (directory / f"{name}.hpt").exists()})
    broken = [] if given.long else limits_broken(entries)
    for sentence in broken:
        print(f"make_traces: {sentence}", file=sys.stderr)
    return 1 if failed or broken else 0


if __name__ == "__main__":
    sys.exit(main())
