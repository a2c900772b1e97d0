"""Measuring the rows of the scoreboard, set by set; each returns board.Row with what failed and why."""

import json
import random
import subprocess
import tempfile
from pathlib import Path

import programs
from heaplay_bench import allocators, board, run

# The threads set: row -> program and its arguments (threads, percent of its work).
THREADS = {"larson-4": ("larson", "4"), "larson-16": ("larson", "16", "30"), "handoff-2": ("handoff", "2"),
           "handoff-8": ("handoff", "8", "30"), "churn-8": ("churn", "8", "30"), "phases-4": ("phases", "4"),
           "sharing-2": ("sharing", "2"), "private-8": ("private", "8")}
SMALL = {"true": ("true",), "cat": ("cat", "/dev/null"), "sh": ("sh", "-c", ":"),
         "python3": ("/usr/bin/python3", "-c", "pass")}
EMPTY = "allocator/tests/figures/empty.so"      # below the build directory: what preloading costs by itself
BLOW_UP = {"mix-64": ("mix", 64, 400000)}       # kind of `heaplay generate`, threads, operations


def alloc_word(allocator):
    """How heaplay is told of an allocator: built-in names as they are, libraries by path."""
    return "glibc" if allocator.path is None else f"{allocator.name}={allocator.path}"


def figures(entry, **names):
    return {axis: dict(zip(entry["blocks"], entry[figure]["samples"])) for axis, figure in names.items()}


def from_document(made):
    """(row, operations) of a document that `heaplay replay --json` wrote: one trace."""
    name = next(iter(made["traces"]))
    row = board.Row("traces", name, {})
    for entry in made["rows"]:
        if entry["status"] != "ok":
            row.failed[entry["allocator"]] = entry.get("status_text") or entry["status"]
            continue
        measured = board.Measured(**figures(entry, elapsed="ns_per_op", rss="peak_rss_kib", faults="minor_faults"))
        live = entry.get("peak_live_bytes") or 0
        if live and entry.get("rss_after_drain_kib"):
            measured.counts["footprint"] = board.median(measured.rss) * 1024 / live
            measured.counts["left"] = max(0, entry["rss_after_drain_kib"]["median"]) * 1024 / live
        row.by[entry["allocator"]] = measured
    return row, made["traces"][name]["operations"]


def replayed(heaplay, trace, chosen, *options):
    """The document of one heaplay replay."""
    with tempfile.NamedTemporaryFile(suffix=".json") as target:
        words = [str(heaplay), "replay", str(trace), "--json", target.name, *map(str, options)]
        for allocator in chosen:
            words += ["--alloc", alloc_word(allocator)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        try:
            return json.loads(Path(target.name).read_text(encoding="utf-8"))
        except json.JSONDecodeError:
            raise run.RunError(f"{trace}: heaplay replay ended with {done.returncode}: "
                               f"{done.stderr.strip()[-300:]}") from None


def run_in_blocks(row, out, words, chosen, blocks, elapsed_of):
    """Fill a row from a program that the launcher runs, blocks interleaved in random order."""
    row.by.update({allocator.name: board.Measured({}, {}, {}) for allocator in chosen})
    for block in range(blocks):
        for allocator in random.sample(chosen, len(chosen)):
            if allocator.name not in row.by:
                continue
            line, said = run.through_launcher(out, words, allocator.environment())
            status, text = run.status_of(line)
            if status != "ok":
                row.failed[allocator.name] = f"{status}: {text}"
                del row.by[allocator.name]
                continue
            measured = row.by[allocator.name]
            measured.elapsed[block] = elapsed_of(line, said)
            measured.rss[block], measured.faults[block] = line["peak_rss_kib"], line["minor_faults"]
    return row


def ns_per_operation(_line, said):
    done = json.loads(said)
    return done["elapsed_ns"] / done["operations"]


def threads_row(out, name, chosen, blocks):
    words = [str(Path(out).resolve() / "threads" / THREADS[name][0])] + list(THREADS[name][1:])
    return run_in_blocks(board.Row("threads", name, {}), out, words, chosen, blocks, ns_per_operation)


def line_ns(out):
    """ns of a cache line's way from one processor to another and back; None where there is one processor."""
    done = subprocess.run([str(Path(out).resolve() / "threads" / "line")], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise run.RunError(f"threads/line ended with {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout)["round_trip_ns"]


def small_row(out, name, chosen, blocks):
    """A process that hardly allocates: what the library itself costs. `empty` is a library that does nothing."""
    empty = allocators.Allocator("empty", str(Path(out).resolve() / EMPTY))
    return run_in_blocks(board.Row("small", name, {}), out, SMALL[name], [*chosen, empty], blocks,
                         lambda line, _said: line["elapsed_ns"])


def program_row(out, workload, chosen, blocks, said):
    subject = programs.Subject(workload, out, 1.0)
    row = board.Row("programs", workload.name, {})
    for entry in programs.measure(subject, chosen, blocks, said):
        if entry["status"] != "ok":
            row.failed[entry["allocator"]] = entry["status_text"]
            continue
        row.by[entry["allocator"]] = board.Measured(*(programs.by_block(entry, figure)
                                                      for figure in ("elapsed_ns", "peak_rss_kib", "minor_faults")))
    return row


def blow_up(threaded, single):
    """Row of two documents of one trace: by its own threads, and all on one. RSS is net of the null allocator's."""
    found = {}
    for word, made in (("threads", threaded), ("one", single)):
        entries = {entry["allocator"]: entry for entry in made["rows"]}
        null = entries.pop("null", None)
        floor = null["peak_rss_kib"]["median"] if null and null["status"] == "ok" else 0
        found[word] = floor, entries
    row = board.Row("blow-up", "", {})
    for name, entry in found["threads"][1].items():
        other = found["one"][1].get(name, {"status": "absent"})
        wrong = next((one for one in (entry, other) if one["status"] != "ok"), None)
        if wrong:
            row.failed[name] = wrong.get("status_text") or wrong["status"]
            continue
        one = other["peak_rss_kib"]["median"] - found["one"][0]
        rss = {block: (value - found["threads"][0]) / one
               for block, value in zip(entry["blocks"], entry["peak_rss_kib"]["samples"])}
        row.by[name] = board.Measured(rss=rss, **figures(entry, elapsed="ns_per_op", faults="minor_faults"))
    return row


def blow_up_row(heaplay, name, chosen, samples):
    kind, threads, operations = BLOW_UP[name]
    with tempfile.TemporaryDirectory(prefix="heaplay-blow-up-") as scratch:
        trace = Path(scratch) / f"{name}.hpt"
        done = subprocess.run([str(heaplay), "generate", kind, "--threads", str(threads), "--ops", str(operations), "-o",
                               str(trace)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise run.RunError(f"heaplay generate {kind} ended with {done.returncode}: {done.stderr.strip()[-300:]}")
        # A small window keeps the threads together, so that both replays have about the same blocks live at a time.
        row = blow_up(replayed(heaplay, trace, chosen, "--samples", samples, "--threads", "recorded", "--window", 64),
                      replayed(heaplay, trace, chosen, "--samples", samples, "--threads", 1))
    row.name = name
    return row
