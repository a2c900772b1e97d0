#!/usr/bin/env python3
"""Runs every test and closes with the line `N passed, N failed`.

Stages: for each build variant the programs and scripts that `make test-list` leaves in OUT/tests.list (they print TAP
and get OUT, the build directory, and SRC, the repository); then pytest, flake8 and the layer check. A program that
crashes, takes too long, prints no plan, runs another number of tests than planned, or runs none, has failed, as has
a variant that does not build. Output is shown for what failed only.
"""
import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

SRC = Path(__file__).resolve().parent.parent
SANITIZERS = {
    "asan": {"ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99"},
    "ubsan": {"UBSAN_OPTIONS": "print_stacktrace=1:exitcode=99"},
    "tsan": {"TSAN_OPTIONS": "exitcode=99:halt_on_error=0"},
}


class Outcome(NamedTuple):
    name: str
    passed: int
    failed: int
    skipped: int
    problems: list
    output: str
    seconds: float


def read_tap(text):
    """Counts of passed, failed and skipped tests in TAP, and what is wrong with the TAP itself."""
    passed = failed = skipped = 0
    plans = []
    problems = []
    for line in text.splitlines():
        plan = re.match(r"1\.\.(\d+)\s*(#\s*skip.*)?$", line, re.IGNORECASE)
        result = re.match(r"(not )?ok\b[^#]*(#\s*(skip|todo)\b.*)?", line, re.IGNORECASE)
        if plan:
            plans.append(int(plan.group(1)))
            if plan.group(2) and plans[-1] == 0:
                skipped += 1
        elif result:
            if result.group(3) and result.group(3).lower() == "skip":
                skipped += 1
            elif result.group(1):
                failed += 1
                problems.append(line.strip())
            else:
                passed += 1
        elif line.startswith("Bail out!"):
            problems.append(line.strip())
    ran = passed + failed + skipped
    if not plans:
        problems.append("no plan (1..N) was printed")
    elif ran == 0:
        problems.append("no test ran")
    elif sum(plans) not in (ran, 0):
        problems.append(f"planned {sum(plans)} tests, ran {ran}")
    return passed, failed, skipped, problems


def run_program(path, name, out, timeout, extra_env=None):
    """Runs one TAP program; everything it started is ended with it."""
    env = dict(os.environ, OUT=str(out), SRC=str(SRC), CMOCKA_MESSAGE_OUTPUT="TAP", **(extra_env or {}))
    command = ["bash", str(path)] if str(path).endswith(".sh") else [str(Path(path).resolve())]
    started = time.monotonic()
    with tempfile.TemporaryFile() as sink:
        child = subprocess.Popen(command, cwd=SRC, env=env, stdin=subprocess.DEVNULL, stdout=sink,
                                 stderr=subprocess.STDOUT, start_new_session=True)
        late = False
        try:
            child.wait(timeout=timeout)
        except subprocess.TimeoutExpired:
            late = True
        finally:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            status = child.wait()
        sink.seek(0)
        output = sink.read().decode("utf-8", "replace")
    passed, failed, skipped, problems = read_tap(output)
    if late:
        problems.append(f"did not end within {timeout} s")
    elif status < 0:
        problems.append(f"ended by signal {-status} ({signal.Signals(-status).name})")
    elif status != 0 and failed == 0:
        problems.append(f"exit status {status}")
    if problems and failed == 0:
        failed = 1
    return Outcome(name, passed, failed, skipped, problems, output, time.monotonic() - started)


def run_command(name, command):
    """A command that passes as a whole when it exits 0."""
    started = time.monotonic()
    done = subprocess.run(command, cwd=SRC, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace", check=False)
    good = done.returncode == 0
    return Outcome(name, int(good), int(not good), 0, [] if good else [f"exit status {done.returncode}"],
                   done.stdout, time.monotonic() - started)


def run_pytest(paths, out):
    """pytest with each of its tests counted."""
    started = time.monotonic()
    env = dict(os.environ, OUT=str(out), SRC=str(SRC))
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "junit.xml"
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                               f"--junitxml={report}", *map(str, paths)], cwd=SRC, env=env,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        passed = failed = skipped = 0
        problems = []
        if report.exists():
            for case in xml.etree.ElementTree.parse(report).iter("testcase"):
                if case.find("failure") is not None or case.find("error") is not None:
                    failed += 1
                    problems.append(f"{case.get('classname')}.{case.get('name')}")
                elif case.find("skipped") is not None:
                    skipped += 1
                else:
                    passed += 1
    if passed + failed == 0:
        problems.append(f"pytest ran no test (exit status {done.returncode})")
    elif done.returncode != 0 and failed == 0:
        problems.append(f"pytest ended with {done.returncode}")
    if problems and failed == 0:
        failed = 1
    return Outcome("pytest", passed, failed, skipped, problems, done.stdout, time.monotonic() - started)


