"""report.md, report.html and results.csv of a run: the facts are gathered once, two templates lay them out."""
import base64
import csv
import html
from pathlib import Path

import jinja2

from . import detail, load, plots, stats, verdict

TEMPLATES = Path(__file__).resolve().parent / "templates"
CSV_FIGURES = ("ns_per_op", "net_ns_per_op", "ops_per_s", "cpu_ns_per_op", "peak_rss_kib", "peak_ratio",
               "usable_bytes_at_peak", "internal_fragmentation", "minor_faults", "rss_after_drain_kib", "stall_share")


def number(value):
    if value is None:
        return ""
    if value == 0:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def loss_lines(run):
    """One sentence for each place where the subject loses, and one per rival when there is none."""
    comparisons = verdict.all_comparisons(run)
    lines = []
    for one in verdict.losses(comparisons):
        lines.append(f"{run.label(one.trace)}, {one.measure.noun}: {verdict.phrase(one)} than {one.second}"
                     if " times " not in verdict.phrase(one)
                     else f"{run.label(one.trace)}, against {one.second}: {verdict.phrase(one)}")
    if run.distrusted(run.subject()):
        lines.insert(0, f"{run.subject()} breaks malloc's contract: verify found it, see the notes")
    for row in run.failed:
        if row["allocator"] == run.subject():
            lines.insert(0, f"{run.label(row['trace'])}: {row['status']} ({row.get('status_text', 'no reason given')})")
    return lines


def verdict_rows(run):
    """The subject against each rival on each trace: [trace, rival, words on time, words on memory]."""
    found = {(one.trace, one.second, one.measure.key): one for one in verdict.all_comparisons(run)}
    rows = []
    for trace in run.traces:
        for rival in run.rivals():
            cells = [found.get((trace, rival, measure.key)) for measure in verdict.MEASURES]
            if any(cells):
                words = [verdict.phrase(cell) if cell else "no pair" for cell in cells]
                rows.append([run.label(trace), run.title(rival), *words])
    return rows


def value_table(run, measure_key, best_of=None, scale=None):
    """Trace by allocator; cells are (text, is among the best)."""
    table = []
    for trace in run.traces:
        leaders = verdict.best(run, trace, best_of) if best_of else []
        cells = []
        for name in run.all_allocators:
            row = run.row(trace, name)
            value = load.figure_value(row, measure_key)
            if value is None:
                state = next((one["status"] for one in run.failed
                              if (one["trace"], one["allocator"]) == (trace, name)), "")
                cells.append((state, False))
            else:
                cells.append((number(scale(row, value) if scale else value), name in leaders))
        table.append((run.label(trace), cells))
    return table


def overall_table(run):
    """Each allocator's geometric mean ratio to the reference: (name, [(ratio, low, high) as text per measure])."""
    table = []
    for name in run.allocators:
        cells = []
        for measure in verdict.overall_measures(run):
            found = verdict.compare_overall(run, measure, name, run.reference())
            if name == run.reference():
                cells.append("1")
            elif not found:
                cells.append("")
            else:
                one = found.estimate
                cells.append(f"{one.ratio:.3f} ({one.low:.3f}-{one.high:.3f})")
        table.append((run.title(name), cells))
    return table


def harness_words(run):
    """How much of each figure is the harness's own."""
    shares = {}
    for (trace, name), row in run.by_key.items():
        if name in run.allocators and row.get("harness_share") is not None:
            shares.setdefault(name, []).append(row["harness_share"])
    if not shares:
        return "The null allocator was not run: the harness's own share of the times is not known."
    null = [load.figure_value(run.row(trace, "null"), "ns_per_op") for trace in run.traces]
    null = [value for value in null if value]
    everything = [share for values in shares.values() for share in values]
    above = sum(1 for share in everything if share > 0.30)
    words = f"The harness itself (null allocator) takes {number(min(null))} to {number(max(null))} ns per operation, " \
        if null else "The harness itself takes "
    words += f"{verdict.percent(min(everything))} to {verdict.percent(max(everything))} of the times."
    if above:
        words += (f" In {above} of {len(everything)} rows it is above 30 %: there the gross ratios understate the "
                  "difference between allocators, and no net figure is given.")
    return words


def order_words(run):
    """A warning for each trace whose threads, replayed in parallel, hold much more at once than in recorded order."""
    return [f"{run.label(trace)}: the peak is {ratio:.1f} times that of the same calls in recorded order (median of the "
            "allocators), because replayed threads run ahead of each other. Its peak RSS says as much about order as about "
            "allocators; --threads 1 compares without that." for trace, ratio in verdict.run_ahead(run).items()]


def note_words(run):
    """What a reader must know first: notes of the program that made the run, and warnings."""
    return [*run.document.get("notes", []), *order_words(run)]


