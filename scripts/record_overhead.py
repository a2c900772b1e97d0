#!/usr/bin/env python3
"""What recording costs the recorded program: no recorder, heaplay, heaptrack and ltrace, interleaved in one run.

Each round runs every tool once on each workload, in random order; a figure is the geometric mean over the rounds of the ratio
to the run without a recorder in the same round, with its 95 % interval. "wall" and "cpu" are the program's own times for its
work, without the start and the end of the tool; "whole" is the time until the tool has ended and its file is whole. ltrace
stops the program at every call and gets a 500th of the work, compared with a run of as little. A tool under which a workload
fails is left out of it from then on, and its row says why.
"""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from heaplay_report import stats

PYTHON = "/usr/bin/python3"
JSON_PROGRAM = """import json, sys, time
n = int(sys.argv[1])
begin, cpu = time.perf_counter(), time.process_time()
d = [{"id": i, "name": "n%d" % i, "tags": ["a%d" % (i % 7), "b"], "v": i * 1.5, "o": {"x": i, "y": [i, i + 1]}} for i in range(n)]
json.loads(json.dumps(d))
print((time.perf_counter() - begin) * 1e9 / n, (time.process_time() - cpu) * 1e9 / n)"""
SMALL = 500                             # ltrace's share of the work is 1 / SMALL
TOOLS = ("heaplay", "heaptrack", "ltrace")
CALLS = "malloc+calloc+realloc+free"
TIMEOUT_S = 300


class Failed(Exception):
    """A run that gave no figure."""


