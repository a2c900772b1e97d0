#!/usr/bin/env python3
"""Replays traces under every allocator within a time budget and reports: results.json, plots, report.md, report.html.

Each trace is one `heaplay replay --json`, which runs all allocators in randomised blocks, and a short one of the bump
allocator; the budget is shared out over the traces by their length. glibc runs twice (glibc and glibc#again): the A/A
control. What ^C interrupts is kept.
"""
import argparse
import datetime
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import rich.console
import rich.progress
import rich.table

import guard
from heaplay_report import load, schema, text, verdict
from heaplay_report.words import plural

SRC = Path(__file__).resolve().parent.parent
DEFAULT_ALLOCATORS = ["cellmalloc", "glibc", "jemalloc", "mimalloc", "tcmalloc"]
FRESH = "bump"          # fresh memory for each call can cost a hundred times an allocator: few samples, apart
FRESH_SAMPLES = 6
FRESH_SHARE = 0.1       # of a trace's time, beyond the first sample
RESERVE_S = 40          # for the report
SAMPLING = 0.6          # of a trace's time; the rest is for books, memory curves and the bump allocator
EXIT_FAILED, EXIT_USAGE, EXIT_BAD_ALLOCATOR, EXIT_INTERRUPTED = 1, 2, 4, 130


class OutOfTime(Exception):
    """A trace was stopped because the time for everything had come to its end."""


class BenchError(Exception):
    """Ends the run with one line and this exit code."""

    def __init__(self, text_, code):
        super().__init__(text_)
        self.code = code


def say(line):
    print(line, file=sys.stderr, flush=True)


def ask(heaplay, *arguments):
    """Standard output of a short heaplay command."""
    done = subprocess.run([str(heaplay), *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else
                         f"heaplay {arguments[0]} ended with {done.returncode}", done.returncode)
    return done.stdout


def ask_json(heaplay, *arguments):
    """The value that a short heaplay command prints as JSON."""
    try:
        return json.loads(ask(heaplay, *arguments))
    except json.JSONDecodeError as error:
        raise BenchError(f"{heaplay}: is not heaplay: `{arguments[0]} --json` printed no JSON", EXIT_USAGE) from error


def suite_traces(name, directory):
    """Paths of a suite of traces/suites.json; entries are patterns below traces/."""
    table = directory / "suites.json"
    try:
        suites = json.loads(table.read_text())["suites"]
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise BenchError(f"{table}: cannot be read as a table of suites ({error})", 3) from error
    if name not in suites:
        raise BenchError(f"suite '{name}' is unknown; {table} has {', '.join(sorted(suites))}", EXIT_USAGE)
    found = []
    for pattern in suites[name]:
        paths = sorted(directory.glob(pattern))
        if not paths and "*" not in pattern:
            raise BenchError(f"{table}: suite {name} names {pattern}, which {directory} does not hold; "
                             "`make traces` records the traces", 3)
        found += [path for path in paths if path not in found]
    if not found:
        raise BenchError(f"suite {name}: {directory} holds no trace; `make traces` records them", 3)
    return found


def refuse_namesakes(traces):
    """Rows are told apart by the trace's name, which is the file's without its directory and .hpt."""
    known = {}
    for path in traces:
        name = path.name.removesuffix(".hpt")
        other = known.setdefault(name, path)
        if other is not path:
            raise BenchError(f"{other} and {path}: both are trace '{name}' in the results; rename one, or link it under "
                             "another name" if other != path else f"{path}: given twice; once is enough", EXIT_USAGE)


def choose_allocators(heaplay, named):
    """The --alloc arguments: the named ones as they are, else the usual ones that are installed; and the controls."""
    notes = []
    chosen = list(named)
    if not named:
        known = {one["name"]: one["installed"] for one in ask_json(heaplay, "list", "--json")}
        chosen = [name for name in DEFAULT_ALLOCATORS if known.get(name)]
        absent = [name for name in DEFAULT_ALLOCATORS if not known.get(name)]
        if absent:
            notes.append(f"Not found on this machine and therefore not in this run: {', '.join(absent)}.")
    twin = "glibc" if "glibc" in chosen or not chosen else chosen[0]
    if twin in chosen:
        chosen.append(f"{twin}{load.AGAIN}")
    return chosen + ["null"] * ("null" not in chosen), notes


def weights(heaplay, traces):
    """Share of the budget that each trace wants: a start-up cost, its length, and its threads, which wait and are woken."""
    found = {}
    for path in traces:
        about = ask_json(heaplay, "info", "--json", path)
        found[path] = 0.4 + about["operations"] / 1e6 + 0.15 * (about["threads"] - 1)
    return found


class Display:
    """A bar with an estimate on a terminal, one line for each trace elsewhere."""

    def __init__(self, total_s):
        console = rich.console.Console(stderr=True)
        self.live = console.is_terminal
        self.total_s = total_s
        self.started = time.monotonic()
        self.bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"), rich.progress.BarColumn(),
            rich.progress.TaskProgressColumn(), rich.progress.TextColumn("{task.fields[left]}"),
            console=console, disable=not self.live)
        self.task = self.bar.add_task("starting", total=total_s, left="")

    def __enter__(self):
        if self.live:
            self.bar.start()
        return self

    def __exit__(self, *unused):
        if self.live:
            self.bar.stop()

    def say(self, line):
        if not self.live:
            say(f"[{time.monotonic() - self.started:4.0f} s of about {self.total_s:.0f}] {line}")

    def tick(self, line):
        spent = time.monotonic() - self.started
        left = max(0.0, self.total_s - spent)
        self.bar.update(self.task, completed=min(spent, self.total_s), description=line,
                        left=f"about {left:.0f} s left")