def memory_scale(row, value):
    return value * 1024 / row["peak_live_bytes"] if row.get("peak_live_bytes") else None


def verified_words(about):
    """What verify found, and on which trace: it replays one of the run's."""
    words = {True: "passed", False: "FAILED", None: "not run"}[about.get("verified")]
    return f"{words} ({about['verified_on']})" if "verified_on" in about else words


def facts(run, pictures):
    environment = [(key, ", ".join(f"{name}={text}" for name, text in value.items()) or "none"
                    if isinstance(value, dict) else "unknown" if value is None else value)
                   for key, value in run.document["environment"].items()]
    commit = run.document["environment"].get("git_commit") or "unknown"
    own = {"cellmalloc": f"commit {commit[:12]}"}
    allocators = [(name, about.get("version") or own.get(name, "unknown"), about.get("path") or "built in",
                   (about.get("sha256") or "")[:12], about.get("identity", ""),
                   verified_words(about))
                  for name, about in sorted(run.document["allocators"].items(),
                                            key=lambda item: load.order_key(item[0]))]
    blocks = sorted({len(row["blocks"]) for (_, name), row in run.by_key.items() if name in run.allocators})
    return {
        "run": run, "subject": run.subject(), "reference": run.reference(), "rivals": run.rivals(),
        "created": run.document["created"], "command": run.document["command"], "notes": note_words(run),
        "winners": verdict.winners(run), "summary": verdict.summary(run), "control": verdict.control_words(verdict.control(run)),
        "losses": loss_lines(run), "verdicts": verdict_rows(run), "chance": verdict.chance_words(verdict.all_comparisons(run)),
        "names": [run.title(name) for name in run.all_allocators],
        "time": value_table(run, "ns_per_op", verdict.TIME),
        "memory": value_table(run, "peak_rss_kib", verdict.MEMORY, memory_scale),
        "overall_heads": [measure.noun for measure in verdict.overall_measures(run)], "overall": overall_table(run),
        "failed": run.failed, "harness": harness_words(run),
        "memory_heads": detail.MEMORY_HEADS, "memory_rows": detail.memory_rows(run, number),
        "latency_heads": detail.LATENCY_HEADS, "latency_rows": detail.latency_rows(run),
        "counter_heads": detail.EVENTS, "counter_rows": detail.counter_rows(run, number),
        "counters_missing": detail.missing_counters(run),
        "environment": environment, "allocators": allocators, "pictures": pictures,
        "traces": [(run.label(name), about) for name, about in sorted(run.document["traces"].items())],
        "conditions": run.filter_words(), "count": len(run.traces), "other_rows": len(run.other_rows),
        "blocks": "-".join(map(str, (blocks[0], blocks[-1]))) if len(blocks) > 1 else blocks[0] if blocks else 0,
        "confidence": verdict.percent(stats.CONFIDENCE), "claim": verdict.percent(stats.CLAIM),
        "lag": verdict.KERNEL_LAG_KIB, "number": number,
    }


def render(template, values):
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), trim_blocks=True, lstrip_blocks=True,
                                     autoescape=template.endswith(".html"), undefined=jinja2.StrictUndefined,
                                     keep_trailing_newline=True)
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    return environment.get_template(template).render(**values)


def inline_picture(path):
    """An <img> that carries the picture in itself."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f"data:image/svg+xml;base64,{data}" if path.suffix == ".svg" else f"data:image/png;base64,{data}"


def write_csv(run, path):
    """One line per row of results.json, failed ones too."""
    with open(path, "w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["trace", "allocator", *load.CONDITION, "status", "samples", "peak_live_bytes", "harness_share",
                         *(f"{key}_{part}" for key in CSV_FIGURES for part in ("median", "low", "high"))])
        for row in run.document["rows"]:
            line = [row.get(key, "") for key in ("trace", "allocator", *load.CONDITION, "status")]
            line += [len(row.get("blocks", [])), row.get("peak_live_bytes", ""), row.get("harness_share", "")]
            for key in CSV_FIGURES:
                value = row.get(key)
                if isinstance(value, dict):
                    line += [value["median"], value["low"], value["high"]]
                else:
                    line += ["" if value is None else value, "", ""]
            writer.writerow(line)


def write_report(run, directory):
    """Everything that is made from results.json, beside it."""
    directory = Path(directory)
    write_csv(run, directory / "results.csv")
    pictures = plots.draw_all(run, directory / "plots")
    values = facts(run, pictures)
    (directory / "report.md").write_text(render("report.md", values), encoding="utf-8")
    values["inline"] = lambda name: inline_picture(directory / "plots" / f"{name}.svg")
    values["escape"] = html.escape
    (directory / "report.html").write_text(render("report.html", values), encoding="utf-8")
