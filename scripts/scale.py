#!/usr/bin/env python3
"""What traces of 1, 10 and 100 million operations cost heaplay, in time and memory for each million: does it stay linear?

Each trace is generated, looked at (info), checked, compiled and replayed once under each allocator, with no more memory for
its plan than --plan-memory. Times are processor times of single runs, so that waiting for a busy machine is not in them; that
of compiling and the replays' nanoseconds are wall times.
"""

import argparse
import datetime
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from heaplay_bench import document, run

MILLION = 1_000_000
COLUMNS = [                     # key, heading, width, format
    ("operations", "operations", 11, "{:,}"),
    ("trace_bytes_per_op", "trace B/op", 10, "{:.2f}"),
    ("generate_s_per_million", "generate", 9, "{:.3f}"),
    ("info_s_per_million", "info", 7, "{:.3f}"),
    ("check_s_per_million", "check", 7, "{:.3f}"),
    ("compile_s_per_million", "compile", 8, "{:.3f}"),
    ("replay_s_per_million", "replay", 7, "{:.3f}"),
    ("plan_bytes_per_op", "plan B/op", 9, "{:.2f}"),
    ("tools_peak_mib", "tools MiB", 9, "{:.0f}"),
    ("replay_peak_mib", "replay MiB", 10, "{:.0f}"),
    ("plan_in_memory_mib", "plan MiB", 8, "{:.0f}"),
]


def timed(words, work):
    """Runs a command through the launcher: (processor seconds, peak resident MiB of it or of its largest child)."""
    log, said_by = work / "launcher.log", work / "stderr"
    launcher = run.launcher(Path(words[0]).parent)
    done = subprocess.run([launcher, "-l", str(log), "-o", os.devnull, "-e", str(said_by), "--", *words], cwd=work, check=False)
    if done.returncode:
        lines = said_by.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no message"]
        raise run.RunError(f"`{shlex.join(words)}` ended with {done.returncode}: {lines[0]}")
    line = run.read_log(log)[-1]
    return (line["user_us"] + line["system_us"]) / 1e6, line["peak_rss_kib"] / 1024


def row_of(kind, operations, threads, trace_bytes, costs, made):
    """One line of the table. costs: {step: (seconds, MiB)} of generate, info, check and replay; made: replay's document."""
    millions = operations / MILLION
    (trace,) = made["traces"].values()
    plan = trace["plan"]
    row = {"kind": kind, "operations": operations, "threads": threads, "trace_bytes_per_op": trace_bytes / operations,
           "plan_bytes_per_op": plan["bytes"] / operations, "sections": plan["sections"], "streamed": plan["streamed"],
           # The plan that is timed and the one for book-keeping stand beside each other.
           "plan_in_memory_mib": 0 if plan["streamed"] else 2 * plan["bytes"] / 2**20,
           "tools_peak_mib": max(costs[step][1] for step in ("generate", "info", "check")),
           "replay_peak_mib": costs["replay"][1],
           "compile_s_per_million": plan["compile_s"] / millions,
           "ns_per_op": {r["allocator"]: r["ns_per_op"]["median"] for r in made["rows"] if r["status"] == "ok"}}
    row.update({f"{step}_s_per_million": seconds / millions for step, (seconds, _) in costs.items()})
    return row


def measure(given, kind, operations, work):
    """Generates, looks at, checks and replays one trace, which is removed again."""
    trace, result = work / f"{kind}.hpt", work / "replay.json"
    heaplay = str(given.heaplay)
    allocators = [word for name in given.allocs.split() for word in ("--alloc", name)]
    steps = {
        "generate": ["generate", kind, "--ops", str(operations), "--threads", str(given.threads), "-o", str(trace)],
        "info": ["info", str(trace), "--json"],
        "check": ["check", str(trace)],
        "replay": ["replay", str(trace), "--samples", "1", "--seed", "1", "--timeout", "7200", "--json", str(result),
                   "--plan-memory", given.plan_memory, "--plan-dir", str(work), *allocators],
    }
    costs = {}
    for step, words in steps.items():
        said(f"{kind}, {operations:,} operations: {step}")
        costs[step] = timed([heaplay, *words], work)
    row = row_of(kind, operations, given.threads, trace.stat().st_size, costs,
                 json.loads(result.read_text(encoding="utf-8")))
    trace.unlink()
    said(", ".join(f"{step} {row[f'{step}_s_per_million']:.3f}" for step in ("generate", "info", "check", "compile", "replay"))
         + f" s a million; replay's largest process {row['replay_peak_mib']:.0f} MiB")
    return row


