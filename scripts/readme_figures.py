#!/usr/bin/env python3
"""Keeps README's figures true: writes what lies between its `figures:` marks from results/example/.

With --run DIR, that run of `make bench` becomes the example first (results.json, report.md, pictures), and with it the last full
scoreboard of results/history.csv; with --tests LOG, the end of that output of `make test` does. With --check nothing is
written: exit 1 when README holds other figures.
"""
import argparse
import csv
import re
import shutil
import sys
import tempfile
from pathlib import Path

from heaplay_bench import board
from heaplay_report import load, schema, stats, text, verdict
from heaplay_report.words import plural

SRC = Path(__file__).resolve().parent.parent
README = SRC / "README.md"
EXAMPLE = SRC / "results" / "example"
HISTORY = SRC / "results" / "history.csv"
MARK = re.compile(r"(<!-- figures:(\w+) -->\n)(.*?)(<!-- /figures -->)", re.DOTALL)
LOSSES_SHOWN = 8


def fenced(lines):
    return "```\n" + "\n".join(lines) + "\n```\n"


def bench_output(run):
    """The last lines of `make bench`."""
    losses = text.loss_lines(run)
    return fenced(["$ make bench", "...", *verdict.winners(run), *verdict.summary(run),
                   *verdict.control_words(verdict.control(run)),
                   f"{run.subject()} loses in {plural(len(losses), 'comparison')}; the report lists each."])


def test_output(example):
    lines = (example / "test.txt").read_text(encoding="utf-8").splitlines()
    return fenced(["$ make test", "...", *lines])


def means_table(run):
    confidence = verdict.percent(text.stats.CONFIDENCE)
    heads = [f"{measure.noun}, {run.reference()} = 1 ({confidence} interval)" for measure in verdict.overall_measures(run)]
    lines = [" | ".join(["| allocator", *heads]) + " |", "|---|" + "---|" * len(heads)]
    lines += [" | ".join([f"| {name}", *cells]) + " |" for name, cells in text.overall_table(run)]
    return "\n".join(lines) + "\n"


def losses_list(run):
    losses = text.loss_lines(run)
    shown = [f"- {line}" for line in losses[:LOSSES_SHOWN]]
    if len(losses) > len(shown):
        shown.append(f"- and in {plural(len(losses) - len(shown), 'more comparison')}: "
                     "[the report](results/example/report.md) lists all")
    return "\n".join(shown or ["In none of the comparisons of the example run."]) + "\n"


def mean_of(lines, column):
    values = [float(line[column]) for line in lines if line[column]]
    return f"{stats.geometric_mean(values):.3f}" if values else "-"


def clearly_lost(line):
    """Whether one of the axes that decide is beyond what is held, time with all of its interval."""
    columns = {"elapsed": "time_low", "rss": "rss_ratio", "faults": "faults_ratio"}
    known = [line[columns[axis]] for axis in board.deciding(line["set"])]
    return any(value and float(value) > board.HELD for value in known)


def scoreboard_table(example):
    """Of each set of rows: how many are won, held and lost, and the geometric means of their ratios."""
    with open(example / "scoreboard.csv", encoding="utf-8", newline="") as source:
        lines = list(csv.DictReader(source))
    out = ["| rows | won | held | lost | of them clearly | time, glibc = 1 | time, each row's best peer = 1 | "
           "peak RSS, glibc = 1 | peak RSS, each row's best peer = 1 |", "|---|---:|---:|---:|---:|---:|---:|---:|---:|"]
    for name in dict.fromkeys(line["set"] for line in lines):
        mine = [line for line in lines if line["set"] == name]
        counts = [sum(line["verdict"] == word for line in mine) for word in ("won", "held", "lost")]
        counts.append(sum(line["verdict"] == "lost" and clearly_lost(line) for line in mine))
        means = [mean_of(mine, column) for column in ("time_vs_glibc", "time_ratio", "rss_vs_glibc", "rss_ratio")]
        out.append(f"| {len(mine)} {name} | " + " | ".join([str(count) for count in counts] + means) + " |")
    return "\n".join(out) + "\n"


def origin(run):
    facts = run.document["environment"]
    peers = [run.document["allocators"][name].get("version") or name for name in run.rivals()]
    kernel = facts["kernel"].split()[1].split("-")[0]
    return (f"A run of {run.document['created'][:10]} on {facts['cpus']} CPUs of an {facts['cpu']}, Linux {kernel}: "
            f"{len(run.traces)} recorded traces, made by `make bench`;\n{', '.join(peers)}. The whole report is "
            "[results/example/report.md](results/example/report.md).\n")


def blocks(run, example):
    return {"bench": bench_output(run), "tests": test_output(example), "means": means_table(run),
            "losses": losses_list(run), "origin": origin(run), "scoreboard": scoreboard_table(example)}


def refreshed(readme, made):
    """README with each marked part replaced; a mark without a maker is an error."""
    def replace(match):
        if match.group(2) not in made:
            raise schema.ResultsError(f"README.md marks figures '{match.group(2)}'; there are {', '.join(sorted(made))}")
        return match.group(1) + made[match.group(2)] + match.group(4)
    return MARK.sub(replace, readme)


def adopt(source, example):
    """Makes a run the example: results.json with paths below the checkout, and what its report in Markdown needs."""
    schema.read(source)
    held = (source / "results.json").read_text(encoding="utf-8").replace(f"{SRC}/", "")
    held = re.sub(r'"/[^"]*/(build/\w+/|traces/)', r'"\1', held)      # of a run in another checkout
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch)
        (made / "results.json").write_text(held, encoding="utf-8")
        text.write_report(load.load(made), made)
        shutil.rmtree(example / "plots", ignore_errors=True)
        (example / "plots").mkdir(parents=True)
        for path in [made / "results.json", made / "report.md", *made.glob("plots/*.png")]:
            shutil.copyfile(path, example / path.relative_to(made))


def adopt_board(history, example):
    """The rows of the last full scoreboard."""
    with open(history, encoding="utf-8", newline="") as source:
        rows = [row for row in csv.DictReader(source) if row["mode"] == "full"]
    if not rows:
        raise schema.ResultsError(f"{history}: holds no full scoreboard; run `make scoreboard`")
    with open(example / "scoreboard.csv", "w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(row for row in rows if row["created"] == rows[-1]["created"])


def adopt_tests(log, example):
    """The tail of `make test`'s output, from what was skipped on; the last line must be the closing one."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    closing = next((line for line in reversed(lines) if re.fullmatch(r"\d+ passed, \d+ failed", line)), None)
    if closing is None:
        raise schema.ResultsError(f"{log}: holds no line `N passed, N failed`; give the output of `make test`")
    (example / "test.txt").write_text(closing + "\n", encoding="utf-8")


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, help="directory of the run to make the example, as results/latest")
    parser.add_argument("--tests", type=Path, help="output of make test")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when figures differ")
    options = parser.parse_args(argv)
    try:
        if options.run:
            adopt(options.run, EXAMPLE)
            adopt_board(HISTORY, EXAMPLE)
        if options.tests:
            adopt_tests(options.tests, EXAMPLE)
        run = load.load(EXAMPLE)
        before = README.read_text(encoding="utf-8")
        after = refreshed(before, blocks(run, EXAMPLE))
    except (OSError, schema.ResultsError) as error:
        print(f"readme_figures: {error}", file=sys.stderr)
        return schema.EXIT_BAD_INPUT
    if options.check:
        print("README.md: figures as in results/example" if after == before else
              "README.md: figures differ from results/example; `make example` writes them")
        return int(after != before)
    README.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