def end(child):
    """Ends heaplay and, with it, the worker that it waits for."""
    try:
        os.killpg(child.pid, signal.SIGTERM)
        child.wait(timeout=5)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    except ProcessLookupError:
        child.wait()


def replay(heaplay, path, allocators, seconds, options, display, line, deadline):
    """The checked document of one trace, with what allocators wrote to stderr in its notes; BenchError when heaplay wrote none,
    OutOfTime when it was not done by then."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "replay.json"
        command = [str(heaplay), "replay", str(path), "--samples", str(options.samples), "--time", f"{seconds:.1f}",
                   "--width", f"{options.width:g}", "--touch", options.touch, "--threads", options.threads, "--json", str(out)]
        command += ["--latency"] * options.latency + ["--drain-waits"] * options.drain_waits
        command += ["--loops", str(options.loops), "--carry"] if options.loops > 1 else []
        for name in allocators:
            command += ["--alloc", name]
        with tempfile.TemporaryFile("w+") as errors:
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True)
            try:
                while child.poll() is None:
                    if time.monotonic() > deadline:
                        raise OutOfTime
                    display.tick(line)
                    time.sleep(0.05)
            except BaseException:
                end(child)
                raise
            errors.seek(0)
            said = errors.read().strip().splitlines()
        if not out.exists() or out.stat().st_size == 0:
            raise BenchError(said[-1] if said else f"heaplay replay {path} ended with {child.returncode} and wrote "
                             "nothing", child.returncode if child.returncode > 0 else EXIT_FAILED)
        return {**schema.read(out), "notes": [one.removeprefix("heaplay: ") for one in said if " says: " in one]}


def replay_fresh(heaplay, path, seconds, options, display, line, deadline):
    """The document of the bump allocator alone: one sample, and more where these are cheap."""
    started = time.monotonic()
    once = argparse.Namespace(**{**vars(options), "samples": 1})
    document = replay(heaplay, path, [FRESH], seconds, once, display, line, deadline)
    if (time.monotonic() - started) * FRESH_SAMPLES > FRESH_SHARE * seconds:
        return document
    more = argparse.Namespace(**{**vars(options), "samples": FRESH_SAMPLES})
    return replay(heaplay, path, [FRESH], seconds, more, display, line, deadline)


def without(document, name):
    """The document less one allocator's rows."""
    return {**document, "rows": [row for row in document["rows"] if row["allocator"] != name]}


def allocator_name(spec):
    """What heaplay calls an --alloc argument: without its path, with its variables and label."""
    head, mark, label = spec.rpartition("#") if "#" in spec else (spec, "", "")
    base, at, variables = head.partition("@")
    return base.split("=")[0] + at + variables + mark + label


def verify(heaplay, path, allocators, display):
    """Name to True, False or None (could not be tried), and a note for each that failed."""
    outcome, notes = {}, []
    for spec in allocators:
        name = allocator_name(spec)
        if load.is_control(name):
            continue
        display.tick(f"verify {name}")
        done = subprocess.run([str(heaplay), "verify", str(path), "--alloc", spec, "--timeout", "60"],
                              capture_output=True, text=True, check=False)
        outcome[name] = {0: True, 4: False}.get(done.returncode)
        if done.returncode != 0:
            why = done.stderr.strip().splitlines()
            notes.append(f"verify on {path.stem}: {why[-1] if why else f'exit {done.returncode}'}. "
                         f"Do not trust {name}'s figures.")
    return outcome, notes