def room_needed(operations, threads):
    """Bytes on disk for a trace and its two plans: 3 and 2 x 24 an operation at most, and pages that are not full."""
    return operations * (3 + 2 * 24) + threads * 4096 * (operations // MILLION + 1)


def print_table(rows):
    names = list(dict.fromkeys(name for row in rows for name in row["ns_per_op"]))
    print("Processor seconds for a million operations (compile: wall time); memory in MiB; replay: under all allocators\n")
    print(f"{'kind':8s}" + "".join(f"{heading:>{width + 2}s}" for _, heading, width, _ in COLUMNS)
          + "".join(f"{name + ' ns':>{max(len(name) + 5, 10)}s}" for name in names))
    for row in rows:
        print(f"{row['kind']:8s}" + "".join(f"{form.format(row[key]):>{width + 2}s}" for key, _, width, form in COLUMNS)
              + "".join(f"{row['ns_per_op'].get(name, float('nan')):{max(len(name) + 5, 10)}.1f}" for name in names))
    for kind in dict.fromkeys(row["kind"] for row in rows):
        print_growth([row for row in rows if row["kind"] == kind])


def print_growth(rows):
    """How the costs of one kind grow from its shortest to its longest trace; 1 is linear."""
    first, last = rows[0], rows[-1]
    steps = [key for key, *_ in COLUMNS if key.endswith("_s_per_million")]
    growth = ", ".join(f"{key.split('_')[0]} {last[key] / first[key]:.2f}" for key in steps if first[key] > 0)
    print(f"\n{last['kind']}: {last['operations'] // first['operations']} times the operations cost this many times as much"
          f" each: {growth}")


def arguments(words):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--heaplay", type=Path, default=Path("build/release/heaplay"), help="program to measure")
    parser.add_argument("--kinds", default="larson mix", help="of `heaplay generate` (default: larson mix)")
    parser.add_argument("--millions", default="1 10 100", help="of operations (default: 1 10 100)")
    parser.add_argument("--threads", type=int, default=64, help="default: 64")
    parser.add_argument("--allocs", default="cellmalloc glibc", help="null comes on its own (default: cellmalloc glibc)")
    parser.add_argument("--plan-memory", default="256M", help="as of heaplay replay (default: 256M)")
    parser.add_argument("--work", type=Path, default=Path(os.environ.get("TMPDIR", "/var/tmp")),
                        help="where traces and plans go, on a disk (default: TMPDIR, or /var/tmp)")
    parser.add_argument("--results", type=Path, help="directory to write (default: results/DATE-scale)")
    given = parser.parse_args(words)
    try:
        given.sizes = sorted(int(float(word) * MILLION) for word in given.millions.split())
    except ValueError:
        parser.error(f"--millions '{given.millions}': give numbers")
    if not given.sizes or given.sizes[0] < 1 or not 1 <= given.threads <= 1024:
        parser.error("--millions must be above 0, --threads from 1 to 1024")
    given.heaplay = given.heaplay.resolve()
    return given


def said(text):
    print(f"scale: {text}", file=sys.stderr, flush=True)


def main(words=None):
    given = arguments(words)
    rows = []
    try:
        if not given.heaplay.is_file():
            raise run.RunError(f"no file '{given.heaplay}'; run make build")
        needed, free = room_needed(given.sizes[-1], given.threads), shutil.disk_usage(given.work).free
        if needed > free:
            raise run.RunError(f"{given.work} has {free / 2**30:.1f} GiB free, {needed / 2**30:.1f} are needed: "
                               "name another directory by --work, or fewer --millions")
        with tempfile.TemporaryDirectory(dir=given.work, prefix="heaplay-scale-") as work:
            for kind in given.kinds.split():
                for operations in given.sizes:
                    rows.append(measure(given, kind, operations, Path(work)))
        directory = Path(given.results or document.results_directory("scale"))
        directory.mkdir(parents=True, exist_ok=True)
        made = {"created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
                "command": shlex.join(sys.argv), "environment": document.environment(),
                "plan_memory": given.plan_memory, "rows": rows}
        path = directory / "scale.json"
        path.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    except (run.RunError, OSError) as error:
        said(error)
        return 2
    document.show(path, lambda: print_table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