def workloads(out, threads, pairs):
    """Name -> function from the share of the work to a command line."""
    bench = str(Path(out) / "replay/bench/record_overhead")
    made = {}
    for count in threads:
        for work, words in ((0, "nothing else"), (100, "100 rounds of work")):
            made[f"loop, {words}, {count} thread{'s' * (count > 1)}"] = (
                lambda share, work=work, count=count: [bench, str(pairs // share), str(work), str(count)])
    if os.access(PYTHON, os.X_OK):
        made["python3, json"] = lambda share: [PYTHON, "-c", JSON_PROGRAM, str(20000 // share)]
    return made


def command(tool, out, work, argv):
    return {"none": argv,
            "heaplay": [str(Path(out) / "heaplay"), "record", "-o", f"{work}/t.hpt", "--", *argv],
            "heaptrack": ["heaptrack", "-o", f"{work}/t", *argv],
            "ltrace": ["ltrace", "-f", "-e", CALLS, "-o", f"{work}/t.txt", *argv]}[tool]


def run(tool, out, work, argv):
    """(the program's wall and CPU time in ns for a unit of work, ns of everything, what the tool said)."""
    environment = {**os.environ, "PYTHONMALLOC": "malloc"}
    begin = time.monotonic()
    try:
        done = subprocess.run(command(tool, out, work, argv), capture_output=True, text=True, env=environment,
                              timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{tool}: no end within {TIMEOUT_S} s: {' '.join(argv)[:80]}") from error
    elapsed = (time.monotonic() - begin) * 1e9
    figures = [line.split() for line in done.stdout.splitlines() if re.fullmatch(r"[0-9.]+ [0-9.]+", line)]
    if done.returncode or not figures:
        said = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise Failed(f"{tool}: exit status {done.returncode}: {said}")
    return float(figures[-1][0]), float(figures[-1][1]), elapsed, done.stderr


def one_round(number, tools, out, makers, samples, failures):
    for name, maker in makers.items():
        for share in sorted({SMALL if tool == "ltrace" else 1 for tool in tools}):
            order = ["none"] + [tool for tool in tools
                                if (tool == "ltrace") == (share == SMALL) and (name, tool) not in failures]
            random.shuffle(order)
            for tool in order:
                try:
                    with tempfile.TemporaryDirectory() as work:
                        wall, cpu, every, said = run(tool, out, work, maker(share))
                except Failed as error:
                    if tool in ("none", "heaplay"):
                        raise
                    failures[(name, tool)] = str(error)
                    continue
                key = (name, "none, small" if tool == "none" and share == SMALL else tool)
                samples.setdefault(key, []).append((number, wall, cpu, every, said))


def estimate(samples, name, tool, column):
    plain = "none, small" if tool == "ltrace" else "none"
    return stats.ratio(*({sample[0]: sample[column] for sample in samples[(name, which)]} for which in (tool, plain)))


def lost(said):
    found = re.findall(r"(\d+) lost", said)
    return sum(map(int, found)) if found else None


def summary(samples, failures, names, tools):
    rows = []
    for name in names:
        plain = stats.median_interval([sample[1] for sample in samples[(name, "none")]])[0]
        for tool in tools:
            rows.append({"workload": name, "tool": tool, "plain_ns": plain})
            if (name, tool) in failures:
                rows[-1]["failed"] = failures[(name, tool)]
                continue
            rows[-1]["lost"] = lost("".join(said for *_, said in samples[(name, tool)]))
            for column, key in ((1, "wall"), (2, "cpu"), (3, "whole")):
                found = estimate(samples, name, tool, column)
                rows[-1][key] = {"ratio": found.ratio, "low": found.low, "high": found.high}
    return rows


def show(rows):
    print(f"{'workload':40} {'plain ns':>8}  {'tool':10} {'wall':>22} {'cpu':>22} {'whole':>22} {'lost':>4}")
    for row in rows:
        begin = f"{row['workload']:40} {row['plain_ns']:8.1f}  {row['tool']:10}"
        if "failed" in row:
            print(f"{begin} failed: {row['failed'][:60]}")
            continue
        shown = [f"{e['ratio']:.2f}x ({e['low']:.2f}-{e['high']:.2f})" for e in (row["wall"], row["cpu"], row["whole"])]
        print(begin, *(f"{text:>22}" for text in shown), f"{'-' if row['lost'] is None else row['lost']:>4}")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=os.environ.get("OUT", "build/release"), help="where make build left its results")
    parser.add_argument("--rounds", type=int, default=9, help="at least 2 (default 9)")
    parser.add_argument("--pairs", type=int, default=2000000, help="calls of malloc in a loop (default 2000000)")
    parser.add_argument("--threads", default="1,2,4,8,16", help="of the loops (default 1,2,4,8,16)")
    parser.add_argument("--tools", default=",".join(TOOLS), help=f"some of {','.join(TOOLS)}")
    parser.add_argument("--json", help="write the figures here too")
    given = parser.parse_args()
    try:
        given.threads = [int(word) for word in given.threads.split(",")]
    except ValueError:
        parser.error(f"--threads {given.threads}: not numbers with commas between")
    given.tools = given.tools.split(",")
    unknown = set(given.tools) - set(TOOLS)
    if unknown or given.rounds < 2 or given.pairs < SMALL * max(given.threads) or min(given.threads) < 1:
        parser.error(f"no tool '{unknown.pop()}'" if unknown else "at least 2 rounds, 1 thread, and a pair for each thread")
    return given


def main():
    given = arguments()
    missing = [tool for tool in given.tools if tool != "heaplay" and not shutil.which(tool)]
    for tool in missing:
        print(f"record_overhead: {tool} is not installed and left out (apt-get install {tool})", file=sys.stderr)
    tools = [tool for tool in given.tools if tool not in missing]
    makers, samples, failures = workloads(given.out, given.threads, given.pairs), {}, {}
    try:
        for number in range(given.rounds):
            one_round(number, tools, given.out, makers, samples, failures)
            print(f"record_overhead: round {number + 1} of {given.rounds}", file=sys.stderr)
    except (Failed, OSError) as error:
        print(f"record_overhead: {error}", file=sys.stderr)
        return 1
    rows = summary(samples, failures, makers, tools)
    show(rows)
    if given.json:
        Path(given.json).write_text(json.dumps({"rounds": given.rounds, "pairs": given.pairs, "rows": rows}, indent=1) + "\n",
                                    encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