def save(document, directory):
    """results.json, replaced as a whole; one row a line."""
    directory.mkdir(parents=True, exist_ok=True)
    partial = directory / "results.json.partial"
    head = {key: value for key, value in document.items() if key != "rows"}
    rows = ",\n  ".join(json.dumps(row, separators=(",", ":")) for row in document["rows"])
    partial.write_text(json.dumps(head, indent=1)[:-2] + f',\n "rows": [\n  {rows}\n ]\n}}\n', encoding="utf-8")
    partial.replace(directory / "results.json")


def link_latest(directory):
    """results/latest points to the newest run."""
    link = directory.parent / "latest"
    partial = directory.parent / f".latest-{os.getpid()}"
    partial.symlink_to(directory.name)
    partial.replace(link)


def share_out(left_s, share, rest):
    """Seconds of sampling for the first trace of `rest`: its share of what is left, most of it."""
    return max(0.5, SAMPLING * left_s * share[rest[0]] / sum(share[path] for path in rest))


def incomplete(reason, order, documents):
    absent = ", ".join(path.stem for path in order[len(documents):])
    return f"{reason}: complete for {len(documents)} of {plural(len(order), 'trace')}; absent: {absent}."


def measure(heaplay, traces, options, started):
    """Documents of all traces that were completed, what verify said, notes, and whether ^C came."""
    allocators, notes = choose_allocators(heaplay, options.allocs)
    order, documents, verified, interrupted = list(traces), [], {}, False
    reserve = min(RESERVE_S, options.minutes * 15)
    budget = options.minutes * 60 - reserve
    deadline = started + budget + reserve / 3
    with Display(budget) as display:
        try:
            share = weights(heaplay, traces)
            order = sorted(traces, key=share.get)
            if not options.no_verify:
                verified, remarks = verify(heaplay, order[0], allocators, display)
                notes += remarks
            for position, path in enumerate(order):
                seconds = share_out(budget - (time.monotonic() - started), share, order[position:])
                line = f"{path.stem} ({position + 1} of {len(order)})"
                display.say(f"{line}: about {seconds:.0f} s")
                measured = replay(heaplay, path, allocators, seconds, options, display, line, deadline)
                notes += [note for note in measured["notes"] if note not in notes]
                if FRESH not in allocators:
                    fresh = replay_fresh(heaplay, path, seconds, options, display, f"{line}, {FRESH}", deadline)
                    measured = load.merge([measured, without(fresh, "null")], "replay", measured["created"],
                                          measured["command"])
                documents.append(measured)
        except OutOfTime:
            notes.append(incomplete(f"Stopped after {plural(options.minutes, 'minute')}", order, documents))
        except KeyboardInterrupt:
            interrupted = True
            notes.append(incomplete("Interrupted", order, documents))
    return documents, verified, notes, interrupted


def show(run, console):
    """The run as a table, for people at a terminal."""
    for trace in run.traces:
        table = rich.table.Table(title=run.label(trace), title_justify="left", box=None, pad_edge=False)
        for head in ("allocator", "ns/op", "95 % interval", "peak RSS KiB", "over live", "minor faults", "harness"):
            # Variants of an allocator differ at the end of their names: these are folded, never cut.
            table.add_column(head, justify="left" if head == "allocator" else "right", overflow="fold")
        for name in run.all_allocators:
            row = run.row(trace, name)
            if not row:
                failed = [one for one in run.failed if (one["trace"], one["allocator"]) == (trace, name)]
                table.add_row(run.title(name), failed[0]["status"] if failed else "absent",
                              failed[0].get("status_text", "") if failed else "")
                continue
            low, high = load.figure_bounds(row, "ns_per_op")
            peak = load.figure_value(row, "peak_rss_kib")
            share = row.get("harness_share")
            table.add_row(run.title(name), text.number(load.figure_value(row, "ns_per_op")),
                          f"{text.number(low)}-{text.number(high)}", text.number(peak),
                          text.number(text.memory_scale(row, peak)),
                          text.number(load.figure_value(row, "minor_faults")),
                          verdict.percent(share) if share is not None else "")
        console.print(table)
        console.print()