def build_variant(variant, out, jobs):
    """Builds one variant's tests; returns the outcome of the build and the tests' paths."""
    env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    started = time.monotonic()
    done = subprocess.run([os.environ.get("MAKE", "make"), "--silent", "--no-print-directory", f"-j{jobs}",
                           f"BUILD={variant}", f"OUT={out}", "test-list"], cwd=SRC, env=env, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    seconds = time.monotonic() - started
    if done.returncode != 0:
        return Outcome(f"{variant}: build", 0, 1, 0, ["does not build"], done.stdout, seconds), []
    names = (SRC / out / "tests.list").read_text().split()
    return Outcome(f"{variant}: build", 1, 0, 0, [], done.stdout, seconds), names


class Tally:
    """Prints outcomes as they come and adds them up."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0
        self.failures = []

    def add(self, outcome):
        self.passed += outcome.passed
        self.failed += outcome.failed
        self.skipped += outcome.skipped
        note = f", {outcome.skipped} skipped" if outcome.skipped else ""
        word = "FAIL" if outcome.failed else "pass"
        print(f"{word}  {outcome.name}: {outcome.passed} passed, {outcome.failed} failed{note}"
              f" ({outcome.seconds:.1f} s)", flush=True)
        if outcome.failed:
            self.failures.append(outcome)
            lines = outcome.output.splitlines()
            shown = lines[-120:]
            if len(lines) > len(shown):
                print(f"    ... {len(lines) - len(shown)} lines before")
            for line in shown:
                print("    " + line)
            for problem in outcome.problems:
                print("    => " + problem, flush=True)


def run_variant(tally, variant, out, options):
    """How many tests it ran; --only may leave none in one variant, not in all."""
    built, names = build_variant(variant, out, options.jobs)
    tally.add(built)
    if options.only:
        names = [name for name in names if options.only in name]
    env = SANITIZERS.get(variant, {})

    def job(name):
        shown = name[len(str(out)) + 1:] if name.startswith(f"{out}/") else name
        return run_program(SRC / name, f"{variant}: {shown}", SRC / out, options.timeout, env)

    with ThreadPoolExecutor(options.jobs) as pool:
        for outcome in pool.map(job, names):
            tally.add(outcome)
    return len(names)


def parse_arguments(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variants", default="release", help="build variants, separated by spaces")
    parser.add_argument("--out", help="build directory of the first variant; others add -VARIANT (build/VARIANT)")
    parser.add_argument("--only", default="", help="only tests whose path holds this text; no pytest and no lint")
    parser.add_argument("--timeout", type=float, default=300, help="seconds for one program (300)")
    parser.add_argument("--jobs", type=int, default=2, help="programs at the same time (2)")
    parser.add_argument("files", nargs="*", help="run these programs instead, built already")
    return parser.parse_args(argv)


def main(argv=None):
    options = parse_arguments(argv)
    tally = Tally()
    outs = {variant: Path(f"build/{variant}") for variant in options.variants.split()}
    if options.out:
        outs = {variant: Path(options.out if position == 0 else f"{options.out}-{variant}")
                for position, variant in enumerate(outs)}
    if options.files:
        out = next(iter(outs.values()))
        for name in options.files:
            tally.add(run_program(Path(name), name, SRC / out, options.timeout))
    else:
        ran = sum([run_variant(tally, variant, out, options) for variant, out in outs.items()])
        if options.only and ran == 0:
            print(f"run_tests.py: no test's path holds '{options.only}'", file=sys.stderr)
            return 2
        if not options.only:
            first = SRC / next(iter(outs.values()))
            tally.add(run_pytest([SRC / "scripts" / "tests"], first))
            tally.add(run_command("flake8", [sys.executable, "-m", "flake8", "scripts"]))
            tally.add(run_command("layers", [sys.executable, "scripts/check_layers.py"]))
    if tally.failures:
        print("failed: " + "; ".join(outcome.name for outcome in tally.failures))
    if tally.skipped:
        print(f"skipped: {tally.skipped}")
    if tally.passed + tally.failed == 0:
        print("no test ran")
        tally.failed = 1
    print(f"{tally.passed} passed, {tally.failed} failed", flush=True)
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
