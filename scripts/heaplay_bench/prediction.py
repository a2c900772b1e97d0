"""How well replaying a program's trace predicts the program: the harness's own validity.

A replay shows the allocator's part of the time and of the memory. Under allocator a, the program should take
T(glibc) + operations * (ns(a) - ns(glibc)), in wall time and in CPU time (which a busy machine moves less), and peak at
R(glibc) + peak(a) - peak(glibc), where ns and peak are the replay's, the peak with what the allocator's library has
resident before the first call. Predicted and measured ratios to glibc are then compared: rank correlation over the
allocators of each program (Spearman), and the error of the ratio.
"""

import json
import subprocess
import tempfile
from pathlib import Path

import numpy
import scipy.stats

from heaplay_report import stats

FIGURES = {"elapsed_ns": "wall time", "cpu_ns": "CPU time", "peak_rss_kib": "peak RSS"}


class PredictionError(Exception):
    """A trace that could not be replayed."""


def replay(out, trace, chosen, samples):
    """The replay's document of one trace under the chosen allocators (control left out)."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "replay.json"
        command = [str(Path(out) / "heaplay"), "replay", str(trace), "--samples", str(samples), "--json", str(path)]
        for allocator in chosen:
            name, at, settings = allocator.name.partition("@")
            command += ["--alloc", f"{name}={allocator.path}{at}{settings}" if allocator.path else allocator.name]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if not path.exists():
            raise PredictionError(f"{trace}: {done.stderr.strip()[-200:] or 'heaplay replay wrote nothing'}")
        return json.loads(path.read_text(encoding="utf-8"))


def predict(rows, document, base="glibc"):
    """[{program, allocator, figure, measured, predicted}] for one program's rows and its trace's replay; ratios to base."""
    measured = {row["allocator"]: row for row in rows if row["status"] == "ok"}
    replayed = {row["allocator"]: row for row in document["rows"] if row["status"] == "ok"}
    operations = next(iter(document["traces"].values()))["replayed"]
    found = []
    if base not in measured or base not in replayed:
        return found

    def change(name, key):
        return replayed[name][key]["median"] - replayed[base][key]["median"]

    def peak_change(name):
        return change(name, "peak_rss_kib") + change(name, "start_rss_kib")

    for name in sorted(set(measured) & set(replayed) - {base}):
        delta = {"elapsed_ns": operations * change(name, "ns_per_op"), "cpu_ns": operations * change(name, "cpu_ns_per_op"),
                 "peak_rss_kib": peak_change(name)}
        for figure in FIGURES:
            reference = measured[base][figure]["median"]
            pairs = [dict(zip(row["blocks"], row[figure]["samples"])) for row in (measured[name], measured[base])]
            estimate = stats.ratio(*pairs)
            found.append({"program": rows[0]["trace"], "allocator": name, "figure": figure,
                          "measured": measured[name][figure]["median"] / reference,
                          "claimed": estimate.claimed if estimate else 0,
                          "predicted": 1 + delta[figure] / reference})
    return found


def spearman(pairs):
    """Rank correlation of measured and predicted ratios, the base's 1 included; None when one of them does not vary."""
    measured = [1.0] + [pair["measured"] for pair in pairs]
    predicted = [1.0] + [pair["predicted"] for pair in pairs]
    if len(pairs) < 2 or len(set(measured)) == 1 or len(set(predicted)) == 1:
        return None
    return float(scipy.stats.spearmanr(measured, predicted).statistic)


def summary(pairs):
    """For each figure: programs, their median rank correlation, error of the ratio, and how often the sign was right."""
    found = {}
    for figure in FIGURES:
        mine = [pair for pair in pairs if pair["figure"] == figure]
        programs = sorted({pair["program"] for pair in mine})
        ranks = [spearman([pair for pair in mine if pair["program"] == program]) for program in programs]
        ranks = [rank for rank in ranks if rank is not None]
        errors = [abs(pair["predicted"] / pair["measured"] - 1) for pair in mine]
        clear = [pair for pair in mine if pair["claimed"]]
        right = [pair for pair in clear if (pair["predicted"] > 1) == (pair["claimed"] > 0)]
        if not mine:
            continue
        found[figure] = {"programs": len(programs), "rank_correlation": float(numpy.median(ranks)) if ranks else None,
                         "error_median": float(numpy.median(errors)), "error_90": float(numpy.quantile(errors, 0.9)),
                         "clear": len(clear), "sign_right": len(right)}
    return found


def print_pairs(pairs):
    """Each program under each allocator: measured, and what its trace's replay leads to expect."""
    table = {(pair["program"], pair["allocator"], pair["figure"]): pair for pair in pairs}
    names = sorted({pair["allocator"] for pair in pairs})
    for figure, title in FIGURES.items():
        print(f"\n{title}, ratio to glibc: measured (predicted by the replay of the program's trace)")
        print(f"{'program':16s}" + "".join(f"{name[:15]:>17s}" for name in names))
        for program in dict.fromkeys(pair["program"] for pair in pairs):
            cells = [table.get((program, name, figure)) for name in names]
            texts = [f"{one['measured']:.3f} ({one['predicted']:.3f})" if one else "-" for one in cells]
            print(f"{program:16s}" + "".join(f"{text:>17s}" for text in texts))


def print_summary(pairs):
    print("\nreplay against program: what the traces' replays predict of the programs, ratios to glibc")
    for figure, one in summary(pairs).items():
        rank = "-" if one["rank_correlation"] is None else f"{one['rank_correlation']:.2f}"
        print(f"{FIGURES[figure]:10s} {one['programs']} programs; rank correlation over allocators, median {rank}; "
              f"error of the ratio {100 * one['error_median']:.1f} % (median), {100 * one['error_90']:.1f} % (90 of 100); "
              f"sign right in {one['sign_right']} of {one['clear']} clear differences")