def parse_arguments(argv):
    parser = argparse.ArgumentParser(prog="heaplay bench", description=__doc__.splitlines()[0])
    parser.add_argument("--heaplay", type=Path, default=SRC / "build" / "release" / "heaplay", help="the program")
    parser.add_argument("--suite", default="default", help="quick, default or full: of traces/suites.json")
    parser.add_argument("--trace", type=Path, action="append", default=[], help="this trace instead; may be repeated")
    parser.add_argument("--allocs", type=shlex.split, default=[], help='"cellmalloc glibc NAME=PATH ..."')
    parser.add_argument("--minutes", type=float, default=None,
                        help="time for everything (4; with --trace 1, with --suite quick 0.9)")
    parser.add_argument("--samples", type=int, default=30, help="most samples per row (30)")
    parser.add_argument("--width", type=float, default=1.0,
                        help="percent that 95%% intervals of the ratios are to reach to either side (1); ends a trace early")
    parser.add_argument("--touch", default="page", help="touch policy (page)")
    parser.add_argument("--threads", default="recorded", choices=("recorded", "1"))
    parser.add_argument("--latency", action="store_true", help="further runs that time single calls: percentiles, the slowest")
    parser.add_argument("--drain-waits", action="store_true", help="look at memory again up to 5 s after the last free")
    parser.add_argument("--loops", type=int, default=1, help="passes in one process, survivors carried over: drift (1)")
    parser.add_argument("--no-verify", action="store_true", help="do not verify the allocators first")
    parser.add_argument("--results", type=Path, default=SRC / "results", help="where the run's directory is made")
    options = parser.parse_args(argv)
    if options.minutes is None:
        options.minutes = 1.0 if options.trace else 0.9 if options.suite == "quick" else 4.0
    if not 0.2 <= options.minutes <= 1440:
        parser.error(f"--minutes {options.minutes:g}: give 0.2 to 1440")
    if not 3 <= options.samples <= 10000:
        parser.error(f"--samples {options.samples}: give 3 to 10000")
    if not 1 <= options.loops <= 1000:
        parser.error(f"--loops {options.loops}: give 1 to 1000")
    if not 0.01 <= options.width <= 100:
        parser.error(f"--width {options.width:g}: give 0.01 to 100 percent")
    return options


def run_bench(options):
    started = time.monotonic()
    now = datetime.datetime.now(datetime.timezone.utc)
    heaplay = options.heaplay.resolve()
    if not os.access(heaplay, os.X_OK):
        raise BenchError(f"{options.heaplay}: not there; `make build` makes it", EXIT_USAGE)
    traces = options.trace or suite_traces(options.suite, SRC / "traces")
    for path in traces:
        if not path.is_file():
            raise BenchError(f"{path}: no such trace; `make record CMD=\"prog args\" OUT={path.name}` makes one", 3)
    refuse_namesakes(traces)
    try:
        guard.require_directory(options.results)
    except OSError as error:
        raise BenchError(f"--results {error.filename}: cannot be written ({guard.reason(error)})", EXIT_USAGE) from error
    documents, verified, notes, interrupted = measure(heaplay, traces, options, started)
    if not documents:
        raise BenchError("interrupted before one trace was complete; nothing is kept" if interrupted else
                         f"no trace was complete within {plural(options.minutes, 'minute')}: give more (--minutes), fewer "
                         "allocators or shorter traces", EXIT_INTERRUPTED if interrupted else EXIT_FAILED)
    command = shlex.join(["heaplay", "bench", *sys.argv[1:]])
    document = load.merge(documents, "bench", now.strftime("%Y-%m-%dT%H:%M:%SZ"), command)
    document["notes"] = notes
    shortest = next(iter(documents[0]["traces"]))       # the one that was verified on
    for name, passed in verified.items():
        if name in document["allocators"]:
            document["allocators"][name].update(verified=passed, **({} if passed is None else {"verified_on": shortest}))
    directory = options.results / now.strftime("%Y-%m-%d-%H%M%S")
    with guard.naming(directory):
        save(document, directory)
        schema.check(document, str(directory / "results.json"))
        run = load.Run(document, str(directory))
        text.write_report(run, directory)
        link_latest(directory)
    console = rich.console.Console()
    if options.trace:
        show(run, console)
    for line in [*notes, *verdict.winners(run), *verdict.summary(run), *verdict.control_words(verdict.control(run))]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    losses = text.loss_lines(run)
    console.print(f"{run.subject()} loses in {plural(len(losses), 'comparison')}; the report lists each.", highlight=False)
    print(f"\n{directory / 'report.html'}\n{directory / 'report.md'}\n{directory / 'results.json'}"
          f"\n{time.monotonic() - started:.0f} s")
    if interrupted:
        return EXIT_INTERRUPTED
    if any(run.distrusted(name) for name in run.all_allocators):
        return EXIT_BAD_ALLOCATOR
    return 0 if run.by_key else EXIT_FAILED


@guard.one_line("heaplay bench")
def main(argv=None):
    try:
        return run_bench(parse_arguments(argv))
    except (BenchError, schema.ResultsError) as error:
        say(f"heaplay bench: {error}")
        return error.code if isinstance(error, BenchError) else schema.EXIT_BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())
